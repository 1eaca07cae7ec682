"""When each trial ran, told from the times of its epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reporting import a_run
from tune.reporting import schedule
from tune.reporting.load import load
from tune.results import RunFolder


def test_the_times_are_those_of_workers_side_by_side(big: RunFolder) -> None:
    run = load(big)
    assert schedule.workers(run) == 2
    spans = schedule.spans(run)
    assert spans["0000"].start == spans["0001"].start == 0
    moments = sorted({span.start for span in spans.values()})
    assert all(sum(span.start <= moment < span.end for span in spans.values()) <= 2 for moment in moments)
    assert max(span.end for span in spans.values()) == pytest.approx(run.about["spent_s"], rel=0.01)


def test_trials_of_an_epoch_show_by_their_times_that_they_ran_side_by_side(tmp_path: Path) -> None:
    run = load(a_run.searched(tmp_path / "short", trials=16, horizon=1))
    trained = sum(row["wall_s"] for row in run.trials)
    run.about["spent_s"] = trained * 0.55
    assert schedule.workers(run) == 2
    assert schedule.one_at_a_time(run) is False
    run.about["spent_s"] = trained * 1.2
    assert schedule.one_at_a_time(run) is None
