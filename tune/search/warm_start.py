"""--warm-start: what a new search takes from an earlier run.

It decides which trials lie in the new space, whether their accuracies are comparable, and which configuration to run
again. What is taken is copied into the new run's folder, so that the search can resume without the earlier run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from tune.results import TRIALS, Row, RunFolder, config_of
from tune.search import transfer
from tune.search.choose import choose
from tune.search.history import score_of
from tune.search.proposals import HeadStart, Known
from tune.settings import Settings, Source
from tune.space import SearchSpace
from tune.training import sources
from tune.training.config import TrainConfig

TAKEN = pa.schema([*TRIALS, ("known", pa.bool_()), ("first", pa.bool_())])
"""warm_start.parquet: rows of the earlier run, with this search's epochs and seed in their `config.` columns. `known`:
the accuracy is comparable, so the search learns from it; `first`: the configuration runs right after the reference."""

MAX_REASONS = 3
"""How many reasons for misfits are printed, the most frequent first."""


@dataclass(frozen=True)
class Conditions:
    """What an accuracy depends on besides the configuration; see `differences`."""

    data: Source

    fingerprint: str | None
    """Of the images; None if unknown, and then assumed to be the same."""

    train_images: int
    val_images: int
    epochs: int
    """The horizon. Schedules depend on it, so with another one no epoch's accuracies are comparable."""

    metric: str
    seed: int

    @classmethod
    def of(cls, asked: Mapping[str, Any], fingerprint: str | None) -> Conditions:
        """The conditions of a search with these settings. ValueError if the split is impossible."""
        train, val = sources.split_sizes(asked["data"], asked["val_fraction"], asked["train_subset"])
        return cls(asked["data"], fingerprint, train, val, asked["max_epochs"], asked["metric"], asked["seed"])


@dataclass(frozen=True)
class EarlierRun:
    """The earlier run."""

    path: Path
    conditions: Conditions
    trials: Sequence[Row]
    best: object
    """trial_id of its choice; None if it made none."""


@dataclass(frozen=True)
class Taken:
    """What the new search takes from the earlier run, and the lines that tell the user so."""

    rows: Sequence[Row] = ()
    """Rows of warm_start.parquet, with the schema `TAKEN`."""

    lines: Sequence[str] = ()

    @property
    def first(self) -> bool:
        """Whether a trial of the earlier run runs right after the reference."""
        return any(row["first"] for row in self.rows)


def read(folder: RunFolder, model: str) -> EarlierRun:
    """Reads the earlier run, of this version or another. ValueError if a search of `model` cannot use it."""
    about = folder.read_json("experiment.json")
    asked = _settings_of(folder, about)
    if asked["model"] != model:
        raise ValueError(
            f"--warm-start {folder.name} is a search of {asked['model']}, but this one is of {model}; "
            "choose a run of the same model."
        )
    fingerprint = about.get("data_fingerprint")
    return EarlierRun(
        path=folder.path,
        conditions=Conditions.of(asked, fingerprint if isinstance(fingerprint, str) else None),
        trials=_trials(folder),
        best=folder.read_json("best.json").get("trial_id"),
    )


def take(earlier: EarlierRun | None, space: SearchSpace, settings: Settings, fingerprint: str | None) -> Taken:
    """What a search with these settings takes from it. `fingerprint`: of its images, if already known."""
    if earlier is None:
        return Taken()
    here = Conditions.of(settings.to_dict(), fingerprint)
    why_not = differences(earlier.conditions, here)
    fitting, left_out = _sift(earlier, space, settings)
    best = _best(fitting, earlier)
    points = {space.config(v, epochs=settings.max_epochs, seed=settings.seed): origin for origin, v in space.points()}
    given = points.get(config_of(best)) if best else None
    first = best["trial_id"] if best and not given else None
    kept = [row for row in fitting if not why_not or row["trial_id"] == first]
    headline = _headline(best, given, None if why_not else len(fitting), len(earlier.trials))
    return Taken(
        rows=[row | {"known": not why_not, "first": row["trial_id"] == first} for row in kept],
        lines=[
            f"Warm start: {earlier.path.name}, {headline}",
            *(_comparison(earlier.conditions, here, settings, only=first) if fitting else ()),
            *left_out,
        ],
    )


def write(folder: RunFolder, taken: Taken) -> None:
    """Saves it in the new run's folder, for `load`."""
    folder.write_table("warm_start.parquet", taken.rows, TAKEN)


def load(folder: RunFolder, settings: Settings) -> HeadStart:
    """What the search in `folder` took from its warm start. ValueError if the file is missing or damaged."""
    if settings.warm_start is None:
        return HeadStart()
    rows = [(row, config_of(row)) for row in folder.read_rows("warm_start.parquet")]
    return HeadStart(
        known=tuple(Known(config, score_of(row, settings.metric)) for row, config in rows if row["known"]),
        first=next((config for row, config in rows if row["first"]), None),
    )


def differences(there: Conditions, here: Conditions) -> list[str]:
    """Why accuracies are not comparable, with numbers; empty if they are.

    Another seed means another split of the same sizes and is not a reason: it shifts all accuracies of a run together,
    with 10,000 validation images by at most 0.7 points (standard deviation), while configurations differ by tens.
    """
    if there.data != here.data:
        return [f"it was trained on {there.data}, this search uses {here.data}"]
    found = []
    if there.fingerprint and here.fingerprint and there.fingerprint != here.fingerprint:
        found.append(f"its {there.data} had other images")
    if (there.train_images, there.epochs) != (here.train_images, here.epochs):
        found.append(
            f"it was trained on {there.train_images:,} images for {there.epochs} epochs, "
            f"this search on {here.train_images:,} for {here.epochs}"
        )
    if there.val_images != here.val_images:
        found.append(f"it validated on {there.val_images:,} images, this search on {here.val_images:,}")
    if there.metric != here.metric:
        found.append(f"it maximised {there.metric}, this search {here.metric}")
    return found


def _settings_of(folder: RunFolder, about: Mapping[str, Any]) -> dict[str, Any]:
    """The needed settings of an experiment.json. ValueError if any is missing."""
    asked = about.get("settings")
    kinds: dict[str, Any] = {"model": str, "data": str, "val_fraction": float, "max_epochs": int, "metric": str}
    kinds |= {"seed": int, "train_subset": int | None}
    for name, kind in kinds.items():
        if not isinstance(asked, dict) or name not in asked or not isinstance(asked[name], kind):
            raise ValueError(f"{folder.path / 'experiment.json'} does not hold {name}; omit --warm-start.")
    assert isinstance(asked, dict)
    if asked["data"] not in get_args(Source):
        raise ValueError(
            f"--warm-start {folder.name} was trained on {asked['data']}, which this version does not know."
        )
    return asked


def _trials(folder: RunFolder) -> list[Row]:
    """trials.parquet with the columns of this version. ValueError if needed values are missing."""
    file, rows = folder.path / "trials.parquet", folder.read_rows("trials.parquet")
    strange = [name for name in (rows[0] if rows else ()) if name.startswith("config.") and name not in TRIALS.names]
    if strange:
        raise ValueError(f"{file} was written by another version: this one does not know {strange[0]}.")
    try:
        known: list[Row] = pa.Table.from_pylist(rows, schema=TRIALS).to_pylist()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged, or was written by another version: {error}") from error
    for name in ("trial_id", "status", "epochs"):
        if any(row[name] is None for row in known):
            raise ValueError(f"{file} lacks the {name} of some trials; omit --warm-start.")
    return known


def _sift(earlier: EarlierRun, space: SearchSpace, settings: Settings) -> tuple[list[Row], list[str]]:
    """The trials that fit into the space, with this search's epochs and seed; and lines on those left out."""
    fitting, misfits, useless = [], Counter[str](), Counter[str]()
    for row in earlier.trials:
        if why := _no_knowledge(row, earlier.conditions.metric):
            useless[why] += 1
            continue
        values = {name: row[f"config.{name}"] for name in TrainConfig.fields()}
        try:
            config = transfer.to_space(values, space, epochs=settings.max_epochs, seed=settings.seed)
        except ValueError as misfit:
            misfits[str(misfit).rstrip(".")] += 1
            continue
        fitting.append(row | {f"config.{name}": value for name, value in config.to_dict().items()})
    counts = ((misfits, "do not fit"), (useless, "have no usable result"))
    return fitting, [
        f"  {why.total()} of {len(earlier.trials)} trials {what}: {_reasons(why)}" for why, what in counts if why
    ]


def _no_knowledge(row: Row, metric: str) -> str:
    """Why a trial has no usable result; empty if it has one."""
    if row["status"] not in ("finished", "stopped", "diverged"):
        return str(row["status"])
    return f"without {metric}" if row.get(metric) is None and row["status"] != "diverged" else ""


def _best(fitting: Sequence[Row], earlier: EarlierRun) -> Row | None:
    """The trial that the earlier run chose, or would have chosen among these."""
    for trial_id in (earlier.best, choose(fitting, earlier.conditions.metric).get("trial_id")):
        for row in fitting:
            if row["trial_id"] == trial_id:
                return row
    return None


def _headline(best: Row | None, given: str | None, known: int | None, total: int) -> str:
    """`given`: origin of the best trial if this search runs it anyway; `known`: None if accuracies do not compare."""
    parts = [f"{known} of {total} trials are known from the start"] if known else []
    if best:
        what = f"is this search's {given} anyway" if given else "runs right after the reference"
        parts.append(f"its best, trial {best['trial_id']}, {what}")
    return "; ".join(parts) or f"none of its {total} trials is of use"


def _comparison(there: Conditions, here: Conditions, settings: Settings, only: str | None) -> Iterator[str]:
    """Whether accuracies are comparable. `only`: the trial that is taken over even if they are not."""
    if why_not := "; ".join(differences(there, here)):
        so = "its accuracies are not comparable" + (", so only its best trial is taken over" if only else "")
        yield f"  {why_not[0].upper()}{why_not[1:]}: {so}"
        return
    if there.seed != here.seed:
        # Of the difference between two proportions of one half, each over so many images.
        noise = 100 * math.sqrt(2 * 0.25 / here.val_images)
        yield (
            f"  Its seed was {there.seed}, this search's is {here.seed}: another split of the same size, on which "
            f"accuracies differ by up to {noise:.1f} points (standard deviation)"
        )
    if settings.search == "random":
        yield "  Random search does not learn from them; it only avoids repeating them"


def _reasons(counted: Counter[str]) -> str:
    """`lr outside 0.001 to 0.3 (9), augmentation outside none (3)`."""
    told = counted.most_common(MAX_REASONS)
    others = counted.total() - sum(number for _, number in told)
    return ", ".join(
        [*(f"{why} ({number})" for why, number in told), *([f"other reasons ({others})"] if others else [])]
    )
