"""What a finished model is worth on labelled images: accuracy and loss with intervals, alone and over seeds."""

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
    """What a model says of each image, beside what is true."""

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
        """In per cent."""
        return 100 * self._hits / len(self.labels)

    @property
    def losses(self) -> Tensor:
        """Cross-entropy of each image, float32 (n,)."""
        return -self._of_label

    @property
    def probability(self) -> Tensor:
        """Of the class predicted, float32 (n,)."""
        return self.log_probabilities.amax(1).exp()

    @property
    def probability_of_label(self) -> Tensor:
        """Of the true class, float32 (n,)."""
        return self._of_label.exp()

    @property
    def _hits(self) -> int:
        return int((self.predicted == self.labels).sum())

    @property
    def _of_label(self) -> Tensor:
        return self.log_probabilities.gather(1, self.labels[:, None]).squeeze(1)

    def figures(self) -> dict[str, Any]:
        """Accuracy (%) and loss, each with its 95 % interval (Wilson's; the normal one for the mean)."""
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
    """Shows all images to the model, in batches; `done` hears of each batch's size. On the CPU in the end."""
    answers = []
    batch_size = batch_size_at(predictor.preprocessing.image_size, images.pixels.device)
    for rows in torch.split(images.index, batch_size):
        answers.append(predictor(images.pixels[rows]))
        done(len(rows))
    return Judged(images.labels[images.index].cpu(), torch.cat(answers).cpu())


def mean_of(each: Sequence[Judged]) -> Judged:
    """What an ensemble says: the mean of its members' probabilities."""
    if len(each) == 1:
        return each[0]
    together = torch.stack([one.log_probabilities for one in each]).logsumexp(0) - math.log(len(each))
    return Judged(each[0].labels, together)


def over_seeds(values: Sequence[float], most: float = math.inf) -> dict[str, Any]:
    """Mean, standard deviation and the mean's 95 % interval (Student's t) of what differs by the seed alone.

    The interval is cut off at 0 and `most`, between which every value lies: 100 for accuracies.
    """
    mean, spread = statistics.mean(values), statistics.stdev(values)
    half = float(t.ppf(0.975, len(values) - 1)) * spread / len(values) ** 0.5
    return {"mean": mean, "sd": spread, "interval95": [max(0.0, mean - half), min(most, mean + half)]}
