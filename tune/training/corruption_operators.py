"""What can go wrong with a photograph, as operators on a batch: noise, blur, weather, and what digital handling does.

Images are float32 (B, 3, H, W) in [0, 1], and so are results, before clipping. A strength is a number in the operator's
own unit, the same for the batch; what is random is drawn by `Draw`, image by image. Strengths are in `corruptions`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tune.training import hashed_noise


@dataclass
class Draw:
    """The random numbers of a batch; each call yields new ones, which depend on the image alone."""

    image: Tensor
    """int64 (B,): the images' numbers in their data set."""

    seed: int
    calls: int = 0

    def uniform(self, *shape: int) -> Tensor:
        """float32 (B, *shape) in [0, 1)."""
        self.calls += 1
        return hashed_noise.uniform(self.seed, self.calls, self.image, math.prod(shape)).view(-1, *shape)

    def normal(self, *shape: int) -> Tensor:
        """float32 (B, *shape)."""
        self.calls += 1
        return hashed_noise.normal(self.seed, self.calls, self.image, math.prod(shape)).view(-1, *shape)


def gaussian_noise(images: Tensor, deviation: float, draw: Draw) -> Tensor:
    return images + deviation * draw.normal(*images.shape[1:])


def shot_noise(images: Tensor, photons: float, draw: Draw) -> Tensor:
    """`photons` at full brightness; Poisson's law by its normal limit, in whole photons."""
    expected = images * photons
    return (expected + expected.sqrt() * draw.normal(*images.shape[1:])).round().clamp(min=0) / photons


def impulse_noise(images: Tensor, share: float, draw: Draw) -> Tensor:
    """A share of all values is stuck, dark or bright."""
    number = draw.uniform(*images.shape[1:])
    return torch.where(number < share / 2, 0.0, torch.where(number < share, 1.0, images))


def defocus_blur(images: Tensor, radius: float, draw: Draw) -> Tensor:
    """A point becomes a disk of `radius` pixels; a pixel counts by its share inside."""
    reach = math.ceil(radius)
    fine = 8
    at = (torch.arange((2 * reach + 1) * fine, device=images.device) + 0.5) / fine - reach - 0.5
    inside = (at[:, None] ** 2 + at**2 <= radius**2).float()
    kernel = F.avg_pool2d(inside[None, None], fine)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1, -1)
    return F.conv2d(F.pad(images, (reach,) * 4, mode="reflect"), kernel, groups=3)


def motion_blur(images: Tensor, length: float, draw: Draw) -> Tensor:
    """The camera moves by `length` pixels along a line, in a direction of each image's own."""
    angle = math.pi * draw.uniform()
    side = images.shape[-1]
    total = torch.zeros_like(images)
    steps = 2 * math.ceil(length) + 1
    for at in torch.linspace(-length / side, length / side, steps).tolist():  # half a side is 1
        total += _seen(images, torch.ones_like(angle), at * angle.cos(), at * angle.sin())
    return total / steps


def zoom_blur(images: Tensor, most: float, draw: Draw) -> Tensor:
    """The lens zooms in, up to a factor of `most`, while the shutter is open."""
    none = torch.zeros(len(images), device=images.device)
    zooms = torch.linspace(1, most, 8).tolist()
    return torch.stack([_seen(images, none + 1 / zoom, none, none) for zoom in zooms]).mean(0)


def fog(images: Tensor, density: float, draw: Draw) -> Tensor:
    """A bright haze, in drifts; what is behind it loses contrast."""
    haze = clouds(images, draw, decay=2.0)
    return (images + density * haze) / (1 + density)


def snow(images: Tensor, share: float, draw: Draw) -> Tensor:
    """Flakes on a share of the pixels, smeared along their fall, before a scene that has turned pale."""
    side = images.shape[-1]
    flakes = (draw.uniform(1, side, side) < share).float() * (0.5 + draw.uniform(1, side, side))
    falling = motion_blur(flakes, 3.0, draw) * 2.5
    pale = images.mean(1, keepdim=True) * 0.5 + 0.5
    return torch.lerp(images, torch.maximum(images, pale), 4 * share) + falling


def spatter(images: Tensor, share: float, draw: Draw) -> Tensor:
    """Drops on the lens that cover a share of it: clear water, which brightens, or mud, which hides."""
    height = clouds(images, draw, decay=1.5)
    level = height.flatten(1).quantile(1 - share, dim=1)[:, None, None, None]
    cover = ((height - level) * 8).clamp(0, 1)
    muddy = (draw.uniform() < 0.5)[:, None, None, None]
    water = images.new_tensor([0.7, 0.9, 0.95])[:, None, None]
    mud = images.new_tensor([0.3, 0.2, 0.1])[:, None, None]
    return torch.lerp(images, torch.where(muddy, mud, water), cover * torch.where(muddy, 0.9, 0.6))


def elastic(images: Tensor, shift: float, draw: Draw) -> Tensor:
    """Pixels move by about `shift`, neighbours alike."""
    side = images.shape[-1]
    coarse = draw.normal(2, 6, 6)
    flow = F.interpolate(coarse, images.shape[2:], mode="bicubic", align_corners=True)
    identity = _grid(images)
    return _sampled(images, identity + (2 / side * shift * flow).permute(0, 2, 3, 1))


def pixelate(images: Tensor, side: float, draw: Draw) -> Tensor:
    """Seen by a sensor of `side` x `side` pixels."""
    small = F.interpolate(images, (round(side), round(side)), mode="bilinear", antialias=True)
    return F.interpolate(small, images.shape[2:], mode="nearest-exact")


def clouds(images: Tensor, draw: Draw, decay: float) -> Tensor:
    """A random height for each pixel, (B, 1, H, W) from 0 to 1: octaves of noise, each `decay` times the next finer."""
    total = torch.zeros_like(images[:, :1])
    cells, weight = 2, 1.0
    while cells <= images.shape[-1] // 2:
        octave = draw.uniform(1, cells + 1, cells + 1)
        total = total + weight * F.interpolate(octave, images.shape[2:], mode="bicubic", align_corners=True)
        cells, weight = cells * 2, weight / decay
    low, high = total.amin((2, 3), keepdim=True), total.amax((2, 3), keepdim=True)
    return (total - low) / (high - low)


def _seen(images: Tensor, scale: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Each image shrunk or enlarged about (x, y); scale, x and y are (B,), in halves of its side."""
    offset = torch.stack([x, y], dim=-1)[:, None, None]
    return _sampled(images, _grid(images) * scale[:, None, None, None] + offset)


def _grid(images: Tensor) -> Tensor:
    """Where each pixel lies, (1, H, W, 2), from -1 to 1."""
    identity = torch.eye(2, 3, device=images.device)[None]
    return F.affine_grid(identity, [1, 1, *images.shape[2:]], align_corners=False)


def _sampled(images: Tensor, grid: Tensor) -> Tensor:
    """The images at the places of `grid`, (B, H, W, 2), between pixels linearly, mirrored outside."""
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
