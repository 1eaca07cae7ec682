"""What is minimised: cross-entropy, of mixed images against both labels, and the consistency of an image's views."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from tune.training.config import TrainConfig


def training_loss(out: Tensor, labels: Tensor, partner: Tensor, share: Tensor, config: TrainConfig) -> Tensor:
    """Of logits (B, C), or (B, V, C) of views, float32 -> the mean, ().

    `labels` (B,) have the `share` (B,) of an image, its partner's the rest. Of views the first is held against them.
    """
    if out.dim() == 2:
        return cross_entropy(out, labels, partner, share, config)
    return cross_entropy(out[:, 0], labels, partner, share, config) + config.jsd * jensen_shannon(out)


def cross_entropy(out: Tensor, labels: Tensor, partner: Tensor, share: Tensor, config: TrainConfig) -> Tensor:
    """Mean cross-entropy of logits (B, C) against labels (B,), mixed with the partner's by `share` (B,)."""
    smoothing = config.label_smoothing
    if not config.mixup and not config.cutmix:
        return F.cross_entropy(out, labels, label_smoothing=smoothing)
    own = F.cross_entropy(out, labels, label_smoothing=smoothing, reduction="none")
    other = F.cross_entropy(out, partner, label_smoothing=smoothing, reduction="none")
    return (share * own + (1 - share) * other).mean()


def jensen_shannon(out: Tensor) -> Tensor:
    """Mean Jensen-Shannon divergence, in nats, of what logits (B, V, C) say of an image's V views (AugMix, 2020)."""
    log_each = out.log_softmax(2)
    log_mean = log_each.logsumexp(1, keepdim=True) - math.log(out.shape[1])
    return (log_each.exp() * (log_each - log_mean)).sum(2).mean()
