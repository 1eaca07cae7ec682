"""Confidence intervals of accuracies. Without scipy.stats: its import takes a second, as long as a whole report."""

from __future__ import annotations

from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)
"""Half-width of a normal 95 % interval, in standard deviations: 1.96."""


def wilson95(accuracy: float, images: int) -> tuple[float, float]:
    """The 95 % score interval of an accuracy (%) measured on this many images, in per cent.

    Wilson 1927, without continuity correction. It stays between 0 and 100.
    """
    share, spread = accuracy / 100, Z95**2 / images
    middle = (share + spread / 2) / (1 + spread)
    half = (Z95 / (1 + spread)) * (share * (1 - share) / images + spread / (4 * images)) ** 0.5
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)
