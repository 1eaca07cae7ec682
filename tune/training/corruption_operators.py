"""Image corruptions as operators on a batch: noise, blur, weather, and digital artefacts.

Each takes images float32 (B, 3, H, W) in [0, 1], a severity and an `ImageRng`, and returns images of the same shape,
which may leave [0, 1]. The severity is in the operator's own unit and the same for the whole batch; `corruptions`
lists the values in use. All randomness comes from the `ImageRng`, image by image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tune.training import counter_rng


@dataclass
class ImageRng:
    """The random numbers of a batch. Each call returns new ones; an image's do not depend on the rest of the batch."""

    image: Tensor
    """int64 (B,): the index of each image in its data set."""

    seed: int
    calls: int = 0

    def uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1), float32 (B, *shape)."""
        self.calls += 1
        return counter_rng.uniform(self.seed, self.calls, self.image, math.prod(shape)).view(-1, *shape)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, float32 (B, *shape)."""
        self.calls += 1
        return counter_rng.normal(self.seed, self.calls, self.image, math.prod(shape)).view(-1, *shape)


def gaussian_noise(images: Tensor, std: float, rng: ImageRng) -> Tensor:
    return images + std * rng.normal(*images.shape[1:])


def shot_noise(images: Tensor, photons: float, rng: ImageRng) -> Tensor:
    """Poisson noise, approximated by its normal limit and rounded to whole photons; white is `photons` of them."""
    expected = images * photons
    return (expected + expected.sqrt() * rng.normal(*images.shape[1:])).round().clamp(min=0) / photons


def impulse_noise(images: Tensor, fraction: float, rng: ImageRng) -> Tensor:
    """Salt and pepper: a fraction of all channel values becomes 0 or 1."""
    number = rng.uniform(*images.shape[1:])
    return torch.where(number < fraction / 2, 0.0, torch.where(number < fraction, 1.0, images))


def defocus_blur(images: Tensor, radius: float, rng: ImageRng) -> Tensor:
    """Convolution with a disk of `radius` pixels, whose boundary pixels count by the fraction of them inside."""
    reach = math.ceil(radius)
    fine = 8
    at = (torch.arange((2 * reach + 1) * fine, device=images.device) + 0.5) / fine - reach - 0.5
    inside = (at[:, None] ** 2 + at**2 <= radius**2).float()
    kernel = F.avg_pool2d(inside[None, None], fine)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1, -1)
    return F.conv2d(F.pad(images, (reach,) * 4, mode="reflect"), kernel, groups=3)


def motion_blur(images: Tensor, length: float, rng: ImageRng) -> Tensor:
    """The camera moves `length` pixels along a line, in a random direction for each image."""
    angle = math.pi * rng.uniform()
    side = images.shape[-1]
    total = torch.zeros_like(images)
    steps = 2 * math.ceil(length) + 1
    for at in torch.linspace(-length / side, length / side, steps).tolist():  # in units of half a side
        total += _zoom_and_shift(images, torch.ones_like(angle), at * angle.cos(), at * angle.sin())
    return total / steps


def zoom_blur(images: Tensor, factor: float, rng: ImageRng) -> Tensor:
    """The lens zooms in by up to `factor` while the shutter is open."""
    zero = torch.zeros(len(images), device=images.device)
    zooms = torch.linspace(1, factor, 8).tolist()
    return torch.stack([_zoom_and_shift(images, zero + 1 / zoom, zero, zero) for zoom in zooms]).mean(0)


def fog(images: Tensor, density: float, rng: ImageRng) -> Tensor:
    """A bright, patchy haze, behind which contrast is lost."""
    haze = fractal_noise(images, rng, decay=2.0)
    return (images + density * haze) / (1 + density)


def snow(images: Tensor, fraction: float, rng: ImageRng) -> Tensor:
    """Flakes on a fraction of the pixels, motion-blurred, in front of a paler scene."""
    side = images.shape[-1]
    flakes = (rng.uniform(1, side, side) < fraction).float() * (0.5 + rng.uniform(1, side, side))
    falling = motion_blur(flakes, 3.0, rng) * 2.5
    pale = images.mean(1, keepdim=True) * 0.5 + 0.5
    return torch.lerp(images, torch.maximum(images, pale), 4 * fraction) + falling


def spatter(images: Tensor, fraction: float, rng: ImageRng) -> Tensor:
    """Drops that cover a fraction of the lens: of water, which brightens, or of mud, which occludes."""
    height = fractal_noise(images, rng, decay=1.5)
    level = height.flatten(1).quantile(1 - fraction, dim=1)[:, None, None, None]
    cover = ((height - level) * 8).clamp(0, 1)
    muddy = (rng.uniform() < 0.5)[:, None, None, None]
    water = images.new_tensor([0.7, 0.9, 0.95])[:, None, None]
    mud = images.new_tensor([0.3, 0.2, 0.1])[:, None, None]
    return torch.lerp(images, torch.where(muddy, mud, water), cover * torch.where(muddy, 0.9, 0.6))


def elastic(images: Tensor, shift: float, rng: ImageRng) -> Tensor:
    """Pixels are displaced by about `shift` pixels, along a smooth random field."""
    side = images.shape[-1]
    coarse = rng.normal(2, 6, 6)
    flow = F.interpolate(coarse, images.shape[2:], mode="bicubic", align_corners=True)
    identity = _grid(images)
    return _sample(images, identity + (2 / side * shift * flow).permute(0, 2, 3, 1))


def pixelate(images: Tensor, side: float, rng: ImageRng) -> Tensor:
    """Downsampled to `side` x `side` pixels and back."""
    small = F.interpolate(images, (round(side), round(side)), mode="bilinear", antialias=True)
    return F.interpolate(small, images.shape[2:], mode="nearest-exact")


def fractal_noise(images: Tensor, rng: ImageRng, decay: float) -> Tensor:
    """Fractal value noise in [0, 1], (B, 1, H, W): octaves, each with `decay` times the amplitude of the next finer."""
    total = torch.zeros_like(images[:, :1])
    cells, weight = 2, 1.0
    while cells <= images.shape[-1] // 2:
        octave = rng.uniform(1, cells + 1, cells + 1)
        total = total + weight * F.interpolate(octave, images.shape[2:], mode="bicubic", align_corners=True)
        cells, weight = cells * 2, weight / decay
    low, high = total.amin((2, 3), keepdim=True), total.amax((2, 3), keepdim=True)
    return (total - low) / (high - low)


def _zoom_and_shift(images: Tensor, scale: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Samples each image at `scale * position + (x, y)`, in units of half a side; scale, x and y are (B,)."""
    offset = torch.stack([x, y], dim=-1)[:, None, None]
    return _sample(images, _grid(images) * scale[:, None, None, None] + offset)


def _grid(images: Tensor) -> Tensor:
    """The position of each pixel, (1, H, W, 2), from -1 to 1."""
    identity = torch.eye(2, 3, device=images.device)[None]
    return F.affine_grid(identity, [1, 1, *images.shape[2:]], align_corners=False)


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    """The images at the positions `grid`, (B, H, W, 2): bilinear, reflected outside."""
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
