"""How far a search is said to be, on a clock of the tests' own."""

from __future__ import annotations

import random

import pytest

from tune.search.asha import Asha
from tune.search.eta import Progress, TrialProgress
from tune.search.expectation import expect

RUNGS = (3, 6, 12, 24)


class Clock:
    """Seconds that pass when told so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def reference(epoch: int) -> TrialProgress:
    return TrialProgress(epoch, goes_on=epoch < 27, exempt=True)


def runs(epoch: int) -> TrialProgress:
    return TrialProgress(epoch, goes_on=True, exempt=False)


def over(epoch: int) -> TrialProgress:
    return TrialProgress(epoch, goes_on=False, exempt=False)


def test_beforehand_it_is_what_a_dry_run_expects() -> None:
    progress = Progress(32, 27, 2, RUNGS)
    expected = expect(32, 27, 2, asha=True).epochs
    progress.update([])
    assert progress.expected == pytest.approx(expected, rel=0.01)
    assert progress.in_words(0) == f"0/32 trials, 0 of about {expected:.0f} epochs"


def test_without_asha_all_epochs_are_to_be_trained() -> None:
    progress = Progress(4, 10, 2)
    progress.update([TrialProgress(10, goes_on=False, exempt=True), runs(3)])
    assert (progress.trained, progress.expected, progress.fraction) == (13, 40, 13 / 40)
    assert progress.in_words(1) == "1/4 trials, 13 of 40 epochs"


def test_trials_that_are_stopped_early_make_the_rest_cheaper_and_those_that_go_on_dearer() -> None:
    progress = Progress(32, 27, 2, RUNGS)
    before = progress.expected
    progress.update([reference(27), *[over(3)] * 12])
    assert progress.expected < 0.85 * before
    progress.update([reference(27), *[over(27)] * 4])
    assert progress.expected > 1.15 * before


def test_all_ended_is_all_paid() -> None:
    progress = Progress(3, 27, 2, RUNGS)
    progress.update([reference(27), over(3), over(6)])
    assert (progress.trained, progress.expected, progress.fraction) == (36, 36, 1.0)
    assert progress.in_words(3) == "3/3 trials, 36 of 36 epochs"


def test_the_bar_never_goes_back_though_more_turns_out_to_be_left() -> None:
    progress = Progress(8, 27, 2, RUNGS)
    progress.update([reference(27), *[over(3)] * 6])
    far = progress.fraction
    progress.update([reference(27), *[over(3)] * 6, runs(24)])
    assert progress.fraction > far
    far = progress.fraction
    progress.update([reference(27), *[over(3)] * 5, runs(0), runs(3)])  # goes on from an older checkpoint
    assert progress.fraction == far
    assert progress.trained / progress.expected < far


@pytest.mark.parametrize("seed", range(5))
def test_half_way_the_estimate_is_better_than_beforehand_where_the_reference_is_poor(seed: int) -> None:
    """`expectation` assumes a good reference; trials that beat it go on, which shows at the rungs."""
    draw, asha, horizon, trials = random.Random(seed), Asha(27), 27, 64
    progress = Progress(trials, horizon, 1, asha.rungs)
    beforehand, half_way, reached = progress.expected, 0.0, []
    for trial in range(trials):
        quality = draw.gauss(0, 1) + 0.05 * trial if trial else -2.0  # ever better, as a searcher learns
        epoch = next(
            (e for e in asha.rungs if not asha.report(str(trial), e, draw.gauss(quality, 0.3), exempt=not trial)),
            horizon,
        )
        reached.append(TrialProgress(epoch, goes_on=False, exempt=trial == 0))
        progress.update(reached)
        if trial == trials // 2:
            half_way = progress.expected
    assert abs(half_way - progress.trained) < abs(beforehand - progress.trained)


# The time left.


def test_the_time_left_follows_the_pace_of_the_workers() -> None:
    clock = Clock()
    progress = Progress(8, 10, 2, clock=clock)
    progress.trial_started()
    clock.now += 30
    progress.epoch_ended()
    progress.update([runs(1), runs(0)])
    assert progress.left() == ""  # one of two workers: no pace yet
    progress.epoch_ended()
    progress.update([runs(1), runs(1)])
    assert progress.left() == "about 20 min left"  # 78 epochs, two in 30 s
    clock.now += 600
    assert progress.left() == "about 10 min left"  # it counts down between epochs
    clock.now += 6000
    assert progress.left() == "about 10 s left"  # late, and not over


def test_the_last_trial_is_not_shared_by_idle_workers() -> None:
    clock = Clock()
    progress = Progress(2, 10, 2, clock=clock)
    progress.trial_started()
    for _ in range(12):
        progress.epoch_ended()
    clock.now += 60  # ten seconds an epoch, two side by side
    progress.update([over(10), runs(2)])
    assert progress.left() == "about 80 s left"


def test_a_time_budget_that_ends_first_is_told_instead() -> None:
    clock = Clock()
    progress = Progress(8, 10, 2, budget_s=300, clock=clock)
    progress.trial_started()
    clock.now += 30
    progress.epoch_ended()
    progress.epoch_ended()
    progress.update([runs(1), runs(1)])
    assert progress.in_words(0) == "0/8 trials, 2 of 80 epochs, 4 min of the time budget left"
    clock.now += 280
    assert progress.left() == "0 s of the time budget left"


def test_a_search_that_goes_on_counts_its_pace_from_now() -> None:
    clock = Clock()
    progress = Progress(4, 10, 1, clock=clock)
    progress.update([over(10), over(10), runs(5)])  # of the part before
    assert progress.left() == ""
    progress.trial_started()
    clock.now += 60
    progress.epoch_ended()
    progress.update([over(10), over(10), runs(6)])
    assert progress.left() == "about 14 min left"
