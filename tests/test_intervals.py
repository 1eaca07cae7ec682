"""How sure an accuracy is."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from tune.intervals import wilson95


@pytest.mark.parametrize(("hits", "images"), [(0, 10), (1, 7), (4321, 10_000), (500, 500), (9_999, 10_000)])
def test_wilson_is_scipys(hits: int, images: int) -> None:
    found = binomtest(hits, images).proportion_ci(0.95, method="wilson")
    assert wilson95(100 * hits / images, images) == pytest.approx((100 * found.low, 100 * found.high), abs=1e-9)


@pytest.mark.parametrize("accuracy", [0.0, 100.0])
@pytest.mark.parametrize("images", [1, 3, 10, 10_000])
def test_it_stays_between_nothing_and_all(accuracy: float, images: int) -> None:
    low, high = wilson95(accuracy, images)
    assert 0.0 <= low <= accuracy + 1e-9
    assert accuracy - 1e-9 <= high <= 100.0
    assert low < high
