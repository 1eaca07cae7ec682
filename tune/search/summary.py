"""Prints what a search found, in a few lines, with the next command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from tune import wording
from tune.intervals import wilson95
from tune.results import Row, RunFolder, config_of, saved_epochs
from tune.search import confirm
from tune.settings import Settings
from tune.storage import Storage
from tune.tracking import sync_command
from tune.training import sources
from tune.wording import counted, counts, duration

MAX_CONFIRMED = 3
"""How many means of --confirm are printed; the others are in its table."""


def show(folder: RunFolder, settings: Settings, console: Console, report: str | None = None) -> None:
    """Prints what was found, its cost, where it is, and what to do next: usually ten lines.

    `report`: its location, if one was written.
    """
    rows = folder.read_rows("trials.parquet")
    best, about = folder.read_json("best.json"), folder.read_json("experiment.json")
    lines = [
        f"{counted(len(rows), 'trial')}: {counts(rows)}{_repeats(about)}.",
        *_used_up(settings, about),
        f"Cost: {_cost(folder, rows, settings, about)}.",
        *(_best(rows, best, settings) if best else []),
        *_compared(rows, best),
    ]
    console.print()
    for line in lines:  # wrapped in a terminal only
        console.print(line, highlight=False, markup=False, soft_wrap=not console.is_terminal)
    for line in _next(folder, settings, best, report):  # never wrapped: these are for copying
        wording.printer(console)(line)


def _next(folder: RunFolder, settings: Settings, best: dict[str, Any], report: str | None) -> Iterator[str]:
    """Where everything is, and the next command."""
    yield f"Results: {folder.place} (trials.parquet, epochs.parquet, best.json)"
    if report is not None:
        yield f"Report: {report}"
    if settings.wandb == "offline":
        yield f"W&B, kept offline: {sync_command(folder)}"
    if not best:
        return
    there = folder.final / "metrics.json"
    tested = folder.read_json("final/metrics.json").get("trial_id") if there.is_file() else None
    if tested == best["trial_id"]:
        yield f"Next: {command('tune.predict', folder)} IMAGE_OR_FOLDER"
    else:
        yield f"Next: {command('tune.finalize', folder)} {folder.finalize_option}".rstrip()


def _repeats(about: dict[str, Any]) -> str:
    refused = about.get("repeats_refused")
    return f"; {counted(refused, 'repeated proposal')} redrawn" if refused else ""


def _used_up(settings: Settings, about: dict[str, Any]) -> Iterator[str]:
    if about.get("used_up"):
        others = "" if settings.warm_start is None else " or the warm start"
        so = f"The space is used up before {counted(settings.trials, 'trial')}"
        yield f"{so}: new proposals only repeated earlier trials{others}."


def _cost(folder: RunFolder, rows: list[Row], settings: Settings, about: dict[str, Any]) -> str:
    epochs = sum(row["epochs"] for row in rows)
    saved = saved_epochs(rows, settings.max_epochs)
    again = sum(row["epochs"] for row in confirm.reruns(folder))
    return (
        f"{counted(epochs, 'epoch')} in {duration(about.get('spent_s', 0.0))}"
        + (f", then {again:,} in reruns" if again else "")
        + f"; {saved:,} of {epochs + saved:,} saved by stopping poor trials early"
    )


def _best(rows: list[Row], best: dict[str, Any], settings: Settings) -> Iterator[str]:
    row = next(row for row in rows if row["trial_id"] == best["trial_id"])
    _, images = sources.split_sizes(settings.data, settings.val_fraction, settings.train_subset)
    accuracy, confirmed = best[settings.metric], best.get("confirmed", [])
    kind, clean = "", ""
    if settings.metric == "val_robust_acc":
        kind, clean = " under corruption", f", {best['val_acc']:.2f} % on clean images"
    low, high = wilson95(accuracy, images)
    interval = f"95 % interval {low:.1f} to {high:.1f} on {images:,} images"
    yield f"Best: trial {best['trial_id']} ({best['origin']}), {accuracy:.2f} %{kind} ({interval}){clean}"
    yield f"  with {wording.settings(config_of(row))}"
    yield f"  chosen as {best['chosen']}"
    for item in confirmed[:MAX_CONFIRMED]:
        yield (
            f"  trial {item['trial_id']}: {item['mean']:.2f} % over {counted(item['seeds'], 'other seed')}, "
            f"{item['first']:.2f} % in the search, {item['wall_s']:.0f} s each"
        )
    if len(confirmed) > MAX_CONFIRMED:
        yield f"  and {len(confirmed) - MAX_CONFIRMED} more in confirm.parquet"


def _compared(rows: list[Row], best: dict[str, Any]) -> Iterator[str]:
    """The reference, the warm start and the baselines, except the best itself."""
    for row in rows:
        if row["origin"] in ("reference", "warm_start", "baseline") and row["trial_id"] != best.get("trial_id"):
            settings = wording.settings(config_of(row))
            yield f"{row['origin'].replace('_', ' ').capitalize()}: {_outcome(row)} ({settings})."


def resume_hint(folder: RunFolder) -> str:
    """The command that resumes the search."""
    return f"To resume: {command('tune.run --resume', folder)}"


def command(what: str, folder: RunFolder) -> str:
    """A command on the run in the folder, as typed in this directory."""
    storage = Storage.of(folder)
    place = "" if storage.root == Path("results").absolute() else f" --storage {shlex.quote(storage.place)}"
    return f"python -m {what} {shlex.quote(folder.name)}{place}"


def why_nothing(folder: RunFolder, settings: Settings) -> str:
    """Why no trial finished; empty if any did."""
    rows = folder.read_rows("trials.parquet")
    if any(row["status"] == "finished" for row in rows):
        return ""
    failed = [row for row in rows if row["status"] == "failed"]
    if failed:
        first = f"trial {failed[0]['trial_id']} with: {failed[0]['error']}"
        return f"no trial finished; {len(failed)} of {len(rows)} failed, {first} (docs/troubleshooting.md)"
    longer = "" if settings.time_budget_s is None else "; --resume with a larger --time-budget continues"
    return f"no trial finished ({counts(rows)}){longer}; see trials.parquet in {folder.place} (docs/troubleshooting.md)"


def _outcome(row: Row) -> str:
    """A trial's accuracy and how it ended."""
    accuracy = "no accuracy" if row["val_acc"] is None else f"{row['val_acc']:.2f} %"
    if (robust := row.get("val_robust_acc")) is not None:
        accuracy += f" ({robust:.2f} % under corruption)"
    return f"{accuracy} after {counted(row['epochs'], 'epoch')}, {row['status']}"
