"""MixUp and CutMix: shares by the book, and labels that are held to the pixels' shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.training.pictures import config, numbered, seeded
from tune.training import mixing


def test_mix_off_changes_nothing() -> None:
    images, labels = numbered(6)
    mixed, partners, share = mixing.mix(images, labels, config(), seeded())
    assert mixed is images
    assert torch.equal(partners, labels)
    assert torch.equal(share, torch.ones(6))


@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mix_keeps_its_contract(changes: dict[str, float]) -> None:
    images, labels = numbered(64)
    before = images.clone()
    mixed, partners, share = mixing.mix(images, labels, config(**changes), seeded(2))
    assert torch.equal(images, before)
    assert mixed.shape == images.shape
    assert mixed.dtype == share.dtype == torch.float32
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert share.shape == (64,)
    assert torch.equal(partners.sort().values, labels)
    assert not torch.equal(partners, labels)
    torch.manual_seed(1)
    again = mixing.mix(images, labels, config(**changes), seeded(2))
    assert all(torch.equal(one, other) for one, other in zip((mixed, partners, share), again, strict=True))
    assert not torch.equal(share, mixing.mix(images, labels, config(**changes), seeded(3))[2])


@pytest.mark.parametrize("which", ["mixup", "cutmix"])
def test_the_smallest_alpha_gives_finite_shares(which: str) -> None:
    images, labels = numbered(64, 2)
    mixed, _, share = mixing.mix(images, labels, config(**{which: 1e-300}), seeded(1))
    assert share.isfinite().all()
    assert mixed.isfinite().all()
    if which == "mixup":
        assert set(share.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("alpha", [0.001, 0.2, 1.0, 8.0])
def test_mixup_shares_follow_the_beta_distribution(alpha: float) -> None:
    batch = 10_000
    images, labels = numbered(batch, 2)
    mixed, partners, share = mixing.mix(images, labels, config(mixup=alpha), seeded())
    expected = share.double() * labels + (1 - share.double()) * partners
    torch.testing.assert_close(mixed.double(), expected[:, None, None, None].expand_as(mixed), rtol=1e-5, atol=1e-2)
    variance = 1 / (4 * (2 * alpha + 1))
    assert share.mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(variance / batch))
    assert share.var().item() == pytest.approx(variance, rel=0.05)
    # The lower half only, as float32 rounds draws near 1 to 1; for the smallest alpha it rounds most to 0 or 1.
    if alpha > 0.1:
        lower = share[share < 0.5].double().numpy()
        assert stats.kstest(lower, lambda x: 2 * stats.beta(alpha, alpha).cdf(x)).pvalue > 0.001


def test_cutmix_share_is_exactly_the_pixels_share() -> None:
    batch, side = 4_000, 32
    images, labels = numbered(batch, side)
    mixed, partners, share = mixing.mix(images, labels, config(cutmix=1.0), seeded())
    own = (mixed == labels[:, None, None, None]).all(1)
    other = (mixed == partners[:, None, None, None]).all(1)
    apart = labels != partners
    assert (own | other).all()
    assert torch.equal(own[apart].sum((1, 2)) / side**2, share[apart])
    rows, columns = other[apart].any(2), other[apart].any(1)
    assert torch.equal(other[apart], rows[:, :, None] & columns[:, None, :])
    # The paper's algorithm, once more, in NumPy.
    random = np.random.default_rng(0)
    half = (0.5 * np.sqrt(1 - random.beta(1.0, 1.0, batch)) * side).astype(int)
    y, x = random.integers(side, size=(2, batch))
    height = np.minimum(y + half, side) - np.maximum(y - half, 0)
    width = np.minimum(x + half, side) - np.maximum(x - half, 0)
    assert stats.ks_2samp(share.numpy(), 1 - height * width / side**2).pvalue > 0.001


def test_with_both_on_each_image_draws_one() -> None:
    batch = 4_000
    images, labels = numbered(batch, 16)
    mixed, partners, share = mixing.mix(images, labels, config(mixup=1.0, cutmix=1.0), seeded())
    whole = (mixed == mixed[:, :1, :1, :1]).all((1, 2, 3))
    pure = ((mixed == labels[:, None, None, None]) | (mixed == partners[:, None, None, None])).all((1, 2, 3))
    assert (whole | pure).all()  # a MixUp image has one value, a CutMix image the two numbers only
    assert (~pure).float().mean().item() == pytest.approx(0.5, abs=0.04)
    expected = share * labels + (1 - share) * partners
    torch.testing.assert_close(mixed.mean((1, 2, 3)), expected, rtol=1e-5, atol=1e-2)
