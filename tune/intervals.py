"""How sure an accuracy is. Without scipy.stats, whose import takes a second: a report would have two instead of one."""

from __future__ import annotations

from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)
"""Half the width of a normal distribution's 95 % interval, in standard deviations."""


def wilson95(accuracy: float, images: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy on so many images, all in per cent: where that of all such images may lie.

    Wilson 1927, without continuity correction. It stays between 0 and 100.
    """
    share, spread = accuracy / 100, Z95**2 / images
    middle = (share + spread / 2) / (1 + spread)
    half = (Z95 / (1 + spread)) * (share * (1 - share) / images + spread / (4 * images)) ** 0.5
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)
