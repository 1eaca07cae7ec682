"""Accuracy and loss of a finished model on labelled images, with 95 % intervals, for one model and over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import t
from torch import Tensor

from tune.intervals import Z95, wilson95
from tune.training.evaluate import batch_size_at
from tune.training.images import ImageSet
from tune.training.predictor import Predictor


@dataclass(frozen=True)
class Judged:
    """A model's predictions for labelled images."""

    labels: Tensor
    """int64 (n,)."""

    log_probabilities: Tensor
    """float32 (n, classes)."""

    @property
    def predicted(self) -> Tensor:
        """int64 (n,)."""
        return self.log_probabilities.argmax(1)

    @property
    def accuracy(self) -> float:
        """Percentage of images whose most likely class is the label."""
        return 100 * self._hits / len(self.labels)

    @property
    def losses(self) -> Tensor:
        """Cross-entropy of each image in nats, float32 (n,)."""
        return -self._of_label

    @property
    def probability(self) -> Tensor:
        """Probability of the predicted class, float32 (n,)."""
        return self.log_probabilities.amax(1).exp()

    @property
    def probability_of_label(self) -> Tensor:
        """Probability of the true class, float32 (n,)."""
        return self._of_label.exp()

    @property
    def _hits(self) -> int:
        return int((self.predicted == self.labels).sum())

    @property
    def _of_label(self) -> Tensor:
        return self.log_probabilities.gather(1, self.labels[:, None]).squeeze(1)

    def figures(self) -> dict[str, Any]:
        """As in metrics.json: accuracy (%) with Wilson's 95 % interval, mean loss (nats) with the normal one."""
        n, losses = len(self.labels), self.losses.double()
        loss, half = losses.mean().item(), Z95 * losses.std().item() / n**0.5
        return {
            "test_acc": self.accuracy,
            "test_acc_interval95": list(wilson95(self.accuracy, n)),
            "test_loss": loss,
            "test_loss_interval95": [loss - half, loss + half],
            "test_images": n,
        }


@torch.inference_mode()
def judge(predictor: Predictor, images: ImageSet, done: Callable[[int], None] = lambda count: None) -> Judged:
    """Predicts all images in batches; `done` is called with the size of each. The result is on the CPU."""
    answers = []
    batch_size = batch_size_at(predictor.preprocessing.image_size, images.pixels.device)
    for rows in torch.split(images.index, batch_size):
        answers.append(predictor(images.pixels[rows]))
        done(len(rows))
    return Judged(images.labels[images.index].cpu(), torch.cat(answers).cpu())


def mean_of(each: Sequence[Judged]) -> Judged:
    """The predictions of an ensemble: the mean of its members' probabilities."""
    if len(each) == 1:
        return each[0]
    together = torch.stack([one.log_probabilities for one in each]).logsumexp(0) - math.log(len(each))
    return Judged(each[0].labels, together)


def over_seeds(values: Sequence[float], most: float = math.inf) -> dict[str, Any]:
    """Mean, standard deviation and 95 % interval of the mean (Student's t) of at least two seeds.

    The interval is clipped to the values that are possible, 0 to `most`: 100 for accuracies.
    """
    mean, spread = statistics.mean(values), statistics.stdev(values)
    half = float(t.ppf(0.975, len(values) - 1)) * spread / len(values) ** 0.5
    return {"mean": mean, "sd": spread, "interval95": [max(0.0, mean - half), min(most, mean + half)]}
