"""The six digital corruptions. Images are float32 (B, 32, 32, 3) in [0, 1], severities 1 to 5."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Images = NDArray[np.floating]

SIDE = 32


def brightness(images: Images, severity: int, rng: Generator) -> Images:
    """Raises the value in HSV; hue and saturation are unchanged."""
    value: Images = images.max(-1, keepdims=True)
    brighter = np.minimum(value + (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1], 1)
    changed: Images = np.where(value > 0, images * brighter / np.maximum(value, 1e-6), brighter)
    return changed


def contrast(images: Images, severity: int, rng: Generator) -> Images:
    mean: Images = images.mean((1, 2), keepdims=True)
    return (images - mean) * (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1] + mean


def saturate(images: Images, severity: int, rng: Generator) -> Images:
    """Changes the saturation in HSV. Greys have hue 0 by convention, so raising their saturation turns them red."""
    factor, more = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))[severity - 1]
    value: Images = images.max(-1, keepdims=True)
    depth = value - images  # of each channel below the brightest
    deepest: Images = depth.max(-1, keepdims=True)
    saturation = deepest / np.maximum(value, 1e-6)
    wanted = np.clip(saturation * factor + more, 0, 1)
    red = value * wanted * np.array([0, 1, 1], np.float32)
    changed = np.where(saturation > 0, depth * wanted / np.maximum(saturation, 1e-6), red)
    return (value - changed).astype(np.float32)


def elastic_transform(images: Images, severity: int, rng: Generator) -> Images:
    """A random affine map followed by a smooth random displacement."""
    strength, deviation, corner = (
        (0, 0, SIDE * 0.08),
        (SIDE * 0.05, SIDE * 0.2, SIDE * 0.07),
        (SIDE * 0.08, SIDE * 0.06, SIDE * 0.06),
        (SIDE * 0.1, SIDE * 0.04, SIDE * 0.05),
        (SIDE * 0.1, SIDE * 0.03, SIDE * 0.03),
    )[severity - 1]
    batch = len(images)
    middle, reach = SIDE // 2, SIDE // 3
    points = np.array([[1, 1], [1, -1], [-1, -1]]) * reach + middle
    targets = points + rng.uniform(-corner, corner, (batch, 3, 2))
    # (x, y, 1) of a target times this matrix is its position in the original.
    back = np.linalg.solve(
        np.concatenate([targets, np.ones((batch, 3, 1))], -1), np.broadcast_to(points, (batch, 3, 2))
    )
    rows, columns = np.mgrid[:SIDE, :SIDE]
    place = np.stack([columns, rows, np.ones_like(rows)], -1).reshape(-1, 3) @ back
    turned = _sampled(images, place.reshape(batch, SIDE, SIDE, 2), mirror_at_centres=True)
    flow = rng.uniform(-1, 1, (2, batch, SIDE, SIDE))
    flow = strength * ndimage.gaussian_filter(flow, (0, 0, deviation, deviation), mode="reflect", truncate=3)
    return _sampled(turned, np.stack([columns + flow[0], rows + flow[1]], -1), mirror_at_centres=False)


def pixelate(images: Images, severity: int, rng: Generator) -> Images:
    side = int(SIDE * (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1])
    box = Image.Resampling.BOX
    return _by_pillow(images, lambda image: image.resize((side, side), box).resize((SIDE, SIDE), box))


def jpeg_compression(images: Images, severity: int, rng: Generator) -> Images:
    quality = (80, 65, 58, 50, 40)[severity - 1]

    def compressed(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _by_pillow(images, compressed)


def _sampled(images: Images, place: NDArray[np.float64], *, mirror_at_centres: bool) -> Images:
    """Samples images at `place`, (B, H, W, 2), x and y in px: bilinear, reflected at pixel centres or edges."""
    unit = 2 * place / (SIDE - 1) - 1 if mirror_at_centres else (2 * place + 1) / SIDE - 1
    grid = torch.from_numpy(unit.astype(np.float32))
    taken = F.grid_sample(
        torch.from_numpy(images).permute(0, 3, 1, 2), grid, padding_mode="reflection", align_corners=mirror_at_centres
    )
    result: Images = taken.permute(0, 2, 3, 1).numpy()
    return result


def _by_pillow(images: Images, change: Callable[[Image.Image], Image.Image]) -> Images:
    """Applies `change` to one image at a time, in 8 bits."""
    changed = [np.asarray(change(Image.fromarray(each))) for each in (images * 255).round().astype(np.uint8)]
    return np.stack(changed).astype(np.float32) / 255
