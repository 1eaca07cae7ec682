"""Validation images under corruption, on which `val_robust_acc` is measured.

Each image has one corruption at one severity, drawn from its index in the data set and a fixed seed, so that all trials
of all searches are evaluated on the same images (on another device up to a float's rounding). Training never applies
these operators: its own are a disjoint list (docs/robust.md), since accuracy under corruptions trained on would say
nothing of others. They are plain image operations, with severities of our own choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tune.training import corruption_operators as ops
from tune.training import counter_rng
from tune.training.corruption_operators import ImageRng
from tune.training.images import ImageSet

SEED = 20_000

Operator = Callable[[Tensor, float, ImageRng], Tensor]

CORRUPTIONS: dict[str, tuple[Operator, tuple[float, float, float]]] = {
    # noise
    "gaussian_noise": (ops.gaussian_noise, (0.04, 0.08, 0.12)),  # standard deviation, relative to white
    "shot_noise": (ops.shot_noise, (300.0, 100.0, 40.0)),  # photons at white
    "impulse_noise": (ops.impulse_noise, (0.02, 0.05, 0.1)),  # fraction of channel values
    # blur
    "defocus_blur": (ops.defocus_blur, (0.8, 1.2, 1.6)),  # radius in px
    "motion_blur": (ops.motion_blur, (2.0, 3.5, 5.0)),  # length in px
    "zoom_blur": (ops.zoom_blur, (1.1, 1.2, 1.3)),  # largest factor
    # weather
    "fog": (ops.fog, (0.4, 0.8, 1.4)),  # brightness where it is thickest, relative to white
    "snow": (ops.snow, (0.02, 0.04, 0.07)),  # fraction of pixels
    "spatter": (ops.spatter, (0.1, 0.2, 0.3)),  # fraction of pixels
    # digital
    "elastic": (ops.elastic, (0.5, 0.9, 1.4)),  # displacement in px
    "pixelate": (ops.pixelate, (24.0, 20.0, 16.0)),  # side in px
}
"""Operators with their three severities: mild, clear, strong. People still recognise most of the images."""

SEVERITIES = 3

BATCH = 256
"""Images per call of an operator, so that they stay in a CPU's cache."""


def draw(image: Tensor) -> tuple[Tensor, Tensor]:
    """The corruption, an index into CORRUPTIONS, and the severity, 0 to 2, of images int64 (B,): int64 (B,) each."""
    numbers = counter_rng.uniform(SEED, 0, image, 1).squeeze(1)
    number = (numbers * len(CORRUPTIONS) * SEVERITIES).long()
    return number // SEVERITIES, number % SEVERITIES


def corrupt(pixels: Tensor, image: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) and their indices int64 (B,) -> uint8 (B, H, W, 3), each image under its own corruption."""
    kinds, severities = draw(image)
    result = torch.empty_like(pixels)
    for number, name in enumerate(CORRUPTIONS):
        for severity in range(SEVERITIES):
            rows = ((kinds == number) & (severities == severity)).nonzero().squeeze(1)
            for some in torch.split(rows, BATCH) if len(rows) else ():
                result[some] = apply(name, severity, pixels[some], image[some])
    return result


def apply(name: str, severity: int, pixels: Tensor, image: Tensor) -> Tensor:
    """One corruption at one severity, 0 to 2, for a whole batch: uint8 (B, H, W, 3) -> same."""
    operator, strengths = CORRUPTIONS[name]
    images = pixels.permute(0, 3, 1, 2).float() / 255
    changed = operator(images, strengths[severity], ImageRng(image, SEED))
    return (changed.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def corrupted(data: ImageSet) -> ImageSet:
    """The images of a set in the same order, each under its own corruption."""
    pixels = corrupt(data.pixels[data.index], data.index)
    index = torch.arange(len(data), device=data.index.device)
    return replace(data, pixels=pixels, labels=data.labels[data.index], index=index)
