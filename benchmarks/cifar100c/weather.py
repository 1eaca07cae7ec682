"""Snow, frost, fog, spatter. Images are float32 (B, 32, 32, 3) in [0, 1], severities 1 to 5."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.cifar100c.blur import moved, smooth, zoomed

Images = NDArray[np.floating]

SIDE = 32
GREY = np.array([0.299, 0.587, 0.114], np.float32)


def snow(images: Images, severity: int, rng: Generator) -> Images:
    mean, deviation, zoom, least, radius, sigma, kept = (
        (0.1, 0.2, 1.0, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1.0, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )[severity - 1]
    flakes = zoomed(_normal(rng, len(images), mean, deviation)[..., None], zoom)
    flakes = np.where(flakes < least, 0, np.clip(flakes, 0, 1)).astype(np.float32)
    flakes = moved(flakes, radius, sigma, rng.uniform(-135, -45, len(images)))
    pale = np.maximum(images, (images @ GREY)[..., None] * 1.5 + 0.5)
    return kept * images + (1 - kept) * pale + flakes + flakes[:, ::-1, ::-1]


def frost(images: Images, severity: int, rng: Generator) -> Images:
    kept, ice = ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[severity - 1]
    return kept * images + ice * _ice(len(images), rng)


def _ice(batch: int, rng: Generator) -> Images:
    """Bluish needles in three directions over a cloudy pane, instead of the authors' photographs."""
    pane = plasma(batch, 2.0, rng)[..., None]
    needles = np.zeros_like(pane)
    for _ in range(3):
        seeds = (rng.random((batch, SIDE, SIDE, 1)) < 0.04).astype(np.float32)
        needles = np.maximum(needles, moved(seeds, 8, 4.0, rng.uniform(0, 360, batch)) * 6)
    tint = np.array([0.8, 0.92, 1.0], np.float32)
    return np.clip(0.15 + 0.5 * pane + 0.6 * np.minimum(needles, 1), 0, 1) * tint


def fog(images: Images, severity: int, rng: Generator) -> Images:
    density, decay = ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))[severity - 1]
    brightest: Images = images.max((1, 2, 3), keepdims=True)
    haze = density * plasma(len(images), decay, rng)[..., None]
    return (images + haze) * brightest / (brightest + density)


def plasma(batch: int, decay: float, rng: Generator) -> Images:
    """The diamond-square fractal on a torus, (B, 32, 32) in [0, 1]; each finer step has 1 / `decay` the range."""
    height = np.zeros((batch, SIDE, SIDE))
    step, wibble = SIDE, 100.0

    def about(total: NDArray[np.float64]) -> NDArray[np.float64]:
        return total / 4 + wibble * rng.uniform(-wibble, wibble, total.shape)

    while step >= 2:
        half = step // 2
        corners = height[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, 1)
        height[:, half::step, half::step] = about(pairs + np.roll(pairs, -1, 2))
        centres = height[:, half::step, half::step]
        beside, below = corners + np.roll(corners, -1, 2), corners + np.roll(corners, -1, 1)
        height[:, ::step, half::step] = about(beside + centres + np.roll(centres, 1, 1))
        height[:, half::step, ::step] = about(below + centres + np.roll(centres, 1, 2))
        step, wibble = half, wibble / decay
    height -= height.min((1, 2), keepdims=True)
    highest: Images = height.max((1, 2), keepdims=True)
    return (height / highest).astype(np.float32)


def spatter(images: Images, severity: int, rng: Generator) -> Images:
    mean, deviation, sigma, least, strength, muddy = (
        (0.62, 0.1, 0.7, 0.7, 0.5, False),
        (0.65, 0.1, 0.8, 0.7, 0.5, False),
        (0.65, 0.3, 1.0, 0.69, 0.5, False),
        (0.65, 0.1, 0.7, 0.69, 0.6, True),
        (0.65, 0.1, 0.5, 0.68, 0.6, True),
    )[severity - 1]
    liquid = smooth(_normal(rng, len(images), mean, deviation), sigma)
    if muddy:
        cover = smooth((liquid > least).astype(np.float32), strength)
        cover = np.where(cover < 0.8, 0, cover).astype(np.float32)[..., None]
        return images * (1 - cover) + cover * np.array([63, 42, 20], np.float32) / 255
    drops = _shaded(np.where(liquid < least, 0, np.floor(liquid * 255).clip(0, 255)).astype(np.float32))
    return images + strength * drops[..., None] * np.array([175, 238, 238], np.float32) / 255


def _shaded(liquid: Images) -> Images:
    """The brightness of water drops, (B, 32, 32) in [0, 1], from their depth and the distance to their edges."""
    edge = _edges(liquid)
    far = np.stack(
        [ndimage.distance_transform_edt(~each) if each.any() else np.full(each.shape, 20.0) for each in edge]
    )
    far = _equalized(np.floor(_box(np.minimum(far, 20))).astype(np.int64))
    slope = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float64)
    light = _box(ndimage.correlate(far, slope[None], mode="mirror").clip(0, 255))
    shaded = liquid * light
    brightest: Images = shaded.max((1, 2), keepdims=True)
    return (shaded / np.maximum(brightest, 1e-6)).astype(np.float32)


def _edges(grey: Images) -> NDArray[np.bool_]:
    """Canny edges without hysteresis: strong gradients that are local maxima across the edge. (B, 32, 32)."""
    across, down = (ndimage.sobel(grey, axis=axis, mode="nearest") for axis in (2, 1))
    steep = np.abs(across) + np.abs(down)
    padded = np.pad(steep, ((0, 0), (1, 1), (1, 1)))
    rows, columns = slice(1, SIDE + 1), slice(1, SIDE + 1)

    def neighbour(row: int, column: int) -> Images:
        return padded[:, rows.start + row : rows.stop + row, columns.start + column : columns.stop + column]

    flat, upright = np.abs(down) < 0.4142 * np.abs(across), np.abs(across) < 0.4142 * np.abs(down)
    rising = (across > 0) == (down > 0)
    ways = [
        (flat, 0, 1),
        (~flat & upright, 1, 0),
        (~flat & ~upright & rising, 1, 1),
        (~flat & ~upright & ~rising, 1, -1),
    ]
    thin = np.zeros(grey.shape, bool)
    for of, row, column in ways:
        thin |= of & (steep > neighbour(-row, -column)) & (steep >= neighbour(row, column))
    edges: NDArray[np.bool_] = thin & (steep > 150)
    return edges


def _equalized(levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Histogram equalisation of each image, from levels 0 to 255, as in OpenCV."""
    batch, size = len(levels), levels[0].size
    flat = levels.reshape(batch, -1)
    count = np.bincount((flat + 256 * np.arange(batch)[:, None]).ravel(), minlength=256 * batch).reshape(batch, 256)
    lowest = np.take_along_axis(count, flat.min(1)[:, None], 1)
    table = (count.cumsum(1) - lowest) * 255 / np.maximum(size - lowest, 1)
    return np.take_along_axis(table.round().clip(0, 255), flat, 1).reshape(levels.shape)


def _box(grey: NDArray[np.floating]) -> NDArray[np.float64]:
    """A 3 x 3 box filter."""
    result: NDArray[np.float64] = ndimage.uniform_filter(grey.astype(np.float64), (1, 3, 3), mode="mirror")
    return result


def _normal(rng: Generator, batch: int, mean: float, deviation: float) -> Images:
    return mean + deviation * rng.standard_normal((batch, SIDE, SIDE), dtype=np.float32)
