"""From uint8 pixels to the batch a network trains on or is judged by, on whatever device the pixels are.

Every image of a batch has its own draw, and no step loops over images or makes the host wait for a CUDA device
(constants are copied there once, then kept). The order: operators, crop and flip, normalise, resize, erase.
Inside, images keep their channels last, (B, H, W, 3): the result, seen as (B, 3, H, W), is then
`torch.channels_last` without a copy. Call it outside autocast, which would resample at half precision.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Generator, Tensor

from cifar_models.architecture import Preprocessing, StandardAugmentation
from tune.training import operators
from tune.training.config import TrainConfig

PADDING = 4
"""Black pixels on each side, for the random crop of `crop_flip`."""

# torchvision's defaults. Areas are shares of the image's, aspects are width over height.
CROP_AREA, CROP_ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
ERASED_AREA, ERASED_ASPECT = (0.02, 0.33), (1 / 3.3, 1 / 0.3)
BOX_TRIES = 10


def training_batch(pixels: Tensor, config: TrainConfig, preprocessing: Preprocessing, generator: Generator) -> Tensor:
    """uint8 (B, 32, 32, 3) -> float32 (B, 3, S, S), channels last: augmented as `config` says, and normalised.

    `generator` lives on the pixels' device; the pixels are left as they are.
    """
    # The operators see the small image, not the resized one: 49 times fewer pixels than at 224, and one translation
    # in pixels for every image_size. They come before the crop, as in Fast AutoAugment's code for CIFAR.
    if config.augmentation == "randaugment" or config.augmentation == "trivialaugment":
        pixels = operators.draw_and_apply(pixels, config.augmentation, generator)
    geometry = _geometry(config, preprocessing)
    if geometry == "crop_flip":
        pixels = _crop_flip(pixels, generator)
    images = _normalised(pixels, preprocessing)
    if geometry == "resized_crop_flip":
        images = _resized_crop_flip(images, preprocessing.image_size, generator)
    else:
        images = _fitted(images, preprocessing)
    if config.random_erasing > 0:
        images = _erased(images, config.random_erasing, generator)
    return images.permute(0, 3, 1, 2)


def evaluation_batch(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (B, H, W, 3) of any size -> float32 (B, 3, S, S), channels last: nothing random."""
    return _fitted(_normalised(pixels, preprocessing), preprocessing).permute(0, 3, 1, 2)


def mix(images: Tensor, labels: Tensor, config: TrainConfig, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """MixUp (Zhang et al. 2017) and CutMix (Yun et al. 2019), each image with its own partner and share.

    Images (B, 3, S, S) and labels (B,) -> mixed images, the partners' labels, and the share of an image's own label,
    float32 (B,): the loss is `share * loss(labels) + (1 - share) * loss(partner_labels)`.
    """
    batch, side, device = len(images), images.shape[-1], images.device
    if config.mixup == 0 and config.cutmix == 0:
        return images, labels, _all_their_own(batch, device)
    partner = torch.randperm(batch, generator=generator, device=device)
    # How much of each pixel is the image's own, (B, 1, 1, 1) or (B, S, S, 1), and of its label, (B,).
    share = torch.ones(batch, device=device)
    own = share[:, None, None, None]
    if config.mixup > 0:
        share = _beta(config.mixup, batch, generator)
        own = share[:, None, None, None]
    if config.cutmix > 0:
        inside = _cutmix_boxes(_beta(config.cutmix, batch, generator), side, generator)
        cuts = torch.rand(batch, generator=generator, device=device) < (0.5 if config.mixup > 0 else 1.0)
        own = torch.where(cuts[:, None, None, None], (~inside[..., None]).float(), own)
        share = torch.where(cuts, 1 - inside.sum((1, 2)) / side**2, share)
    rows = images.permute(0, 2, 3, 1)  # channels last stays channels last
    mixed = torch.lerp(rows.index_select(0, partner), rows, own)
    return mixed.permute(0, 3, 1, 2), labels[partner], share


@lru_cache(maxsize=16)  # it would be one more launch a step
def _all_their_own(batch: int, device: torch.device) -> Tensor:
    return torch.ones(batch, device=device)


def _geometry(config: TrainConfig, preprocessing: Preprocessing) -> StandardAugmentation:
    """The crop and flip that the policy means for this network."""
    if config.augmentation == "none" or config.augmentation == "crop_flip":
        return config.augmentation
    if config.augmentation != "standard" and preprocessing.standard == "none":
        return "crop_flip"
    return preprocessing.standard


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
    inside = _inside(top, left, top + height, left + width, side)
    return images.masked_fill_((inside & chosen[:, None, None])[..., None], 0.0)


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


def _inside(top: Tensor, left: Tensor, bottom: Tensor, right: Tensor, side: int) -> Tensor:
    """Which pixels lie in each image's box, bottom and right excluded: (B,) each -> bool (B, side, side)."""
    along = torch.arange(side, device=top.device)
    rows = (along >= top[:, None]) & (along < bottom[:, None])
    columns = (along >= left[:, None]) & (along < right[:, None])
    return rows[:, :, None] & columns[:, None, :]


def _cutmix_boxes(share: Tensor, side: int, generator: Generator) -> Tensor:
    """Where the partner shows, bool (B, side, side): squares of area 1 - share, cut off at the image's border."""
    half = (0.5 * (1 - share).sqrt() * side).floor()
    y, x = torch.randint(side, (2, len(share)), generator=generator, device=share.device)
    return _inside(y - half, x - half, y + half, x + half, side)


def _beta(alpha: float, count: int, generator: Generator) -> Tensor:
    """Draws of Beta(alpha, alpha), float32 (count,). torch.distributions would not take the generator.

    The share of one Gamma(alpha) draw in the sum of two. Each is a Gamma(alpha + 1) draw times U^(1 / alpha)
    (Marsaglia & Tsang 2000), kept as a logarithm: for a small alpha the draws themselves underflow to 0 / 0.
    """
    device = generator.device
    alpha = max(alpha, 1e-6)  # of any smaller one the draws are 0 and 1 just the same, but not to float32
    gamma = torch._standard_gamma(torch.full((2, count), alpha + 1.0, device=device), generator=generator)
    uniform = 1 - torch.rand(2, count, generator=generator, device=device)  # 0 excluded, for the logarithm
    logarithm = gamma.log() + uniform.log() / alpha
    return (logarithm[0] - logarithm[1]).sigmoid()
