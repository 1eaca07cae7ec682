"""What an architecture file declares: how to build the network, and how its images are preprocessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

StandardAugmentation = Literal["none", "crop_flip", "resized_crop_flip"]


@dataclass(frozen=True)
class Preprocessing:
    """How uint8 images of any size become the network's input. Saved with every model."""

    mean: tuple[float, float, float]
    """Mean of each channel, for pixels scaled to [0, 1]."""

    std: tuple[float, float, float]
    """Standard deviation of each channel, for pixels scaled to [0, 1]."""

    image_size: int
    """Side length of the network's square input, in pixels."""

    standard: StandardAugmentation
    """What the augmentation policy `standard` means for this network:
    `crop_flip`: random crop with 4 px of padding, horizontal flip; `resized_crop_flip`: RandomResizedCrop, flip."""

    resize: int | None = None
    """Evaluation resizes the shorter side to this many pixels, then crops the centre; None means to `image_size`."""

    def at(self, image_size: int) -> Preprocessing:
        """The same preprocessing for another input size, with `resize` in proportion."""
        resize = None if self.resize is None else round(self.resize * image_size / self.image_size)
        return replace(self, image_size=image_size, resize=resize)


@dataclass(frozen=True)
class Architecture:
    """One network, for trials and the final training alike."""

    build: Callable[[Path | None], nn.Module]
    """Builds the network for 100 classes, from a file with a state dict or with random weights (None).
    It imports torch itself, so that the rest of the file can be read without torch."""

    preprocessing: Preprocessing

    head: str
    """Name of the classifier module; `dropout` applies to its inputs."""

    early: tuple[str, ...]
    """Names of the modules that `freeze_epochs` freezes: the first of the network."""

    smallest_image_size: int | None = None
    """Smallest `image_size` that the network accepts; None if it accepts only that of its preprocessing."""

    pretrained: Pretrained | None = None
    """Weights to start from unless the user gives others; None if the network starts from random weights."""


@dataclass(frozen=True)
class Pretrained:
    """Published weights to start from."""

    path: Callable[[], Path]
    """Where the file is, or will be after `fetch`. It does not import torch."""

    fetch: Callable[[], Path]
    """Downloads the file unless it exists, and returns its path. ValueError if that fails."""
