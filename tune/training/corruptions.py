"""Validation images under corruption: what `val_robust_acc` is measured on.

Each image has one corruption and strength, drawn from its number in the data set and a fixed seed: so all trials, of
any search and on any device, are judged by the same images. Training never sees these operators: they and those of
training are two disjoint lists (docs/robust.md), so that accuracy here is not a matter of having practised. They are
made of plain image operations, with strengths of our own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tune.training import corruption_operators as operate
from tune.training import hashed_noise
from tune.training.corruption_operators import Draw
from tune.training.images import ImageSet

SEED = 20_000

Operator = Callable[[Tensor, float, Draw], Tensor]

CORRUPTIONS: dict[str, tuple[Operator, tuple[float, float, float]]] = {
    # noise
    "gaussian_noise": (operate.gaussian_noise, (0.04, 0.08, 0.12)),  # deviation, of full brightness
    "shot_noise": (operate.shot_noise, (300.0, 100.0, 40.0)),  # photons at full brightness
    "impulse_noise": (operate.impulse_noise, (0.02, 0.05, 0.1)),  # share of all values
    # blur
    "defocus_blur": (operate.defocus_blur, (0.8, 1.2, 1.6)),  # radius, in pixels
    "motion_blur": (operate.motion_blur, (2.0, 3.5, 5.0)),  # length, in pixels
    "zoom_blur": (operate.zoom_blur, (1.1, 1.2, 1.3)),  # the largest factor
    # weather
    "fog": (operate.fog, (0.4, 0.8, 1.4)),  # its light, where it is thickest, against full brightness
    "snow": (operate.snow, (0.02, 0.04, 0.07)),  # share of pixels
    "spatter": (operate.spatter, (0.1, 0.2, 0.3)),  # share of pixels
    # digital
    "elastic": (operate.elastic, (0.5, 0.9, 1.4)),  # pixels
    "pixelate": (operate.pixelate, (24.0, 20.0, 16.0)),  # side, in pixels
}
"""Operators with their three strengths: mild, clear, strong. A person still recognises most images."""

STRENGTHS = 3

BATCH = 256
"""Images at once under an operator: their numbers then stay in a CPU's cache."""


def draw(image: Tensor, seed: int = SEED) -> tuple[Tensor, Tensor]:
    """Which corruption, into CORRUPTIONS, and which of its strengths, for images int64 (B,): int64 (B,) each."""
    numbers = hashed_noise.uniform(seed, 0, image, 1).squeeze(1)
    number = (numbers * len(CORRUPTIONS) * STRENGTHS).long()
    return number // STRENGTHS, number % STRENGTHS


def corrupt(pixels: Tensor, image: Tensor, seed: int = SEED) -> Tensor:
    """uint8 (B, H, W, 3), of images int64 (B,) of a data set -> the same, each under its own corruption."""
    kind, strength = draw(image, seed)
    result = torch.empty_like(pixels)
    for number, name in enumerate(CORRUPTIONS):
        for level in range(STRENGTHS):
            rows = ((kind == number) & (strength == level)).nonzero().squeeze(1)
            for some in torch.split(rows, BATCH) if len(rows) else ():
                result[some] = apply(name, level, pixels[some], image[some], seed)
    return result


def apply(name: str, level: int, pixels: Tensor, image: Tensor, seed: int = SEED) -> Tensor:
    """One corruption for a whole batch: uint8 (B, H, W, 3) -> the same."""
    operator, strengths = CORRUPTIONS[name]
    images = pixels.permute(0, 3, 1, 2).float() / 255
    changed = operator(images, strengths[level], Draw(image, seed))
    return (changed.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def corrupted(data: ImageSet, seed: int = SEED) -> ImageSet:
    """The images of a set, each under its own corruption, in its order."""
    pixels = corrupt(data.pixels[data.index], data.index, seed)
    index = torch.arange(len(data), device=data.index.device)
    return replace(data, pixels=pixels, labels=data.labels[data.index], index=index)
