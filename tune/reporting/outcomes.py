"""The ways a trial ends, each with its colour, dash and marker in all charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune.reporting.chart import BLUE, GREEN, GREY, PURPLE, RED
from tune.reporting.load import Run
from tune.results import Row
from tune.wording import counted

STOPPED = ("#d9a441", "#cf7f2c", "#c4602f", "#b04a3c", "#9c4a4f", "#86505f")
"""By rung, the first rung first. Legible on light and dark backgrounds, as are all colours here."""


@dataclass(frozen=True)
class Outcome:
    """A way for a trial to end."""

    name: str
    colour: str
    dash: str
    symbol: str


FINISHED = Outcome("finished", BLUE, "solid", "circle")
DIVERGED = Outcome("diverged", RED, "dash", "x")
FAILED = Outcome("failed", PURPLE, "dashdot", "triangle-up")
INTERRUPTED = Outcome("interrupted", GREY, "longdash", "square")
RUNNING = Outcome("running", GREEN, "solid", "circle-open")
WINNER = "#e0559a"
"""Colour of the chosen trial."""

_OTHERS = {"diverged": DIVERGED, "failed": FAILED, "interrupted": INTERRUPTED, "running": RUNNING}


def outcome_of(row: Row, levels: Sequence[int]) -> Outcome:
    """The outcome of a row of trials.parquet; `levels` are the epochs of the rungs."""
    if row["status"] == "stopped":
        rung = sum(level < row["epochs"] for level in levels)
        colour = STOPPED[min(rung, len(STOPPED) - 1)]
        return Outcome(f"stopped after {counted(row['epochs'], 'epoch')}", colour, "dot", "line-ns-open")
    return _OTHERS.get(row["status"], FINISHED)


def by_outcome(run: Run) -> list[tuple[Outcome, list[Row]]]:
    """Trials grouped by outcome, in drawing order: stopped ones by rung first, finished ones last and so on top."""
    found: dict[Outcome, list[Row]] = {}
    for row in run.trials:
        found.setdefault(outcome_of(row, run.levels), []).append(row)
    order = [DIVERGED, FAILED, INTERRUPTED, RUNNING, FINISHED]

    def place(outcome: Outcome) -> tuple[int, int]:
        return (order.index(outcome), 0) if outcome in order else (-1, found[outcome][0]["epochs"])

    return [(outcome, found[outcome]) for outcome in sorted(found, key=place)]
