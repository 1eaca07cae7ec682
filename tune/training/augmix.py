"""AugMix (Hendrycks et al. 2020) on a batch: each image is mixed with three chains of random operators."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Generator, Tensor

from tune.training.operators import GEOMETRIC, OPERATORS, SIGNED, apply

WIDTH, DEPTH, SEVERITY = 3, 3, 3.0
"""The paper's defaults: chains per image, maximum operators per chain, and maximum severity on a scale of 10."""

# Without color, contrast, brightness and sharpness, which overlap with the corruptions that the paper tests on.
NAMES = (*GEOMETRIC, "posterize", "solarize", "autocontrast", "equalize")
IDENTITY = OPERATORS.index("identity")


def draw_and_apply(pixels: Tensor, generator: Generator) -> Tensor:
    """uint8 (B, H, W, 3) -> same: `share * image + (1 - share) * weighted mean of its chains`.

    The share is drawn from Beta(1, 1), the chains' weights from Dirichlet(1, 1, 1), each chain's length from 1 to 3.
    Rotation and shear take the nearest pixel, as in `operators`; the paper's code interpolates.
    """
    batch, device = len(pixels), pixels.device
    chains = pixels.repeat(WIDTH, 1, 1, 1)  # all chains of all images in one batch
    depth = torch.randint(1, DEPTH + 1, (len(chains),), generator=generator, device=device)
    for done in range(DEPTH):
        operator, magnitude = draw(len(chains), pixels.shape[1], generator)
        chains = apply(chains, torch.where(depth > done, operator, IDENTITY), magnitude)
    # Exponential draws divided by their sum are Dirichlet(1, .., 1); Beta(1, 1) is uniform.
    weight = -(1 - torch.rand(WIDTH, batch, generator=generator, device=device)).log()
    weight = weight / weight.sum(0)
    share = torch.rand(batch, generator=generator, device=device)
    mixed = pixels * share[:, None, None, None]
    for chain, own in zip(torch.split(chains, batch), weight * (1 - share), strict=True):
        mixed.addcmul_(chain, own[:, None, None, None])
    return mixed.round_().clamp_(0, 255).to(torch.uint8)


def draw(count: int, side: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Operators and magnitudes, (count,) each, for `operators.apply`; `side` is the side of the images in pixels."""
    device = generator.device
    indices, weakest, strongest, signed = _table(side, device)
    row = torch.randint(len(NAMES), (count,), generator=generator, device=device)
    level = (0.1 + (SEVERITY - 0.1) * torch.rand(count, generator=generator, device=device)) / 10
    magnitude = weakest[row] + level * (strongest - weakest)[row]
    negative = torch.rand(count, generator=generator, device=device) < 0.5
    return indices[row], torch.where(negative & signed[row], -magnitude, magnitude)


@lru_cache(maxsize=16)  # copying it in each batch would make the host wait for the device
def _table(side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each of NAMES: its operator, its magnitude at severity 0 and at severity 10, and whether it is signed."""
    ends = dict.fromkeys(NAMES, (0.0, 0.0))
    ends |= dict.fromkeys(("shear_x", "shear_y"), (0.0, 0.3))  # px per px
    ends |= dict.fromkeys(("translate_x", "translate_y"), (0.0, side / 3))  # px
    ends |= {"rotate": (0.0, 30.0), "posterize": (4.0, 0.0), "solarize": (1.0, 0.0)}  # degrees; bits; share of white
    indices = torch.tensor([OPERATORS.index(name) for name in NAMES])
    weakest, strongest = torch.tensor([ends[name] for name in NAMES]).T
    signed = torch.tensor([name in SIGNED for name in NAMES])
    return indices.to(device), weakest.to(device), strongest.to(device), signed.to(device)
