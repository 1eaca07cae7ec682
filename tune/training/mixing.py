"""MixUp and CutMix on a batch, with a partner and a mixing ratio drawn for each image."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Generator, Tensor

from tune.training.augment import inside
from tune.training.config import TrainConfig


def mix(images: Tensor, labels: Tensor, config: TrainConfig, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """MixUp (Zhang et al. 2017) and CutMix (Yun et al. 2019), with a partner and a share of its own for each image.

    Images (B, 3, S, S) and labels (B,) -> mixed images, the partners' labels, and each image's share of its own label,
    float32 (B,). The loss is `share * loss(labels) + (1 - share) * loss(partner_labels)`. The views of an image,
    (B, V, 3, S, S), are all mixed alike, each with the same view of the partner.
    """
    batch, side, device = len(images), images.shape[-1], images.device
    if config.mixup == 0 and config.cutmix == 0:
        return images, labels, _all_their_own(batch, device)
    partner = torch.randperm(batch, generator=generator, device=device)
    # The image's share of its target, (B,), and of each pixel, (B, 1, 1, 1) or (B, S, S, 1).
    share = _beta(config.mixup, batch, generator) if config.mixup > 0 else torch.ones(batch, device=device)
    own = share[:, None, None, None]
    if config.cutmix > 0:
        cut = _cutmix_boxes(_beta(config.cutmix, batch, generator), side, generator)
        cuts = torch.rand(batch, generator=generator, device=device) < (0.5 if config.mixup > 0 else 1.0)
        own = torch.where(cuts[:, None, None, None], (~cut[..., None]).float(), own)
        share = torch.where(cuts, 1 - cut.sum((1, 2)) / side**2, share)
    rows = images.movedim(-3, -1)  # keeps channels-last memory channels-last
    mixed = torch.lerp(rows.index_select(0, partner), rows, own if images.dim() == 4 else own[:, None])
    return mixed.movedim(-1, -3), labels[partner], share


@lru_cache(maxsize=16)  # saves a kernel launch per step
def _all_their_own(batch: int, device: torch.device) -> Tensor:
    return torch.ones(batch, device=device)


def _cutmix_boxes(share: Tensor, side: int, generator: Generator) -> Tensor:
    """Masks of the partner's pixels, bool (B, side, side): squares of area 1 - share, clipped at the border."""
    half = (0.5 * (1 - share).sqrt() * side).floor()
    y, x = torch.randint(side, (2, len(share)), generator=generator, device=share.device)
    return inside(y - half, x - half, y + half, x + half, side)


def _beta(alpha: float, count: int, generator: Generator) -> Tensor:
    """Draws from Beta(alpha, alpha), float32 (count,). torch.distributions takes no generator.

    Beta is one Gamma(alpha) draw divided by the sum of two, and Gamma(alpha) is Gamma(alpha + 1) * U^(1 / alpha)
    (Marsaglia & Tsang 2000). Computed with logarithms, since for a small alpha the draws underflow to 0 / 0.
    """
    device = generator.device
    alpha = max(alpha, 1e-6)  # below it all draws are 0 or 1 anyway, and float32 would overflow
    gamma = torch._standard_gamma(torch.full((2, count), alpha + 1.0, device=device), generator=generator)
    uniform = 1 - torch.rand(2, count, generator=generator, device=device)  # 0 excluded, for the logarithm
    logarithm = gamma.log() + uniform.log() / alpha
    return (logarithm[0] - logarithm[1]).sigmoid()
