"""The five blurs. Images are float32 (B, 32, 32, 3) in [0, 1], severities 1 to 5."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

Images = NDArray[np.floating]

SIDE = 32


def gaussian_blur(images: Images, severity: int, rng: Generator) -> Images:
    return smooth(images, (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1])


def glass_blur(images: Images, severity: int, rng: Generator) -> Images:
    """Pixels are replaced by a neighbour above or to the left. (The original means to swap them but copies.)"""
    deviation, delta, rounds = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))[severity - 1]
    shown = np.floor(smooth(images, deviation) * 255) / 255
    every = np.arange(len(images))
    for _ in range(rounds):
        for row in range(SIDE - delta, delta, -1):
            for column in range(SIDE - delta, delta, -1):
                across, down = rng.integers(-delta, delta, (2, len(images)))
                shown[:, row, column] = shown[every, row + down, column + across]
    return smooth(shown, deviation)


def defocus_blur(images: Images, severity: int, rng: Generator) -> Images:
    """Convolution with a disk, smoothed by a 3 x 3 Gaussian."""
    radius, deviation = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity - 1]
    at = np.arange(-3, 4)
    disk = (at[:, None] ** 2 + at**2 <= radius**2).astype(np.float64)
    soft = np.exp(-(np.array([-1, 0, 1]) ** 2) / (2 * deviation**2))
    kernel = ndimage.correlate(disk / disk.sum(), np.outer(soft, soft) / soft.sum() ** 2, mode="constant")
    return _float(ndimage.correlate(images, kernel[None, :, :, None], mode="mirror"))


def motion_blur(images: Images, severity: int, rng: Generator) -> Images:
    radius, deviation = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))[severity - 1]
    return moved(images, radius, deviation, rng.uniform(-45, 45, len(images)))


def zoom_blur(images: Images, severity: int, rng: Generator) -> Images:
    factors = np.arange(1, (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1], 0.01)
    total = images.copy()
    for factor in factors:
        total += zoomed(images, float(factor))
    return total / (len(factors) + 1)


def smooth(images: Images, deviation: float) -> Images:
    """A Gaussian blur along rows and columns, for (B, H, W, ...)."""
    along = (0, deviation, deviation) + (0,) * (images.ndim - 3)
    return _float(ndimage.gaussian_filter(images, along, mode="nearest"))


def moved(images: Images, radius: float, deviation: float, degrees: NDArray[np.float64]) -> Images:
    """ImageMagick's motion blur: a one-sided Gaussian along a line. Images (B, H, W, C), angles (B,) in degrees."""
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * deviation**2))
    weights /= weights.sum()
    angle = np.deg2rad(degrees)
    every, rows, columns = np.ogrid[: len(images), :SIDE, :SIDE]
    total = np.zeros_like(images)
    for tap, weight in zip(taps.tolist(), weights.tolist(), strict=True):
        if weight < 1e-5:
            continue
        across = np.ceil(tap * np.cos(angle) - 0.5).astype(int)[:, None, None]
        down = np.ceil(tap * np.sin(angle) - 0.5).astype(int)[:, None, None]
        at = (rows + down).clip(0, SIDE - 1), (columns + across).clip(0, SIDE - 1)
        total += weight * images[every, at[0], at[1]]
    return total


def zoomed(images: Images, factor: float) -> Images:
    """The centre of the images, (B, H, W, C), enlarged to full size by bilinear interpolation."""
    matrix = _zoom(factor)
    return _float(np.einsum("yr,xs,brsc->byxc", matrix, matrix, images, optimize=True))


@functools.cache
def _zoom(factor: float) -> Images:
    """The weights of `zoomed` along one axis, (32, 32): SciPy's zoom of a central crop, cropped again."""
    crop = math.ceil(SIDE / factor)
    first = (SIDE - crop) // 2
    size = round(crop * factor)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    for row in range(SIDE):
        place = (row + (size - SIDE) // 2) * (crop - 1) / (size - 1)
        below = min(int(place), crop - 2)
        matrix[row, first + below + 1] += place - below
        matrix[row, first + below] += 1 - (place - below)
    return matrix


def _float(images: NDArray[np.floating]) -> Images:
    return images.astype(np.float32, copy=False)
