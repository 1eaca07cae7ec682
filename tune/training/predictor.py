"""From pixels to probabilities in one module: the evaluation transform, one or more networks, and their mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from cifar_models import Preprocessing
from tune.training.augment import evaluation_batch
from tune.training.evaluate import mixed_precision

SHIFTS = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Shifts of test-time augmentation, in pixels down and right; each view is also used mirrored."""


class Predictor(nn.Module):
    """uint8 (B, H, W, 3) -> log-probabilities, float32 (B, classes).

    Probabilities are averaged over all networks (an ensemble) and, with `tta`, over ten views of each image.
    `exact` computes in float32 even where the hardware multiplies bfloat16.
    """

    def __init__(
        self, networks: Sequence[nn.Module], preprocessing: Preprocessing, *, tta: bool = False, exact: bool = False
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.preprocessing, self.tta, self.exact = preprocessing, tta, exact

    def forward(self, pixels: Tensor) -> Tensor:
        answers: list[Tensor] = []
        for view in views(pixels) if self.tta else (pixels,):
            images = evaluation_batch(view, self.preprocessing)  # in float32: autocast would resize in half precision
            for network in self.networks:
                with nullcontext() if self.exact else mixed_precision(pixels.device):
                    out = network(images)
                answers.append(out.float().log_softmax(1))
        if len(answers) == 1:
            return answers[0]
        return torch.stack(answers).logsumexp(0) - math.log(len(answers))


def views(pixels: Tensor) -> Iterator[Tensor]:
    """The ten views of test-time augmentation, uint8 (B, H, W, 3) each. Shifts repeat the pixels at the edge."""
    height, width = pixels.shape[1:3]
    for down, right in SHIFTS:
        rows = (torch.arange(height, device=pixels.device) - down).clamp(0, height - 1)
        columns = (torch.arange(width, device=pixels.device) - right).clamp(0, width - 1)
        for seen in (columns, columns.flip(0)):
            yield pixels[:, rows][:, :, seen]
