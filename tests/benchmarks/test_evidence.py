"""The figures of docs/evidence.md: what a search would answer at any time, promotion, and the tables themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import marks
from benchmarks.replay import evidence, measure, promotion, tables
from benchmarks.replay.curves import Curve
from benchmarks.replay.evidence import Choice
from benchmarks.replay.promotion import Promotion
from benchmarks.replay.simulate import Epoch, Replay
from tests import ROOT
from tune.results import Status
from tune.search.asha import Asha
from tune.training.config import TrainConfig


def curve(*values: float | None) -> Curve:
    """Named by its learning rate: its first value over 1,000."""
    lr = (values[0] or 0) / 1000
    config = TrainConfig(model="simple_cnn", lr=lr, batch_size=32, epochs=4)
    diverged = values[-1] is None
    return Curve(config=config, diverged=diverged, val_acc=values, cpu_s=(1.0,) * len(values))


STEADY, LATE, EARLY, BROKEN = curve(5, 10, 15, 20), curve(4, 11, 20, 30), curve(9, 9, 9, 9), curve(6, 12, None)
BY_CONFIG = {item.config: item for item in (STEADY, LATE, EARLY, BROKEN)}


def epoch(trial_id: str, number: int, value: float, status: Status = "running") -> Epoch:
    return Epoch(0.0, trial_id, number, value, status)


@pytest.mark.parametrize(
    ("chooses", "course"),
    [
        # EARLY leads after an epoch, is overtaken by LATE, which is stopped; STEADY alone is whole.
        ("best_json", [(1, 9), (3, 30), (6, 20)]),
        ("last", [(1, 9), (3, 30), (6, 20)]),
        ("completed", [(6, 20)]),
    ],
)
def test_what_a_search_would_answer_at_any_time(chooses: Choice, course: evidence.Course) -> None:
    found = Replay(configs={"e": EARLY.config, "l": LATE.config, "s": STEADY.config})
    found.epochs = [
        epoch("e", 1, 9), epoch("l", 1, 4), epoch("l", 2, 11, "stopped"),
        epoch("s", 1, 5), epoch("s", 2, 10), epoch("s", 4, 20, "finished"), epoch("e", 2, 9, "stopped"),
    ]  # fmt: skip
    assert list(evidence._changes(chooses, found, BY_CONFIG.__getitem__)) == course
    assert evidence.at(course, 0) == 0
    assert evidence.at(course, 6) == 20
    assert evidence.reached(course, 31) is None


def test_a_diverged_trial_is_no_answer() -> None:
    found = Replay(configs={"b": BROKEN.config, "s": STEADY.config})
    found.epochs = [epoch("b", 2, 12), epoch("s", 1, 5), epoch("b", 3, 0, "diverged")]
    assert list(evidence._changes("last", found, BY_CONFIG.__getitem__)) == [(1, 0), (3, 20)]


def test_regret_is_what_stopping_has_cost() -> None:
    """One worker, rungs after 1 and 2 epochs: LATE comes last, and is stopped for its first epoch."""
    configs = [STEADY.config, EARLY.config, LATE.config]
    one = evidence.kept(BY_CONFIG, configs, Asha(4, 1), None)
    assert one.regret == 10
    assert 0 < one.cost < 1
    spared = evidence.kept(BY_CONFIG, configs, Asha(4, 1), LATE.config)
    assert spared.regret == 0


def test_promotion_waits_for_the_others_and_then_takes_the_best() -> None:
    configs = [STEADY.config, EARLY.config, LATE.config, BROKEN.config]
    finished, epochs = promotion.search(BY_CONFIG, configs, Promotion((2,), 1.0, 4), None, workers=1)
    # All four train two epochs; BROKEN and LATE lead with 12 and 11, go on, and the former diverges.
    assert finished == {2: 30}
    assert epochs == 4 * 2 + 2 + 1
    table = Promotion((2,), 1.0, 4)
    table.values[2] = {0: 10.0, 1: 9.0, 2: 11.0}
    assert table.next(idle=False) is None, "one is still to come"
    assert table.next(idle=True) == 2


def test_a_bootstrap_interval_holds_the_median_and_narrows_with_the_sample() -> None:
    few, many = (evidence.interval([float(n % 10) for n in range(count)]) for count in (20, 2000))
    assert few[1] <= few[0] <= few[2]
    assert few[2] - few[1] > many[2] - many[1]


def test_a_crash_changes_no_decision() -> None:
    assert measure.crashed(0)


def test_the_document_holds_the_figures_of_the_results() -> None:
    found = json.loads((ROOT / "results" / "replay.json").read_text())
    text = (ROOT / "docs" / "evidence.md").read_text()
    assert marks.begin(tables.COMMAND) + tables.render(found) + marks.END in text
    assert found["seeds"] >= 50
    assert found["crashed_alike"] == found["seeds"]


def test_tables_need_a_place(tmp_path: Path) -> None:
    (tmp_path / "text.md").write_text("no marks")
    with pytest.raises(ValueError, match="no marks to put the tables between"):
        marks.put(tmp_path / "text.md", "make it", "tables")
    (tmp_path / "text.md").write_text(f"before\n<!-- make it -->\nold{marks.END}after\n")
    marks.put(tmp_path / "text.md", "make it", "new")
    assert (tmp_path / "text.md").read_text() == f"before\n<!-- make it -->\nnew{marks.END}after\n"


def test_a_search_on_the_recorded_curves_is_the_same_each_time() -> None:
    searched, answer = measure._ground(False)
    ours = evidence.WAYS[1]
    one, other = (evidence.searched(ours, searched, answer, 0, horizon=measure.HORIZON, trials=12) for _ in range(2))
    assert one == other
    assert one.regret >= 0
    assert 0 < one.cost < 1
