"""From uint8 pixels to the batch a network trains on or is judged by, on whatever device the pixels are.

Every image of a batch has its own draw, and no step loops over images or makes the host wait for a CUDA device
(constants are copied there once, then kept). The order: operators, crop and flip, distort, normalise, resize, erase.
Inside, images keep their channels last, (B, H, W, 3): the result, seen as (B, 3, H, W), is then
`torch.channels_last` without a copy. Call it outside autocast, which would resample at half precision.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Generator, Tensor

from cifar_models.architecture import Preprocessing, StandardAugmentation
from tune.training import augmix, distortions, operators
from tune.training.config import TrainConfig

POLICIES = ("randaugment", "trivialaugment", "augmix")
"""Augmentations that change each image by drawn operators."""

PADDING = 4
"""Black pixels on each side, for the random crop of `crop_flip`."""

# torchvision's defaults. Areas are shares of the image's, aspects are width over height.
CROP_AREA, CROP_ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
ERASED_AREA, ERASED_ASPECT = (0.02, 0.33), (1 / 3.3, 1 / 0.3)
BOX_TRIES = 10


VIEWS = 3
"""Of an image, for the consistency loss."""


def training_batch(pixels: Tensor, config: TrainConfig, preprocessing: Preprocessing, generator: Generator) -> Tensor:
    """uint8 (B, 32, 32, 3) -> float32 (B, 3, S, S), channels last: augmented as `config` says, and normalised.

    With views, (B, VIEWS, 3, S, S): the first is neither changed by the policy nor distorted, and all of an image's
    have the same crop, flip and erasure, as in AugMix (Hendrycks et al. 2020).
    `generator` lives on the pixels' device; the pixels are left as they are.
    """
    if not has_views(config):
        return _view(pixels, config, preprocessing, generator, generator)
    start = generator.clone_state()
    first = _view(pixels, config, preprocessing, generator, generator, clean=True)
    others = [_view(pixels, config, preprocessing, generator, start.clone_state()) for _ in range(VIEWS - 1)]
    views = [first, *others]
    return torch.stack([view.permute(0, 2, 3, 1) for view in views], 1).permute(0, 1, 4, 2, 3)


def has_views(config: TrainConfig) -> bool:
    """Whether a step sees views of each image: for a consistency loss, where there is something to differ in."""
    return config.jsd > 0 and (config.augmentation in POLICIES or config.distortion > 0)


def _view(
    pixels: Tensor,
    config: TrainConfig,
    preprocessing: Preprocessing,
    generator: Generator,
    placing: Generator,
    clean: bool = False,
) -> Tensor:
    """(B, 3, S, S); `placing` draws the crop, the flip and what is erased. `clean`: neither policy nor distortion."""
    if config.augmentation in POLICIES and not clean:
        pixels = _operated(pixels, config, generator)
    geometry = _geometry(config, preprocessing)
    if geometry == "crop_flip":
        pixels = _crop_flip(pixels, placing)
    if config.distortion > 0 and not clean:  # the padding too, as of an image that was degraded whole
        pixels = distortions.draw_and_apply(pixels, config.distortion, generator)
    images = _normalised(pixels, preprocessing)
    if geometry == "resized_crop_flip":
        images = _resized_crop_flip(images, preprocessing.image_size, placing)
    else:
        images = _fitted(images, preprocessing)
    if config.random_erasing > 0:
        images = _erased(images, config.random_erasing, placing)
    return images.permute(0, 3, 1, 2)


def evaluation_batch(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (B, H, W, 3) of any size -> float32 (B, 3, S, S), channels last: nothing random."""
    return _fitted(_normalised(pixels, preprocessing), preprocessing).permute(0, 3, 1, 2)


def _geometry(config: TrainConfig, preprocessing: Preprocessing) -> StandardAugmentation:
    """The crop and flip that the policy means for this network."""
    if config.augmentation == "none" or config.augmentation == "crop_flip":
        return config.augmentation
    if config.augmentation in POLICIES and preprocessing.standard == "none":
        return "crop_flip"
    return preprocessing.standard


def _operated(pixels: Tensor, config: TrainConfig, generator: Generator) -> Tensor:
    """Under the policy's operators: uint8, of the same shape.

    They see the small image, not the resized one: 49 times fewer pixels than at 224, and one translation in pixels for
    every image_size. They come before the crop, as in Fast AutoAugment's code for CIFAR.
    """
    if config.augmentation == "augmix":
        return augmix.draw_and_apply(pixels, generator)
    assert config.augmentation in ("randaugment", "trivialaugment")
    return operators.draw_and_apply(pixels, config.augmentation, generator)


@lru_cache(maxsize=16)
def _scale_and_shift(preprocessing: Preprocessing, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What turns a row of pixels into normalised ones, (width * 3,) each: a vector of 3 would spoil vectorisation."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return (1 / (255 * std)).repeat(width).to(device), (-mean / std).repeat(width).to(device)


def _normalised(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 of the same shape. Before resizing, as there are fewer pixels then."""
    scale, shift = _scale_and_shift(preprocessing, pixels.shape[2], pixels.device)
    return pixels.flatten(2).float().mul_(scale).add_(shift).view(pixels.shape)


def _flips(batch: int, generator: Generator) -> Tensor:
    """Which images are mirrored: bool (B, 1), each with probability one half."""
    return torch.rand(batch, 1, generator=generator, device=generator.device) < 0.5


def _crop_flip(pixels: Tensor, generator: Generator) -> Tensor:
    """A crop of the image's own size from the padded image, mirrored or not: uint8, of the same shape.

    Gathers whole pixels, three bytes, by one flat index: on one CPU core 240 000 images/s, where indexing by image,
    row and column reaches 65 000.
    """
    batch, height, width, _ = pixels.shape
    device = pixels.device
    padded = torch.nn.functional.pad(pixels, (0, 0, PADDING, PADDING, PADDING, PADDING))
    top, left = torch.randint(2 * PADDING + 1, (2, batch, 1), generator=generator, device=device)
    along = torch.arange(width, device=device)
    column = left + torch.where(_flips(batch, generator), width - 1 - along, along)
    row = top + torch.arange(height, device=device)
    image = torch.arange(batch, device=device)[:, None]
    start = (image * padded.shape[1] + row) * padded.shape[2]
    source = start[:, :, None] + column[:, None, :]
    return padded.reshape(-1, 3).index_select(0, source.flatten()).view_as(pixels)


def _resized_crop_flip(images: Tensor, size: int, generator: Generator) -> Tensor:
    """torchvision's RandomResizedCrop and a flip: (B, side, side, 3) -> (B, size, size, 3)."""
    batch, side = images.shape[:2]
    top, left, height, width = _crop_boxes(batch, side, generator)
    rows, columns = _weights(top, height, side, size), _weights(left, width, side, size)
    mirrored = _flips(batch, generator)[..., None]
    return _resampled(images, rows, torch.where(mirrored, columns.flip(1), columns))


def _fitted(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Resized so that the shorter side is `resize`, then the centre: (B, H, W, 3) -> (B, S, S, 3)."""
    height, width, size = images.shape[1], images.shape[2], preprocessing.image_size
    shorter = preprocessing.resize or size
    if height == width == shorter == size:
        return images
    shortest = min(height, width)
    rows, columns = (_centre_weights(side, shorter * side // shortest, size, images.device) for side in (height, width))
    return _resampled(images, rows, columns)


@lru_cache(maxsize=16)
def _centre_weights(side: int, resized: int, size: int, device: torch.device) -> Tensor:
    """Weights (1, size, side) of the middle `size` of the `resized` pixels that a line of `side` becomes."""
    start, length = torch.zeros(1, device=device), torch.full((1,), float(side), device=device)
    first = round((resized - size) / 2)
    return _weights(start, length, side, resized)[:, first : first + size]


def _weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """How pixels `start` to `start + length` of a line of `side` become `size` pixels: weights (B, size, side).

    Linear interpolation, antialiased where it shrinks: the triangle filter of Pillow and of torchvision's Resize.
    As a matrix it takes another box for each image, which `interpolate` does not, and works alike on every device.
    """
    start, length = start[:, None, None], length[:, None, None]
    step = length / size
    centre = start + step * (torch.arange(size, device=start.device) + 0.5)[:, None]
    pixel = torch.arange(side, device=start.device) + 0.5
    weights = (1 - (pixel - centre).abs() / step.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel > start) & (pixel < start + length))
    return weights / weights.sum(2, keepdim=True)


def _resampled(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(B, H, W, 3), weights (B or 1, S, H) and (B or 1, T, W) -> (B, S, T, 3)."""
    batch, height = images.shape[:2]
    size, across = rows.shape[1], columns.shape[1]
    by_column = (columns @ images.transpose(1, 2).flatten(2)).view(batch, across, height, 3)
    return (rows @ by_column.transpose(1, 2).flatten(2)).view(batch, size, across, 3)


def _crop_boxes(batch: int, side: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height, width of RandomResizedCrop, whole numbers, (B,) each; the whole image where none fitted."""
    height, width, fits = _box_sizes(batch, side, side, CROP_AREA, CROP_ASPECT, generator)
    height, width = torch.where(fits, height, side), torch.where(fits, width, side)
    return _below(side - height + 1, generator), _below(side - width + 1, generator), height, width


def _erased(images: Tensor, probability: float, generator: Generator) -> Tensor:
    """Random Erasing (Zhong et al. 2017): a rectangle becomes 0, which is the mean colour. (B, S, S, 3), in place."""
    batch, side = images.shape[:2]
    # As in torchvision, a rectangle as long as the image does not fit.
    height, width, fits = _box_sizes(batch, side, side - 1, ERASED_AREA, ERASED_ASPECT, generator)
    top, left = _below(side - height + 1, generator), _below(side - width + 1, generator)
    chosen = fits & (torch.rand(batch, generator=generator, device=images.device) < probability)
    erased = inside(top, left, top + height, left + width, side) & chosen[:, None, None]
    return images.masked_fill_(erased[..., None], 0.0)


def _box_sizes(
    batch: int,
    side: int,
    longest: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    generator: Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Height, width, and whether they are at most `longest`: torchvision's rejection sampling, (B,) each.

    The area is uniform, the aspect log-uniform, and the first fitting one of ten draws counts. All ten are drawn
    at once: a loop until every image has its box would wait for the device.
    """
    uniform = torch.rand(2, batch, BOX_TRIES, generator=generator, device=generator.device)
    areas = side**2 * (area[0] + uniform[0] * (area[1] - area[0]))
    low, high = math.log(aspect[0]), math.log(aspect[1])
    aspects = (low + uniform[1] * (high - low)).exp()
    heights, widths = (areas / aspects).sqrt().round(), (areas * aspects).sqrt().round()
    fits = (heights <= longest) & (widths <= longest)
    first = fits.int().argmax(1, keepdim=True)
    return heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0], fits.any(1)


def _below(limit: Tensor, generator: Generator) -> Tensor:
    """Uniform whole numbers from 0 to limit - 1, of limit's shape and type."""
    uniform = torch.rand(limit.shape, generator=generator, device=limit.device)
    # Rounding may lift the largest product to the limit itself.
    return torch.minimum((uniform * limit).floor(), limit - 1)


def inside(top: Tensor, left: Tensor, bottom: Tensor, right: Tensor, side: int) -> Tensor:
    """Which pixels lie in each image's box, bottom and right excluded: (B,) each -> bool (B, side, side)."""
    along = torch.arange(side, device=top.device)
    rows = (along >= top[:, None]) & (along < bottom[:, None])
    columns = (along >= left[:, None]) & (along < right[:, None])
    return rows[:, :, None] & columns[:, None, :]
