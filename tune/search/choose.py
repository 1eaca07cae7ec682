"""Which trial a search chooses, and how trials rank."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tune.results import Row, config_of
from tune.settings import METRICS
from tune.wording import counted


def rank(trial_id: str, status: str, epochs: int, value: float | None) -> tuple[bool, int, bool, float, str]:
    """A sort key, best first: finished trials, then the longest trained, then the highest metric, then the earliest.

    The metric is that of the last epoch, as that is the model a final training reproduces: picking the best of all
    epochs would reward noise.
    """
    return status != "finished", -epochs, value is None, -(value or 0.0), trial_id


def ranked(rows: Iterable[Row], metric: str) -> list[Row]:
    """Rows of trials.parquet, best first."""
    return sorted(rows, key=lambda row: rank(row["trial_id"], row["status"], row["epochs"], row[metric]))


def choose(rows: Iterable[Row], metric: str) -> dict[str, Any]:
    """The content of best.json: the best trial that neither diverged nor failed. {} if no trial has a result."""
    scored = [row for row in rows if row["status"] not in ("diverged", "failed") and row.get(metric) is not None]
    if not scored:
        return {}
    best, finished = ranked(scored, metric)[0], sum(row["status"] == "finished" for row in scored)
    if finished:
        how = f"the highest {metric} after the last epoch, among {counted(finished, 'finished trial')}"
    else:
        how = f"no trial finished; the highest {metric} among those that were trained longest"
    return {
        "trial_id": best["trial_id"],
        "origin": best["origin"],
        "chosen": how,
        **{name: best.get(name) for name in METRICS},
        "val_loss": best["val_loss"],
        "train_acc": best["train_acc"],
        "epochs": best["epochs"],
        "config": config_of(best).to_dict(),
    }
