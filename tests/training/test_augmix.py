"""AugMix: each image's chains are its own, and everything is drawn as the paper says."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.training.pictures import noise, pictures, seeded
from tune.training import augmix, operators
from tune.training.operators import OPERATORS, SIGNED

STRONGEST = {  # at severity 3 of 10, on 32 px
    "shear_x": 0.09, "shear_y": 0.09, "translate_x": 3.2, "translate_y": 3.2, "rotate": 9.0,
    "posterize": 2.8, "solarize": 0.7, "autocontrast": 0.0, "equalize": 0.0,
}  # fmt: skip


def chains_replaced(monkeypatch: pytest.MonkeyPatch, result: Tensor) -> None:
    """Whatever the operators are, the chains end as `result`."""
    monkeypatch.setattr(augmix, "apply", lambda *_: result)


def test_an_image_is_mixed_from_chains_of_its_own() -> None:
    """Put together one image and one chain at a time, from the same draws."""
    pixels, generator = pictures(), seeded(5)
    count = len(pixels)
    depth = torch.randint(1, 4, (3 * count,), generator=generator)
    drawn = [augmix.draw(3 * count, 32, generator) for _ in range(3)]
    weight = -(1 - torch.rand(3, count, generator=generator)).log()
    share = torch.rand(count, generator=generator)
    result = augmix.draw_and_apply(pixels, seeded(5))
    assert result.dtype == torch.uint8
    for row in range(count):
        expected = share[row] * pixels[row]
        for chain in range(3):
            at = chain * count + row
            image = pixels[row : row + 1]
            for operator, magnitude in drawn[: depth[at]]:
                image = operators.apply(image, operator[at : at + 1], magnitude[at : at + 1])
            expected = expected + (1 - share[row]) * weight[chain, row] / weight[:, row].sum() * image[0]
        assert (result[row] - expected).abs().max() <= 0.51


def test_the_pixels_are_left_as_they_are_and_the_global_generator_has_no_say() -> None:
    pixels = pictures()
    before = pixels.clone()
    once = augmix.draw_and_apply(pixels, seeded(1))
    torch.manual_seed(1)
    assert torch.equal(augmix.draw_and_apply(pixels, seeded(1)), once)
    assert torch.equal(pixels, before)
    assert not torch.equal(once, augmix.draw_and_apply(pixels, seeded(2)))


def test_the_images_own_share_is_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 4_000
    chains_replaced(monkeypatch, torch.zeros(3 * count, 8, 8, 3, dtype=torch.uint8))
    white = torch.full((count, 8, 8, 3), 255, dtype=torch.uint8)
    share = augmix.draw_and_apply(white, seeded())[:, 0, 0, 0].double() / 255
    assert stats.kstest(share + 1e-3 * torch.randn(count, generator=seeded(1)), "uniform").pvalue > 0.001


def test_the_chains_weights_are_dirichlet(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chain white, all else black: its share is that of Beta(1, 2) in what Beta(1, 1) leaves."""
    count = 4_000
    first = torch.zeros(3 * count, 8, 8, 3, dtype=torch.uint8)
    first[:count] = 255
    chains_replaced(monkeypatch, first)
    shown = augmix.draw_and_apply(torch.zeros(count, 8, 8, 3, dtype=torch.uint8), seeded())[:, 0, 0, 0].double() / 255
    wanted = stats.beta(1, 2).rvs(count, random_state=0) * stats.uniform().rvs(count, random_state=1)
    blur = 2e-3 * torch.randn(2, count, generator=seeded(1)).numpy()  # whole levels would be ties
    assert stats.ks_2samp(shown.numpy() + blur[0], wanted + blur[1]).pvalue > 0.001


def test_a_chain_has_one_to_three_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    applied = []
    monkeypatch.setattr(augmix, "apply", lambda pixels, operator, _: applied.append(operator) or pixels)
    augmix.draw_and_apply(noise(2_000, 8, 8), seeded())
    depth = (torch.stack(applied) != OPERATORS.index("identity")).sum(0)
    assert stats.chisquare(depth.bincount(minlength=4)[1:]).pvalue > 0.001
    assert depth.min() == 1


def test_operators_and_strengths_are_the_papers() -> None:
    """Nine operators, none of those that its test corruptions are; strengths uniform up to 3 of 10."""
    assert set(augmix.NAMES) == set(STRONGEST)
    operator, magnitude = augmix.draw(60_000, 32, seeded())
    assert {OPERATORS[row] for row in operator.unique()} == set(STRONGEST)
    assert stats.chisquare(operator.bincount()[operator.unique()]).pvalue > 0.001
    for name, strongest in STRONGEST.items():
        drawn = magnitude[operator == OPERATORS.index(name)]
        if name in SIGNED:
            assert (drawn < 0).double().mean().item() == pytest.approx(0.5, abs=0.03)
        weakest = {"posterize": 4.0, "solarize": 1.0}.get(name, 0.0)
        if strongest != weakest:
            share = (drawn.abs().double() - weakest) / (strongest - weakest)
            assert stats.kstest(share, stats.uniform(0.1 / 3, 2.9 / 3).cdf).pvalue > 0.001
