"""The training loss: cross-entropy, with both labels for a mixed image, plus AugMix's consistency loss."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from tune.training.config import TrainConfig


def training_loss(out: Tensor, labels: Tensor, partner: Tensor, share: Tensor, config: TrainConfig) -> Tensor:
    """The mean loss over a batch, (), from float32 logits (B, C), or (B, V, C) with several views.

    An image's target is `share` (B,) of its own label (B,) and 1 - share of its partner's. With several views, only the
    first is compared with the labels; the Jensen-Shannon divergence of all is added with the weight `config.jsd`.
    """
    if out.dim() == 2:
        return cross_entropy(out, labels, partner, share, config)
    return cross_entropy(out[:, 0], labels, partner, share, config) + config.jsd * jensen_shannon(out)


def cross_entropy(out: Tensor, labels: Tensor, partner: Tensor, share: Tensor, config: TrainConfig) -> Tensor:
    """Mean cross-entropy of logits (B, C) with the labels (B,), mixed with the partners' by `share` (B,)."""
    smoothing = config.label_smoothing
    if not config.mixup and not config.cutmix:
        return F.cross_entropy(out, labels, label_smoothing=smoothing)
    own = F.cross_entropy(out, labels, label_smoothing=smoothing, reduction="none")
    other = F.cross_entropy(out, partner, label_smoothing=smoothing, reduction="none")
    return (share * own + (1 - share) * other).mean()


def jensen_shannon(out: Tensor) -> Tensor:
    """Mean Jensen-Shannon divergence (nats) between the predictions for V views, logits (B, V, C) (AugMix, 2020)."""
    log_each = out.log_softmax(2)
    log_mean = log_each.logsumexp(1, keepdim=True) - math.log(out.shape[1])
    return (log_each.exp() * (log_each - log_mean)).sum(2).mean()
