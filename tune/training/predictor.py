"""From pixels to probabilities in one module: the evaluation transform, one or several networks, and their mean."""

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
"""Pixels down and right by which test-time augmentation moves an image; each of them also mirrored."""


class Predictor(nn.Module):
    """uint8 (B, H, W, 3) -> the logarithm of each class's probability, float32 (B, classes).

    The mean is taken of probabilities, over all networks (an ensemble) and, with `tta`, over all views of an image.
    `exact` computes in float32 throughout, instead of bfloat16 where the hardware has it.
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
    """The images uint8 (B, H, W, 3) as test-time augmentation shows them; what a shift lays bare repeats the edge."""
    height, width = pixels.shape[1:3]
    for down, right in SHIFTS:
        rows = (torch.arange(height, device=pixels.device) - down).clamp(0, height - 1)
        columns = (torch.arange(width, device=pixels.device) - right).clamp(0, width - 1)
        for seen in (columns, columns.flip(0)):
            yield pixels[:, rows][:, :, seen]
