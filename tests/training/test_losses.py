"""The losses, each by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from tests.training.trainings import config
from tune.training import losses, mixing


@pytest.mark.parametrize("by", [{"mixup": 0.3}, {"cutmix": 1.0}, {"mixup": 0.3, "cutmix": 1.0}])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_mixed_image_is_held_against_the_shares_of_both_labels(by: dict[str, float], smoothing: float) -> None:
    mixed = config(label_smoothing=smoothing, **by)
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(16, 100, generator=generator)
    labels = torch.randint(100, (16,), generator=generator)
    _, partner, share = mixing.mix(torch.zeros(16, 3, 8, 8), labels, mixed, generator)
    assert share.unique().numel() > 8
    target = torch.full((16, 100), smoothing / 100)
    for row in range(16):
        target[row, labels[row]] += (1 - smoothing) * share[row]
        target[row, partner[row]] += (1 - smoothing) * (1 - share[row])
    by_hand = -(target * out.log_softmax(1)).sum(1).mean()
    assert losses.training_loss(out, labels, partner, share, mixed).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_of_views_the_first_is_held_against_the_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    out, labels = torch.randn(6, 3, 100, generator=generator), torch.arange(6)
    given = (labels, labels, torch.ones(6))
    plain = losses.training_loss(out[:, 0], *given, config(jsd=12.0))
    assert losses.training_loss(out, *given, config(jsd=12.0)) == plain + 12 * losses.jensen_shannon(out)


def test_the_divergence_is_the_entropy_of_the_mean_less_the_mean_entropy() -> None:
    out = 3 * torch.randn(7, 3, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    each = out.softmax(2).numpy()
    wanted = entropy(each.mean(1), axis=1) - entropy(each, axis=2).mean(1)
    assert losses.jensen_shannon(out).item() == pytest.approx(wanted.mean(), rel=1e-9)


def test_the_divergence_of_the_same_is_nothing_and_of_opposites_the_most() -> None:
    same = torch.randn(4, 1, 100, generator=torch.Generator().manual_seed(0)).expand(4, 3, 100)
    assert losses.jensen_shannon(same).item() == pytest.approx(0, abs=1e-6)
    opposite = torch.zeros(1, 3, 100)
    opposite[0, range(3), range(3)] = 1e4  # certain, each of something else
    opposite.requires_grad_()
    loss = losses.jensen_shannon(opposite)
    assert loss.item() == pytest.approx(math.log(3))
    loss.backward()  # type: ignore[no-untyped-call]
    assert opposite.grad is not None
    assert np.isfinite(opposite.grad.numpy()).all()
