"""How many trials share a device, on recorded measurements."""

from __future__ import annotations

import pytest

from tune.search import packing
from tune.search.packing import Measured, Packing

# images/s and MB of 1, 2, 4, 8 trials side by side -> how many are best in 80,000 MB.
RECORDED = {
    "small networks gain to the end": ([(100, 1500), (190, 2900), (340, 5700), (500, 11_300)], 8),
    "the fourth trial gains 2 % only": ([(100, 1500), (180, 2900), (184, 5700), (183, 11_300)], 2),
    "a large one fills the device": ([(100, 30_000), (101, 59_000)], 1),
    "eight do not fit with a margin": ([(100, 9_200), (150, 18_400), (200, 36_800), (260, 73_600)], 4),
    "side by side they hinder each other": ([(100, 1000), (80, 2000), (60, 4000), (40, 8000)], 1),
    "not even one fits": ([(100, 79_000)], 1),
    "a dip on the way": ([(100, 1000), (95, 2000), (150, 4000), (140, 8000)], 4),
}


def measured(figures: list[tuple[int, int]]) -> list[Measured]:
    return [Measured(Packing(2**i, 1), speed, memory) for i, (speed, memory) in enumerate(figures)]


@pytest.mark.parametrize("case", RECORDED)
def test_the_highest_throughput_that_fits_is_taken_and_fewer_trials_where_more_gain_nothing(case: str) -> None:
    figures, trials = RECORDED[case]
    assert packing.best(measured(figures), 80_000).packing.trials == trials


@pytest.mark.parametrize(
    ("cores", "cpus", "trials"),
    [(16, 1, [1, 2, 4, 8]), (4, 1, [1, 2, 4]), (16, 4, [1, 2, 4]), (1, 1, [1]), (2, 4, [1]), (7, 1, [1, 2, 4])],
)
def test_a_gpu_is_shared_by_no_more_trials_than_have_cores(cores: int, cpus: int, trials: list[int]) -> None:
    assert packing.on_gpu(cores, cpus) == [Packing(count, cpus) for count in trials]


@pytest.mark.parametrize(
    ("cores", "packings"),
    [
        (1, [(1, 1)]),
        (2, [(1, 2), (2, 1)]),
        (6, [(1, 6), (2, 3), (6, 1)]),
        (8, [(1, 8), (2, 4), (4, 2), (8, 1)]),
        (7, [(1, 7), (2, 3), (7, 1)]),
    ],
)
def test_cores_are_shared_from_all_for_one_to_one_each(cores: int, packings: list[tuple[int, int]]) -> None:
    assert [(item.trials, item.cpus) for item in packing.on_cpu(cores)] == packings
