"""Accuracy and loss of a finished model on labelled images, with 95 % intervals, and their spread over seeds."""

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
class Predictions:
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
        return 100 * self._correct / len(self.labels)

    @property
    def losses(self) -> Tensor:
        """Cross-entropy of each image in nats, float32 (n,)."""
        return -self._label_log_probability

    @property
    def probability(self) -> Tensor:
        """Probability of the predicted class, float32 (n,)."""
        return self.log_probabilities.amax(1).exp()

    @property
    def probability_of_label(self) -> Tensor:
        """Probability of the true class, float32 (n,)."""
        return self._label_log_probability.exp()

    @property
    def _correct(self) -> int:
        return int((self.predicted == self.labels).sum())

    @property
    def _label_log_probability(self) -> Tensor:
        return self.log_probabilities.gather(1, self.labels[:, None]).squeeze(1)

    def metrics(self) -> dict[str, Any]:
        """For metrics.json: accuracy (%) with Wilson's 95 % interval, mean loss (nats) with a normal 95 % interval."""
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
def predict(predictor: Predictor, images: ImageSet, done: Callable[[int], None] = lambda count: None) -> Predictions:
    """Classifies all images in batches, and calls `done` with the size of each. The result is on the CPU."""
    answers = []
    batch_size = batch_size_at(predictor.preprocessing.image_size, images.pixels.device)
    for rows in torch.split(images.index, batch_size):
        answers.append(predictor(images.pixels[rows]))
        done(len(rows))
    return Predictions(images.labels[images.index].cpu(), torch.cat(answers).cpu())


def ensemble_mean(each: Sequence[Predictions]) -> Predictions:
    """The predictions of an ensemble: its members' mean probabilities."""
    if len(each) == 1:
        return each[0]
    together = torch.stack([one.log_probabilities for one in each]).logsumexp(0) - math.log(len(each))
    return Predictions(each[0].labels, together)


def over_seeds(values: Sequence[float], largest: float = math.inf) -> dict[str, Any]:
    """Mean and standard deviation over two seeds or more, and the 95 % interval of the mean (Student's t).

    The interval is clipped to possible values, from 0 to `largest`, which is 100 for accuracies.
    """
    mean, spread = statistics.mean(values), statistics.stdev(values)
    half = float(t.ppf(0.975, len(values) - 1)) * spread / len(values) ** 0.5
    return {"mean": mean, "sd": spread, "interval95": [max(0.0, mean - half), min(largest, mean + half)]}
