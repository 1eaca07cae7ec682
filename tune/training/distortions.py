"""Distortions of training images: noise, blur and coarse quantisation, drawn for each image of a batch.

They are disjoint from the corruptions of the validation images (`val_robust_acc`), and a test keeps them so: accuracy
under corruptions that were trained on would say nothing of others. Images are uint8 (B, H, W, 3), strengths float32
(B,) from 0, which changes (almost) nothing, to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Generator, Tensor

# At strength 1:
MAX_NOISE = 0.2 * 255  # maximum deviation, in levels
MAX_SPECKLE = 0.4  # standard deviation, relative to the pixel's level
MAX_BOX = 4.0  # px
BEST_QUALITY, WORST_QUALITY = 90.0, 15.0  # at strengths 0 and 1, on JPEG's scale from 1 to 100

BLOCK = 8
# The quantisation tables of ITU-T T.81 (JPEG), annex K, for quality 50.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99), (47, 66, 99, 99, 99, 99, 99, 99),
    *[(99,) * BLOCK] * 4,
)  # fmt: skip
# RGB to YCbCr by ITU-T T.871 (JFIF).
YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def draw_and_apply(pixels: Tensor, probability: float, generator: Generator) -> Tensor:
    """Distorts each image with this probability, by a random distortion at a random strength: uint8, same shape."""
    batch, device = len(pixels), pixels.device
    kind = torch.randint(len(DISTORTIONS), (batch,), generator=generator, device=device)
    strength = torch.rand(batch, generator=generator, device=device)
    spared = torch.rand(batch, generator=generator, device=device) >= probability
    return apply(pixels, kind.masked_fill(spared, -1), strength, generator)


def apply(pixels: Tensor, kind: Tensor, strength: Tensor, generator: Generator) -> Tensor:
    """Distorts each image by its `kind`, int64 (B,), an index into DISTORTIONS or -1 for none: uint8, same shape.

    On a CPU each distortion is computed only for the images that it applies to. On CUDA finding those would make the
    host wait for the device, so every distortion is computed for all images.
    """
    result = pixels
    for own, name in enumerate(DISTORTIONS):
        if pixels.device.type != "cpu":
            changed = _distorted(name, pixels, strength, generator)
            result = torch.where((kind == own)[:, None, None, None], changed, result)
        elif len(rows := (kind == own).nonzero().squeeze(1)):
            result = result.index_copy(0, rows, _distorted(name, pixels[rows], strength[rows], generator))
    return result


def _distorted(name: str, pixels: Tensor, strength: Tensor, generator: Generator) -> Tensor:
    image = _BY_NAME[name](pixels.float(), strength, generator)
    return image.round_().clamp_(0, 255).to(torch.uint8)


# Each takes levels in [0, 255], float32 (B, H, W, 3), and strengths (B,); the levels it returns may lie outside.


def uniform_noise(image: Tensor, strength: Tensor, generator: Generator) -> Tensor:
    """Uniform noise, independent in each channel."""
    noise = 2 * torch.rand(image.shape, generator=generator, device=image.device) - 1
    return image + noise * (MAX_NOISE * strength)[:, None, None, None]


def speckle_noise(image: Tensor, strength: Tensor, generator: Generator) -> Tensor:
    """Gaussian noise proportional to the level, as under coherent light."""
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    return image + image * noise * (MAX_SPECKLE * strength)[:, None, None, None]


def box_blur(image: Tensor, strength: Tensor, generator: Generator) -> Tensor:
    """The mean over a square of side 1 to MAX_BOX, fractions of a pixel included."""
    width = (1 + (MAX_BOX - 1) * strength)[:, None, None]
    rows, columns = (_box_weights(width, side)[:, None] for side in image.shape[1:3])
    return _both_ways(image.permute(0, 3, 1, 2), rows, columns).permute(0, 2, 3, 1)


def _box_weights(width: Tensor, side: int) -> Tensor:
    """Weights of a box filter along a line of `side` pixels, (B, side, side), renormalised at the borders."""
    along = torch.arange(side, device=width.device)
    weights = ((width + 1) / 2 - (along - along[:, None]).abs()).clamp(0, 1)
    return weights / weights.sum(2, keepdim=True)


def dct_quantisation(image: Tensor, strength: Tensor, generator: Generator) -> Tensor:
    """The loss of JPEG without the coding: the DCT of 8 x 8 blocks, quantised with JPEG's tables.

    Chrominance is not subsampled. Height and width must be multiples of 8.
    """
    height, width = image.shape[1:3]
    assert height % BLOCK == width % BLOCK == 0
    to_ycc, to_rgb, table = _colours_and_table(image.device)
    rows, columns = (_cosines(side, image.device) for side in (height, width))
    quality = BEST_QUALITY + (WORST_QUALITY - BEST_QUALITY) * strength
    # How the Independent JPEG Group's library scales the tables by quality.
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None, None]
    step = ((table * percent + 50) / 100).floor().clamp(1, 255).repeat(1, 1, height // BLOCK, width // BLOCK)
    planes = ((image - 128) @ to_ycc.T).permute(0, 3, 1, 2)
    rounded = (_both_ways(planes, rows, columns) / step).round_() * step
    return _both_ways(rounded, rows.T, columns.T).permute(0, 2, 3, 1) @ to_rgb.T + 128


def _both_ways(planes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`rows @ plane @ columns.mT` for each plane of (B, 3, H, W)."""
    return rows @ planes @ columns.mT


@lru_cache(maxsize=16)
def _cosines(side: int, device: torch.device) -> Tensor:
    """The orthonormal DCT-II of each block of a line, as a matrix (side, side)."""
    position = torch.arange(BLOCK, dtype=torch.float64) + 0.5
    frequency = torch.arange(BLOCK, dtype=torch.float64)[:, None]
    block = (math.pi / BLOCK * frequency * position).cos() * math.sqrt(2 / BLOCK)
    block[0] *= math.sqrt(0.5)
    return torch.kron(torch.eye(side // BLOCK), block.float()).to(device)


@lru_cache(maxsize=16)
def _colours_and_table(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """RGB to YCbCr, (3, 3), its inverse, and the quantisation tables of the channels at quality 50, (3, 8, 8)."""
    to_ycc, table = torch.tensor(YCC), torch.tensor((LUMINANCE, CHROMINANCE, CHROMINANCE), dtype=torch.float32)
    return to_ycc.to(device), to_ycc.inverse().to(device), table.to(device)


_BY_NAME: dict[str, Callable[[Tensor, Tensor, Generator], Tensor]] = {
    "uniform_noise": uniform_noise,
    "speckle_noise": speckle_noise,
    "box_blur": box_blur,
    "dct_quantisation": dct_quantisation,
}
DISTORTIONS = tuple(_BY_NAME)
