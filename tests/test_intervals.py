"""How sure an accuracy is."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from tune.intervals import wilson95


@pytest.mark.parametrize(("hits", "images"), [(0, 10), (1, 7), (4321, 10_000), (500, 500), (9_999, 10_000)])
def test_wilson_is_scipys(hits: int, images: int) -> None:
    found = binomtest(hits, images).proportion_ci(0.95, method="wilson")
    assert wilson95(100 * hits / images, images) == pytest.approx((100 * found.low, 100 * found.high), abs=1e-9)


def test_it_stays_between_nothing_and_all() -> None:
    assert wilson95(0.0, 10)[0] == 0.0
    assert wilson95(100.0, 10)[1] == 100.0
