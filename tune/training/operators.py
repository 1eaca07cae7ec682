"""The image operators of the augmentation policies, on batches in which each image has its own operator.

They agree with `torchvision.transforms.v2`, whose transforms draw one operator and one magnitude per call. Applied to a
batch that would be a weaker augmentation, and a loop over images would cost more than a small network's training step.

An operator either samples pixels from elsewhere, blends the image with a degenerate version of itself, or maps levels
through a table. So a batch passes three stages, `warp`, `blend` and `remap`, each of which leaves all other operators'
images unchanged. Images are uint8 (B, H, W, 3), operators int64 (B,), indices into OPERATORS, and magnitudes float32
(B,) in the operator's own unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from torch import Generator, Tensor

Policy = Literal["randaugment", "trivialaugment"]

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
BLENDS = ("color", "sharpness")
REMAPS = ("brightness", "contrast", "posterize", "solarize", "autocontrast", "equalize")
OPERATORS = ("identity", *GEOMETRIC, *BLENDS, *REMAPS)
SIGNED = (*GEOMETRIC, *BLENDS, "brightness", "contrast")
"""Operators whose magnitude is negated with probability 1/2."""

BINS = 31
"""Magnitudes of an operator, in equal steps from none to the strongest."""

# N and M of the RandAugment paper; these are torchvision's defaults.
RANDAUGMENT_OPERATIONS = 2
RANDAUGMENT_BIN = 9


def draw_and_apply(pixels: Tensor, policy: Policy, generator: Generator) -> Tensor:
    """RandAugment (Cubuk et al. 2019) or TrivialAugment Wide (Mueller & Hutter 2021), drawn anew for each image."""
    batch, height = pixels.shape[:2]
    for _ in range(RANDAUGMENT_OPERATIONS if policy == "randaugment" else 1):
        operator, magnitude = draw(batch, height, policy, generator)
        pixels = apply(pixels, operator, magnitude)
    return pixels


def draw(batch: int, side: int, policy: Policy, generator: Generator) -> tuple[Tensor, Tensor]:
    """Operators and magnitudes of one round, (batch,) each; `side` is the side of the images in pixels."""
    device = generator.device
    operator = torch.randint(len(OPERATORS), (batch,), generator=generator, device=device)
    if policy == "randaugment":
        bins = torch.full_like(operator, RANDAUGMENT_BIN)
    else:
        bins = torch.randint(BINS, (batch,), generator=generator, device=device)
    negative = torch.rand(batch, generator=generator, device=device) < 0.5
    magnitude = magnitudes(policy, side, device)[operator, bins]
    return operator, torch.where(negative & _is(operator, *SIGNED), -magnitude, magnitude)


@lru_cache(maxsize=16)  # copying it in each batch would make the host wait for the device
def magnitudes(policy: Policy, side: int, device: torch.device) -> Tensor:
    """Magnitudes by operator and bin, float32 (operators, BINS): torchvision's tables for images of this side."""
    wide = policy == "trivialaugment"
    strongest = dict.fromkeys(("color", "sharpness", "brightness", "contrast"), 0.99 if wide else 0.9)
    strongest |= dict.fromkeys(("shear_x", "shear_y"), 0.99 if wide else 0.3)  # px per px
    # px. TrivialAugment's 32 shifts a 32 px image out of view, as it does in the paper and in torchvision.
    strongest |= dict.fromkeys(("translate_x", "translate_y"), 32.0 if wide else 150.0 / 331.0 * side)
    strongest["rotate"] = 135.0 if wide else 30.0  # degrees
    table = torch.zeros(len(OPERATORS), BINS)
    for row, name in enumerate(OPERATORS):
        if name == "posterize":  # bits to keep
            table[row] = (8 - torch.arange(BINS) / ((BINS - 1) / (6 if wide else 4))).round()
        elif name == "solarize":  # threshold, relative to white
            table[row] = torch.linspace(1.0, 0.0, BINS)
        elif name in strongest:
            table[row] = torch.linspace(0.0, strongest[name], BINS)
    return table.to(device)


def apply(pixels: Tensor, operator: Tensor, magnitude: Tensor) -> Tensor:
    """Applies each image's operator: uint8, same shape."""
    for stage, names in ((warp, GEOMETRIC), (blend, BLENDS), (remap, REMAPS)):
        pixels = _where_needed(stage, names, pixels, operator, magnitude)
    return pixels


def _where_needed(
    stage: Callable[[Tensor, Tensor, Tensor], Tensor],
    names: tuple[str, ...],
    pixels: Tensor,
    operator: Tensor,
    magnitude: Tensor,
) -> Tensor:
    """The stage's result. On a CPU it is computed only for the images it would change, in a third of the time.

    On CUDA the host would have to wait to learn which those are, so there all images pass the stage. The result is the
    same, since a stage returns other images unchanged. Nothing in this module waits for the device.
    """
    if pixels.device.type != "cpu":
        return stage(pixels, operator, magnitude)
    rows = _is(operator, *names).nonzero().squeeze(1)
    if len(rows) == 0:
        return pixels
    return pixels.index_copy(0, rows, stage(pixels[rows], operator[rows], magnitude[rows]))


def _is(operator: Tensor, *names: str) -> Tensor:
    """Whether each operator is one of `names`, bool (B,). By comparisons, as `isin` would copy a list to the device."""
    found = operator == OPERATORS.index(names[0])
    for name in names[1:]:
        found = found | (operator == OPERATORS.index(name))
    return found


def _per_image(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1), to broadcast over rows and columns."""
    return values[:, None, None]


def warp(pixels: Tensor, operator: Tensor, magnitude: Tensor) -> Tensor:
    """Shear, translation and rotation, by the nearest pixel; black outside.

    The output at (x, y), measured from the centre, is the input at (a x + b y + e, c x + d y + f).
    """
    batch, height, width, _ = pixels.shape
    zero = torch.zeros_like(magnitude)
    shear_x = torch.where(_is(operator, "shear_x"), magnitude, zero)
    shear_y = torch.where(_is(operator, "shear_y"), magnitude, zero)
    # In float64, since at 45 degrees sine and cosine must be equal, or pixels on a diagonal round either way.
    angle = torch.where(_is(operator, "rotate"), magnitude, zero).double() * (math.pi / 180)
    cos, sin = angle.cos().float(), angle.sin().float()
    a, b, c, d = cos, shear_x - sin, shear_y + sin, cos
    # torchvision shears about the corner, not the centre, and truncates translations to whole pixels.
    e = shear_x * (height / 2) - torch.where(_is(operator, "translate_x"), magnitude, zero).trunc()
    f = shear_y * (width / 2) - torch.where(_is(operator, "translate_y"), magnitude, zero).trunc()
    x = torch.arange(width, device=pixels.device) - (width - 1) / 2
    y = (torch.arange(height, device=pixels.device) - (height - 1) / 2)[:, None]
    column = (_per_image(a) * x + _per_image(b) * y + _per_image(e) + (width - 1) / 2).round().long()
    row = (_per_image(c) * x + _per_image(d) * y + _per_image(f) + (height - 1) / 2).round().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    image = _per_image(torch.arange(batch, device=pixels.device))
    source = torch.where(inside, (image * height + row) * width + column, 0)
    # Three bytes per pixel, gathered by one flat index: four times as fast as indexing by image, row and column.
    moved = pixels.reshape(-1, 3).index_select(0, source.flatten()).view_as(pixels)
    return moved * inside[..., None]


def blend(pixels: Tensor, operator: Tensor, magnitude: Tensor) -> Tensor:
    """Color and sharpness: (1 + magnitude) * image - magnitude * its grey or blurred version."""
    image = pixels.float()
    red, green, blue = image.unbind(-1)
    grey = (0.2989 * red + 0.587 * green + 0.114 * blue).floor()[..., None]
    three = image[:, :-2] + image[:, 1:-1] + image[:, 2:]
    nine = three[:, :, :-2] + three[:, :, 1:-1] + three[:, :, 2:]
    blurred = image.clone()  # as in Pillow, a border of one pixel is not blurred
    blurred[:, 1:-1, 1:-1] = ((nine + 4 * image[:, 1:-1, 1:-1]) / 13).round()
    other = torch.where(_is(operator, "color")[:, None, None, None], grey, blurred)
    share = torch.where(_is(operator, *BLENDS), -magnitude, torch.zeros_like(magnitude))
    return (image + share[:, None, None, None] * (other - image)).clamp(0, 255).to(torch.uint8)


def remap(pixels: Tensor, operator: Tensor, magnitude: Tensor) -> Tensor:
    """Operators that map the levels of each channel, through lookup tables uint8 (B, 3, 256)."""
    batch = len(pixels)
    levels = torch.arange(256, device=pixels.device)
    table = _linear(pixels, operator, magnitude).to(torch.uint8)
    dropped = _per_image(8 - torch.where(_is(operator, "posterize"), magnitude, 8.0)).to(torch.uint8)
    table = (table >> dropped) << dropped
    flipped = _per_image(_is(operator, "solarize")) & (levels >= _per_image(magnitude) * 255)
    table = torch.where(flipped, 255 - table, table)
    table = torch.where(_per_image(_is(operator, "equalize")), _equalizing(pixels), table)
    start = 256 * torch.arange(batch * 3, device=pixels.device).view(batch, 1, 1, 3)
    return table.flatten().take(start + pixels)


def _linear(pixels: Tensor, operator: Tensor, magnitude: Tensor) -> Tensor:
    """Tables of brightness, contrast and autocontrast, float32 (B, 3, 256) in [0, 255]; the identity for others."""
    levels = torch.arange(256, device=pixels.device, dtype=torch.float32)
    change = torch.where(_is(operator, "brightness", "contrast"), magnitude, 0.0)
    red, green, blue = pixels.float().unbind(-1)
    grey = (0.2989 * red + 0.587 * green + 0.114 * blue).floor().mean((1, 2))
    anchor = torch.where(_is(operator, "contrast"), grey, 0.0)
    table = (_per_image(1 + change) * levels - _per_image(change * anchor)).clamp(0, 255)
    low = pixels.amin((1, 2)).float()[..., None]
    high = pixels.amax((1, 2)).float()[..., None]
    stretched = ((levels - low) / ((high - low) * (1 / 255))).clamp(0, 255)
    # A channel of a single level has nothing to stretch, and the division above gave NaN.
    stretches = _per_image(_is(operator, "autocontrast")) & (high > low)
    return torch.where(stretches, stretched, table)


def _equalizing(pixels: Tensor) -> Tensor:
    """Tables that equalise each channel's histogram, uint8 (B, 3, 256), in Pillow's integer arithmetic."""
    batch = len(pixels)
    flat = pixels.flatten(1, 2).mT.long()
    count = torch.zeros(batch, 3, 256, dtype=torch.int64, device=pixels.device)
    count.scatter_add_(2, flat, torch.ones_like(flat))
    brightest = count.gather(2, flat.amax(2, keepdim=True))
    step = (flat.shape[2] - brightest) // 255
    below = count.cumsum(2) - count
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    levels = torch.arange(256, device=pixels.device)
    # Where step is 0, almost all pixels have the brightest level, and Pillow leaves the channel as it is.
    return torch.where(step > 0, table, levels).to(torch.uint8)
