"""What a person sees of a search: plain lines in a log, a table in a terminal."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from tune.search.console import LiveView, PlainView, view
from tune.training.config import TrainConfig

TITLE = "one: simple_cnn on synthetic, 50 epochs a trial"


def config(**values: Any) -> TrainConfig:
    long_words: dict[str, Any] = {"scheduler": "one_cycle", "augmentation": "trivialaugment"}
    plain: dict[str, Any] = {"model": "simple_cnn", "lr": 0.0123456, "batch_size": 128, "epochs": 50}
    return TrainConfig(**plain | long_words | values)


def metrics(epoch: int, val_acc: float, diverged: bool = False) -> dict[str, Any]:
    return {"epoch": epoch, "val_acc": val_acc, "diverged": diverged, "wall_s": 1.23}


def one_of_each(shown: PlainView) -> None:
    """A search with a trial of every fate, and one that still runs."""
    shown.trial_started("0000", "reference", config())
    shown.epoch_ended("0000", metrics(49, 51.0))
    shown.epoch_ended("0000", metrics(50, 52.345))
    shown.trial_ended("0000", "finished", None)
    shown.trial_started("0001", "baseline", config(lr=0.1, batch_size=8, scheduler="step", augmentation="none"))
    shown.epoch_ended("0001", metrics(1, 0.0, diverged=True))
    shown.trial_ended("0001", "diverged", None)
    shown.trial_started("0002", "search", config())
    shown.trial_ended("0002", "failed", "RuntimeError: [/red] CUDA out of memory")
    shown.trial_started("0003", "search", config())
    shown.epoch_ended("0003", metrics(5, 12.0))
    shown.trial_ended("0003", "stopped", None)
    shown.trial_started("0004", "search", config())
    shown.epoch_ended("0004", metrics(7, 30.0))


def terminal(width: int, height: int = 40) -> Console:
    return Console(
        record=True, width=width, height=height, file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}
    )


def log(width: int = 80) -> Console:
    return Console(width=width, file=io.StringIO(), _environ={})


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def last_frame(width: int, happen: Callable[[PlainView], None], height: int = 40, title: str = TITLE) -> list[str]:
    """The table as it stands when the search is over, without its colours."""
    console = terminal(width, height)
    with view(title, 5, console) as shown:
        happen(shown)
    lines = [line.rstrip() for line in console.export_text(styles=False).splitlines()]
    start = max(number for number, line in enumerate(lines) if line == title)
    return [line for line in lines[start:] if line]


def foot_of(frame: list[str]) -> int:
    """The line under the table: the time, and what has been counted."""
    return next(number for number, line in enumerate(frame) if re.match(r"\d+:\d\d:\d\d · ", line))


def cells_of(frame: list[str]) -> list[list[str]]:
    """Every line between the head and the foot, by its cells, none of which holds a space."""
    return [line.split() for line in frame[2 : foot_of(frame)]]


def test_a_terminal_gets_the_table_and_a_log_gets_lines() -> None:
    assert type(view(TITLE, 5, terminal(80))) is LiveView
    assert type(view(TITLE, 5, log())) is PlainView


# Plain lines.


def test_a_log_tells_each_event_in_one_line() -> None:
    console = log()
    with view(TITLE, 5, console) as shown:
        one_of_each(shown)
    lines = text_of(console).splitlines()
    assert all(re.match(r"\[\d+:\d\d:\d\d\] \S", line) for line in lines)
    assert [line.split("] ", 1)[1] for line in lines] == [
        TITLE,
        "trial 0000 (reference) starts: lr 0.0123, batch 128, one_cycle, trivialaugment",
        "trial 0000 epoch 49/50: val_acc 51.00 %, 1.2 s",
        "trial 0000 epoch 50/50: val_acc 52.34 %, 1.2 s",
        "trial 0000 finished after epoch 50",
        "trial 0001 (baseline) starts: lr 0.1, batch 8, step, none",
        "trial 0001 epoch 1/50: the loss is not finite, 1.2 s",
        "trial 0001 diverged after epoch 1",
        "trial 0002 (search) starts: lr 0.0123, batch 128, one_cycle, trivialaugment",
        "trial 0002 failed after epoch 0: RuntimeError: [/red] CUDA out of memory",
        "trial 0003 (search) starts: lr 0.0123, batch 128, one_cycle, trivialaugment",
        "trial 0003 epoch 5/50: val_acc 12.00 %, 1.2 s",
        "trial 0003 stopped after epoch 5",
        "trial 0004 (search) starts: lr 0.0123, batch 128, one_cycle, trivialaugment",
        "trial 0004 epoch 7/50: val_acc 30.00 %, 1.2 s",
    ]


def test_a_log_has_no_control_codes_and_is_not_wrapped() -> None:
    console = log(width=20)
    with view("[bold]name[/red]", 5, console) as shown:
        one_of_each(shown)
        shown.tick()
    text = text_of(console)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert len(text.splitlines()) == 15
    assert "[bold]name[/red]" in text  # a name is a name, not markup


@pytest.mark.parametrize(
    ("later", "shown"), [(0.0, "0:00:00"), (59.9, "0:00:59"), (61.0, "0:01:01"), (36610, "10:10:10")]
)
def test_the_clock_counts_hours_minutes_and_seconds(later: float, shown: str) -> None:
    plain = view(TITLE, 5, log())
    plain._began -= later
    assert plain.elapsed() == shown


# The table.


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_keeps_a_line_a_trial_within_the_terminal(width: int) -> None:
    frame = last_frame(width, one_of_each)
    assert all(len(line) <= width for line in frame)
    rows = cells_of(frame)
    # Nothing else lies between the head and the foot: no row has spilt into a second line.
    assert [row[0] for row in rows] == ["0004", "0000", "0003", "0001", "0002"]  # those that run, then the best
    assert [len(row) for row in rows] == [9] * 5


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_shows_every_word(width: int) -> None:
    frame = last_frame(width, one_of_each)
    rows = {row[0]: row for row in cells_of(frame)}
    assert frame[1].split() == [
        "trial", "from", "state", "epoch", "val", "%", "lr", "batch", "schedule", "augmentation",
    ]  # fmt: skip
    assert rows["0000"][1:] == [
        "reference", "finished", "50/50", "52.34", "0.0123", "128", "one_cycle", "trivialaugment",
    ]  # fmt: skip
    assert rows["0001"][1:] == ["baseline", "diverged", "1/50", "-", "0.1", "8", "step", "none"]
    assert rows["0002"][2:5] == ["failed", "0/50", "-"]
    assert rows["0003"][2:5] == ["stopped", "5/50", "12.00"]
    assert rows["0004"][2:5] == ["running", "7/50", "30.00"]


@pytest.mark.parametrize("width", [80, 200])
def test_under_the_table_every_fate_is_counted(width: int) -> None:
    frame = last_frame(width, one_of_each)
    counts = " ".join(frame[foot_of(frame) :])
    for part in (
        "4 of 5 trials ended",
        "1 running",
        "1 stopped",
        "1 diverged",
        "1 failed",
        "63 epochs trained",
    ):
        assert part in counts


def test_a_full_terminal_shows_what_runs_and_the_best() -> None:
    def many(shown: PlainView) -> None:
        for number in range(60):
            shown.trial_started(f"{number:04d}", "search", config())
            shown.epoch_ended(f"{number:04d}", metrics(3, float(number)))
            if number != 10:
                shown.trial_ended(f"{number:04d}", "stopped", None)

    frame = last_frame(120, many, height=20)
    assert len(frame) <= 20
    assert [row[0] for row in cells_of(frame)][:4] == ["0010", "0059", "0058", "0057"]
    assert "59 stopped" in " ".join(frame[foot_of(frame) :])


@pytest.mark.parametrize("title", ["a[/red]: x", "run[bold]: x"])
def test_a_name_is_no_markup_in_the_table(title: str) -> None:
    assert last_frame(120, one_of_each, title=title)[0] == title


def test_before_the_first_trial_there_is_an_empty_table() -> None:
    frame = last_frame(120, lambda shown: None)
    assert frame[0] == TITLE
    assert "0 of 5 trials ended" in frame[-1]


def test_the_table_is_in_place_while_the_search_runs() -> None:
    console = terminal(120)
    with view(TITLE, 5, console) as shown:
        one_of_each(shown)
        shown._live.refresh()  # type: ignore[attr-defined]
        assert "diverged" in text_of(console)
        assert "failed" in text_of(console)


def test_an_error_in_the_search_leaves_the_terminal_in_order() -> None:
    console = terminal(120)
    with contextlib.suppress(KeyboardInterrupt), view(TITLE, 5, console) as shown:
        one_of_each(shown)
        raise KeyboardInterrupt
    text = text_of(console)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back
