"""Turns uint8 pixels into the batches that a network trains or is evaluated on, on the pixels' device.

Each image gets its own random transform. Nothing loops over images, and nothing makes the host wait for a CUDA device:
constants are copied there once and cached. The order: policy, crop and flip, distortion, normalisation, resizing,
erasing. Images are (B, H, W, 3) throughout, so that the result, viewed as (B, 3, H, W), is channels-last without a
copy. Call these functions outside autocast, which would resample in half precision.
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
"""Augmentation policies that apply random operators to each image."""

PADDING = 4
"""Black pixels added on each side before the random crop of `crop_flip`."""

# The defaults of torchvision's RandomResizedCrop and RandomErasing: area relative to the image, aspect width / height.
CROP_AREA, CROP_ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
ERASED_AREA, ERASED_ASPECT = (0.02, 0.33), (1 / 3.3, 1 / 0.3)
BOX_TRIES = 10

VIEWS = 3
"""Views of each image for AugMix's consistency loss."""


def training_batch(pixels: Tensor, config: TrainConfig, preprocessing: Preprocessing, generator: Generator) -> Tensor:
    """uint8 (B, 32, 32, 3) -> float32 (B, 3, S, S), channels last: augmented as `config` says, and normalised.

    If `has_views(config)`, the result is (B, VIEWS, 3, S, S), as in AugMix (Hendrycks et al. 2020): the first view
    skips policy and distortion, and all views of an image share its crop, flip and erased rectangle. `generator` must
    be on the pixels' device. The pixels are not modified.
    """
    if not has_views(config):
        return _view(pixels, config, preprocessing, generator, generator)
    start = generator.clone_state()
    first = _view(pixels, config, preprocessing, generator, generator, clean=True)
    others = [_view(pixels, config, preprocessing, generator, start.clone_state()) for _ in range(VIEWS - 1)]
    views = [first, *others]
    return torch.stack([view.permute(0, 2, 3, 1) for view in views], 1).permute(0, 1, 4, 2, 3)


def has_views(config: TrainConfig) -> bool:
    """Whether training uses several views: the consistency loss is on, and something makes the views differ."""
    return config.jsd > 0 and (config.augmentation in POLICIES or config.distortion > 0)


def _view(
    pixels: Tensor,
    config: TrainConfig,
    preprocessing: Preprocessing,
    generator: Generator,
    placing: Generator,
    clean: bool = False,
) -> Tensor:
    """One view, (B, 3, S, S). `placing` draws crop, flip and erased rectangle; `clean` skips policy and distortion."""
    if config.augmentation in POLICIES and not clean:
        pixels = _operated(pixels, config, generator)
    geometry = _geometry(config, preprocessing)
    if geometry == "crop_flip":
        pixels = _crop_flip(pixels, placing)
    if config.distortion > 0 and not clean:  # after the crop, so that its padding is distorted as well
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
    """uint8 (B, H, W, 3) of any size -> float32 (B, 3, S, S), channels last, normalised. Deterministic."""
    return _fitted(_normalised(pixels, preprocessing), preprocessing).permute(0, 3, 1, 2)


def _geometry(config: TrainConfig, preprocessing: Preprocessing) -> StandardAugmentation:
    """How images are cropped and flipped under this configuration, for this network."""
    if config.augmentation == "none" or config.augmentation == "crop_flip":
        return config.augmentation
    if config.augmentation in POLICIES and preprocessing.standard == "none":
        return "crop_flip"
    return preprocessing.standard


def _operated(pixels: Tensor, config: TrainConfig, generator: Generator) -> Tensor:
    """Applies the policy's operators: uint8, same shape.

    They work on the original 32 x 32 pixels, which are 49 times fewer than at 224 and make translations independent of
    `image_size`. They come before the crop, as in Fast AutoAugment's code for CIFAR.
    """
    if config.augmentation == "augmix":
        return augmix.draw_and_apply(pixels, generator)
    assert config.augmentation in ("randaugment", "trivialaugment")
    return operators.draw_and_apply(pixels, config.augmentation, generator)


@lru_cache(maxsize=16)
def _scale_and_shift(preprocessing: Preprocessing, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Scale and shift of normalisation for a whole row, (width * 3,) each; vectors of 3 would defeat vectorisation."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return (1 / (255 * std)).repeat(width).to(device), (-mean / std).repeat(width).to(device)


def _normalised(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 of the same shape. Done before resizing, while there are fewer pixels."""
    scale, shift = _scale_and_shift(preprocessing, pixels.shape[2], pixels.device)
    return pixels.flatten(2).float().mul_(scale).add_(shift).view(pixels.shape)


def _flips(batch: int, generator: Generator) -> Tensor:
    """Which images to mirror, each with probability 1/2: bool (B, 1)."""
    return torch.rand(batch, 1, generator=generator, device=generator.device) < 0.5


def _crop_flip(pixels: Tensor, generator: Generator) -> Tensor:
    """A random crop of the padded image, mirrored at random: uint8, same shape.

    Pixels of three bytes are gathered by one flat index, at 240,000 images/s on a CPU core. Indexing by image, row and
    column reaches 65,000.
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
    """torchvision's RandomResizedCrop and RandomHorizontalFlip: (B, side, side, 3) -> (B, size, size, 3)."""
    batch, side = images.shape[:2]
    top, left, height, width = _crop_boxes(batch, side, generator)
    rows, columns = _weights(top, height, side, size), _weights(left, width, side, size)
    mirrored = _flips(batch, generator)[..., None]
    return _resampled(images, rows, torch.where(mirrored, columns.flip(1), columns))


def _fitted(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Resizes the shorter side to `resize`, then crops the centre: (B, H, W, 3) -> (B, S, S, 3)."""
    height, width, size = images.shape[1], images.shape[2], preprocessing.image_size
    shorter = preprocessing.resize or size
    if height == width == shorter == size:
        return images
    shortest = min(height, width)
    rows, columns = (_centre_weights(side, shorter * side // shortest, size, images.device) for side in (height, width))
    return _resampled(images, rows, columns)


@lru_cache(maxsize=16)
def _centre_weights(side: int, resized: int, size: int, device: torch.device) -> Tensor:
    """Weights (1, size, side) that resample a line of `side` pixels to `resized` and keep the central `size`."""
    start, length = torch.zeros(1, device=device), torch.full((1,), float(side), device=device)
    first = round((resized - size) / 2)
    return _weights(start, length, side, resized)[:, first : first + size]


def _weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Weights (B, size, side) that resample a segment of a line of `side` pixels to `size` pixels.

    Segments begin at `start` and are `length` long, (B,) each. Linear interpolation with antialiasing: the triangle
    filter of Pillow and of torchvision's Resize. Unlike `interpolate`, a matrix allows each image a box of its own, and
    gives the same result on every device.
    """
    start, length = start[:, None, None], length[:, None, None]
    step = length / size
    centre = start + step * (torch.arange(size, device=start.device) + 0.5)[:, None]
    pixel = torch.arange(side, device=start.device) + 0.5
    weights = (1 - (pixel - centre).abs() / step.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel > start) & (pixel < start + length))
    return weights / weights.sum(2, keepdim=True)


def _resampled(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images (B, H, W, 3), weights (B or 1, S, H) and (B or 1, T, W) -> (B, S, T, 3)."""
    batch, height = images.shape[:2]
    size, across = rows.shape[1], columns.shape[1]
    by_column = (columns @ images.transpose(1, 2).flatten(2)).view(batch, across, height, 3)
    return (rows @ by_column.transpose(1, 2).flatten(2)).view(batch, size, across, 3)


def _crop_boxes(batch: int, side: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width of RandomResizedCrop in pixels, (B,) each; the whole image if no draw fits."""
    height, width, fits = _box_sizes(batch, side, side, CROP_AREA, CROP_ASPECT, generator)
    height, width = torch.where(fits, height, side), torch.where(fits, width, side)
    return _below(side - height + 1, generator), _below(side - width + 1, generator), height, width


def _erased(images: Tensor, probability: float, generator: Generator) -> Tensor:
    """Random Erasing (Zhong et al. 2017) of images (B, S, S, 3), in place: a rectangle becomes 0, the mean colour."""
    batch, side = images.shape[:2]
    # As in torchvision, the rectangle must be smaller than the image in both directions.
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
    """Heights, widths, and whether both are at most `longest`, (B,) each: torchvision's rejection sampling.

    Areas are uniform, aspect ratios log-uniform; the first of ten draws that fits is taken. All ten are drawn at once,
    since a loop until every image has its box would make the host wait for the device.
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
    """Uniform integers from 0 to limit - 1, with the shape and dtype of `limit`."""
    uniform = torch.rand(limit.shape, generator=generator, device=limit.device)
    # Rounding can lift the product to the limit itself.
    return torch.minimum((uniform * limit).floor(), limit - 1)


def inside(top: Tensor, left: Tensor, bottom: Tensor, right: Tensor, side: int) -> Tensor:
    """Masks of boxes, (B,) each -> bool (B, side, side). `bottom` and `right` are exclusive."""
    along = torch.arange(side, device=top.device)
    rows = (along >= top[:, None]) & (along < bottom[:, None])
    columns = (along >= left[:, None]) & (along < right[:, None])
    return rows[:, :, None] & columns[:, None, :]
