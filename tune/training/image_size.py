"""The size of the images that a network is trained on: as configured, and as it grows with progressive resizing."""

from __future__ import annotations

import cifar_models
from cifar_models import Preprocessing
from tune.training.config import TrainConfig

FULL_SIZE_FROM = 0.8
"""Fraction of the epochs after which progressive resizing has reached the full image size."""


def preprocessing_of(config: TrainConfig) -> Preprocessing:
    """The architecture's preprocessing at the configured image size. ValueError if it cannot train at that size."""
    architecture = cifar_models.load(config.model)
    own, smallest = architecture.preprocessing, architecture.smallest_image_size
    if config.initial_scale < 1 and smallest is None:
        raise ValueError(
            f"initial_scale is {config.initial_scale}, but {config.model} takes {own.image_size} px only; "
            "leave it at 1."
        )
    if config.image_size in (0, own.image_size):
        return own
    if smallest is None:
        raise ValueError(
            f"image_size is {config.image_size}, but {config.model} takes {own.image_size} px only; leave it at 0."
        )
    if config.image_size < smallest:
        raise ValueError(f"image_size is {config.image_size}, but {config.model} needs at least {smallest} px.")
    if config.image_size == smallest and config.batch_size == 1:
        # Its last feature map is a single pixel, and batch norm needs more than one value per channel.
        raise ValueError(
            f"batch_size is 1 at image_size {smallest}, where {config.model} needs at least 2; raise one of them."
        )
    return own.at(config.image_size)


def at_epoch(config: TrainConfig, preprocessing: Preprocessing, epoch: int) -> Preprocessing:
    """The preprocessing of training images in `epoch`, counted from 1. Images grow if `initial_scale` is below 1.

    Progressive resizing (Howard 2018, Tan & Le 2021). Sizes below the full one are multiples of 8, and large
    enough that the last feature map has more than one pixel.
    """
    smallest = cifar_models.load(config.model).smallest_image_size
    whole = preprocessing.image_size
    if config.initial_scale == 1 or smallest is None:
        return preprocessing
    grown = min(1.0, (epoch - 1) / (FULL_SIZE_FROM * config.epochs))
    side = 8 * round(whole * (config.initial_scale + (1 - config.initial_scale) * grown) / 8)
    return preprocessing.at(min(whole, max(side, smallest + 8)))
