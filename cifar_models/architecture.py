"""What an architecture file declares: how to build the network, and what its images must look like."""

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
    """From uint8 pixels of any size to what the network was made for. It travels with every checkpoint."""

    mean: tuple[float, float, float]
    """Mean of each channel, of pixels scaled to 0..1."""

    std: tuple[float, float, float]
    """Standard deviation of each channel, of pixels scaled to 0..1."""

    image_size: int
    """Side of the square the network sees, in pixels."""

    standard: StandardAugmentation
    """What the augmentation policy `standard` means for this network:
    `crop_flip`: random crop with 4 px of padding, horizontal flip; `resized_crop_flip`: RandomResizedCrop, flip."""

    resize: int | None = None
    """Evaluation resizes the image to this side first, then crops the centre; None: straight to `image_size`."""

    def at(self, image_size: int) -> Preprocessing:
        """The same for another input size, `resize` kept in proportion; 0 means its own."""
        if image_size in (0, self.image_size):
            return self
        resize = None if self.resize is None else round(self.resize * image_size / self.image_size)
        return replace(self, image_size=image_size, resize=resize)


@dataclass(frozen=True)
class Architecture:
    """One network: what a trial needs to know of it."""

    build: Callable[[Path | None], nn.Module]
    """Builds it for 100 classes; the argument is a state_dict's file to start from (None: random weights).
    torch is imported here and not with the file, whose facts are read before anything starts."""

    preprocessing: Preprocessing

    head: str
    """Name of the module that classifies; dropout comes before it."""

    early: tuple[str, ...]
    """Names of the modules that `freeze_epochs` holds still."""

    smallest_image_size: int | None = None
    """`image_size` may be anything from here on; None: the preprocessing's own alone."""

    pretrained: Pretrained | None = None
    """The weights it starts from when the user gives none; None: it takes no weights at all."""


@dataclass(frozen=True)
class Pretrained:
    """Weights that are published."""

    path: Callable[[], Path]
    """Where they lie, or will; without torch."""

    fetch: Callable[[], Path]
    """Downloads them unless they lie there. ValueError, with the mend, if they are out of reach."""
