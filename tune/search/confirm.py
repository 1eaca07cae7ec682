"""--confirm: retrains the best trials on other seeds before one is chosen, against the winner's curse.

The highest of many noisy accuracies is partly luck. So the accuracies for which trials were selected do not count; only
the reruns do. Configurations that they cannot tell apart are ties, and the cheapest of them wins.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from scipy import stats

from tune.results import ENDED, TRIALS, Origin, Row, RunFolder, Status, config_of
from tune.search.choose import choose as search_choice
from tune.search.choose import ranked
from tune.search.journal import add_note
from tune.search.listener import Listener
from tune.search.retrying_searcher import RetryingSearcher, TrialSpec
from tune.settings import METRICS, Settings
from tune.training.config import TrainConfig

LEVEL = 0.95
"""Confidence level at which a difference is not a tie."""

CHEAPER = 0.95
"""A tied trial wins over the leader only if it takes less than this share of its time; times are noisy, too."""

RERUNS = pa.schema(
    [
        *(TRIALS.field(name) for name in ("trial_id", "status", "origin", "epochs")),
        ("seed", pa.int64()),
        *(TRIALS.field(name) for name in ("train_loss", "train_acc", "val_loss", *METRICS, "wall_s", "error")),
    ]
)
"""confirm.parquet: one row per rerun, with the metrics of its last epoch."""


def todo(folder: RunFolder, settings: Settings) -> list[tuple[Row, int]]:
    """The reruns that have not ended yet: trials, and the seeds to retrain them on."""
    done = {(row["trial_id"], row["seed"]) for row in reruns(folder) if row["status"] in ENDED}
    seeds = range(settings.seed + 1, settings.seed + 1 + settings.seeds)
    best = candidates(folder.read_rows("trials.parquet"), settings.metric, settings.confirm)
    return [(row, seed) for seed in seeds for row in best if (row["trial_id"], seed) not in done]


def decide(folder: RunFolder, settings: Settings) -> None:
    """Once all reruns have ended, writes the choice that they lead to to best.json."""
    if not settings.confirm or todo(folder, settings):
        return
    trials = {row["trial_id"]: row for row in folder.read_rows("trials.parquet")}
    best = {row["trial_id"] for row in candidates(trials.values(), settings.metric, settings.confirm)}
    again = [row for row in reruns(folder) if row["trial_id"] in best]
    chosen = choose(trials, again, settings.metric)
    if best and not chosen:
        why = "the search's own choice, as none of the best trials finished on all other seeds"
        chosen = search_choice(trials.values(), settings.metric) | {"chosen": why}
    if chosen:
        folder.write_json("best.json", chosen)


def candidates(trials: Iterable[Row], metric: str, count: int) -> list[Row]:
    """The best finished trials of a search."""
    finished = [row for row in trials if row["status"] == "finished" and row[metric] is not None]
    return ranked(finished, metric)[:count]


def reruns(folder: RunFolder) -> list[Row]:
    """The rows of confirm.parquet; [] if there is none."""
    return folder.read_rows("confirm.parquet") if (folder.path / "confirm.parquet").is_file() else []


def rerun_id(row: Row, seed: int) -> str:
    """The id of a trial's rerun."""
    return f"{row['trial_id']}-seed{seed}"


class Reruns(RetryingSearcher):
    """Hands the planned reruns to Ray Tune."""

    def __init__(self, planned: Sequence[tuple[Row, int]], metric: str) -> None:
        super().__init__(metric)
        self._planned = list(planned)

    def next(self) -> TrialSpec | None:
        if not self._planned:
            return None
        row, seed = self._planned.pop(0)
        config = replace(config_of(row), seed=seed)
        return {**config.to_dict(), "trial_id": rerun_id(row, seed), "origin": row["origin"]}

    def ended(self, trial_id: str, result: dict[str, Any] | None) -> None:
        pass  # no proposal depends on it


class RerunJournal(Listener):
    """Keeps confirm.parquet."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.rows = {(row["trial_id"], row["seed"]): row for row in reruns(folder)}
        self._running: dict[str, Row] = {}

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        of, _, _ = trial_id.partition("-")
        row = {"trial_id": of, "origin": origin, "epochs": 0, "seed": config.seed, "wall_s": 0.0}
        row |= self.rows.get((of, config.seed), {}) | {"status": "running"}
        self._running[trial_id] = self.rows[of, config.seed] = row

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        row = self._running[trial_id]
        row |= {name: metrics.get(name) for name in ("train_loss", "train_acc", "val_loss", *METRICS)}
        row |= {"epochs": metrics["epoch"], "wall_s": metrics["trained_s"]}

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        row = self._running.pop(trial_id)
        row |= {"status": status, "error": error or row.get("error")}
        self.write()

    def trial_failed(self, trial_id: str, error: str) -> None:
        add_note(self._running[trial_id], f"tried again after: {error}")

    def write(self) -> None:
        self.folder.write_table("confirm.parquet", [row for _, row in sorted(self.rows.items())], RERUNS)


def choose(trials: Mapping[str, Row], again: Iterable[Row], metric: str) -> dict[str, Any]:
    """The content of best.json after the reruns; {} if every configuration diverged on some seed or has no result.

    A configuration that diverged on any seed is excluded. The best mean ties with those that differ from it by less
    than Tukey's honestly significant difference, with the standard deviation pooled over all configurations.
    """
    rows: dict[str, list[Row]] = defaultdict(list)
    unstable = set()
    for row in again:
        if row["status"] == "finished":
            rows[row["trial_id"]].append(row)
        elif row["status"] == "diverged":
            unstable.add(row["trial_id"])
    stable = {of: [row[metric] for row in found] for of, found in rows.items() if of not in unstable}
    if not stable:
        return {}
    mean = {trial_id: statistics.fmean(found) for trial_id, found in stable.items()}
    cost = {trial_id: statistics.fmean(row["wall_s"] for row in rows[trial_id]) for trial_id in stable}
    leader = max(mean, key=lambda trial_id: mean[trial_id])
    deviation, freedom = pooled_deviation(list(stable.values()))
    error = deviation * critical_range(len(stable), freedom)
    tied = [
        trial_id
        for trial_id, found in stable.items()
        if mean[leader] - mean[trial_id] <= error * math.sqrt((1 / len(stable[leader]) + 1 / len(found)) / 2)
        or not freedom
    ]
    cheapest = min(tied, key=lambda trial_id: cost[trial_id])
    best = cheapest if cost[cheapest] < CHEAPER * cost[leader] else leader
    return {
        "trial_id": best,
        "origin": trials[best]["origin"],
        "chosen": _how(best, leader, tied, len(stable)) + _left_out(unstable),
        **{name: _mean(rows[best], name) for name in METRICS},
        "seeds": len(stable[best]),
        "deviation": deviation,
        "tied_with": [trial_id for trial_id in tied if trial_id != best],
        "confirmed": [
            {"trial_id": t, "mean": mean[t], "seeds": len(stable[t]), "wall_s": cost[t], "first": trials[t][metric]}
            for t in sorted(stable, key=lambda t: -mean[t])
        ],
        "val_loss": trials[best]["val_loss"],
        "train_acc": trials[best]["train_acc"],
        "epochs": trials[best]["epochs"],
        "config": config_of(trials[best]).to_dict(),
    }


def _mean(rows: Sequence[Row], name: str) -> float | None:
    """The mean of a column; None if an earlier version did not record it in all rows."""
    values = [row[name] for row in rows if row.get(name) is not None]
    return statistics.fmean(values) if len(values) == len(rows) else None


def pooled_deviation(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The pooled standard deviation within groups, and its degrees of freedom; (nan, 0) if no group has two values."""
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return math.nan, 0
    squares = sum((value - statistics.fmean(group)) ** 2 for group in groups for value in group)
    return math.sqrt(squares / freedom), freedom


@functools.cache  # scipy takes a tenth of a second to integrate it
def critical_range(groups: int, freedom: int) -> float:
    """The critical value of Tukey's studentised range; for two groups it is Student's t times sqrt 2.

    The largest and the smallest of `groups` sample means of equal expectation lie at least so many standard errors of
    a mean apart with probability 1 - LEVEL.
    """
    return float(stats.studentized_range.ppf(LEVEL, groups, freedom)) if freedom and groups > 1 else 0.0


def _how(best: str, leader: str, tied: Sequence[str], count: int) -> str:
    if count == 1:
        return "the only trial with a mean over other seeds"
    if len(tied) == 1:
        return f"the highest mean over other seeds, among the {count} best trials"
    if best == leader:
        verb = "ties" if len(tied) == 2 else "tie"
        return f"the highest mean over other seeds; {len(tied) - 1} of the {count} best trials {verb} with it"
    return f"the cheapest of {len(tied)} trials that tie over other seeds, among the {count} best"


def _left_out(unstable: set[str]) -> str:
    return f"; excluded, having diverged on another seed: {', '.join(sorted(unstable))}" if unstable else ""
