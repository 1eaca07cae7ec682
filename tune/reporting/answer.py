"""The answer that a report opens with: the best configuration, how good it is, what it cost, how to use it."""

from __future__ import annotations

import shlex
from typing import Any

from tune import results
from tune.intervals import wilson95
from tune.reporting import fates
from tune.reporting.chart import Code, Figure, Figures, Item, Note, Section, Table, percent
from tune.reporting.distributions import has, searched
from tune.reporting.fates import counted, took
from tune.reporting.load import Run
from tune.results import Row
from tune.training.config import TrainConfig

LOAD = """from pathlib import Path
import torch
from tune.training import checkpoint
classifier = checkpoint.load_model(Path({path!r}), torch.device("cpu"))
logits = classifier.logits(images)  # uint8 (N, 32, 32, 3)"""


def section(run: Run) -> Section:
    """Without a result yet: what there is of the run."""
    row = run.chosen
    items: list[Item] = []
    if run.in_progress:
        ended = sum(trial["status"] in ("finished", "stopped", "diverged", "failed") for trial in run.trials)
        total = run.settings["trials"]
        items.append(Note(f"This search has not come to its end: {ended} of {counted(total, 'trial')} have ended."))
    if row is None:
        items.append(Note(f"No trial has a result yet: {_counts(run)}." if run.trials else "No trial has begun yet."))
        return Section("answer", "The answer", items)
    items += [Figures(_figures(run, row)), _configuration(run, row), *_use(run)]
    return Section("answer", "The answer", items, _sentence(run, row))


def between(low: float, high: float) -> str:
    return f"95 % interval {low:.2f} to {high:.2f}"


def validation(run: Run) -> float | None:
    """The accuracy that the choice was made by."""
    value = run.best.get(run.metric)
    return float(value) if isinstance(value, int | float) else None


def test_accuracy(run: Run) -> tuple[float, float, float] | None:
    """Of the final model, with the ends of its interval."""
    value, ends = run.metrics.get("test_acc"), run.metrics.get("test_acc_interval95")
    if not isinstance(value, int | float) or not isinstance(ends, list) or len(ends) != 2:
        return None
    return float(value), float(ends[0]), float(ends[1])


def spent(run: Run) -> float:
    """Seconds that the search has run."""
    value = run.about.get("spent_s")
    return float(value) if isinstance(value, int | float) else 0.0


def paid(run: Run) -> int:
    """Epochs trained in the search."""
    return sum(row["epochs"] or 0 for row in run.trials)


def _figures(run: Run, row: Row) -> list[Figure]:
    found = []
    if tested := test_accuracy(run):
        accuracy, low, high = tested
        images, epochs = run.metrics.get("test_images", 0), run.metrics.get("epochs", 0)
        detail = f"{between(low, high)}; {images:,} images, opened once; trained for {epochs} epochs"
        found.append(Figure("Test accuracy", percent(accuracy), detail))
    if (value := validation(run)) is not None:
        detail = f"{between(*wilson95(value, run.val_images))}; {run.val_images:,} images"
        if seeds := run.best.get("seeds"):
            detail += f"; the mean over {seeds} other seeds"
        elif len(run.trials) > 1:
            detail += f"; the best of {len(run.trials):,} is lucky as well, which --confirm averages out over seeds"
        found.append(Figure(run.metric_label.removesuffix(" (%)"), percent(value), detail))
    own, total = row["epochs"] or 0, paid(run)
    share = f"; {100 * own / total:.0f} % of the search's {total:,} epochs" if total else ""
    found.append(Figure("Its training", fates.epochs(own), f"{took(row['wall_s'] or 0)}{share}"))
    ended = f"{counted(len(run.trials), 'trial')}: {_counts(run)}"
    found.append(Figure("The whole search", took(spent(run)), ended))
    return found


def _counts(run: Run) -> str:
    order = ("finished", "stopped", "diverged", "failed", "interrupted", "running")
    found = [(status, sum(row["status"] == status for row in run.trials)) for status in order]
    return ", ".join(f"{number} {status}" for status, number in found if number)


def _sentence(run: Run, row: Row) -> str:
    origin = {"reference": "the reference that the search began with", "baseline": "a baseline",
              "warm_start": "taken over from the earlier run"}.get(row["origin"], "found by the search")  # fmt: skip
    text = f"Trial {row['trial_id']}, {origin}; chosen as {run.best.get('chosen', 'the best')}."
    reference = next((other for other in run.trials if other["origin"] == "reference"), None)
    value = validation(run)
    if reference and reference is not row and reference[run.metric] is not None and value is not None:
        lead = value - reference[run.metric]
        compared = f"{abs(lead):.2f} points {'above' if lead >= 0 else 'below'} the reference"
        low, high = wilson95(value, run.val_images)
        noise = "; so little can be luck of the validation images" if abs(lead) < (high - low) / 2 else ""
        text += f" It ended {compared}{noise}."
    if tied := run.best.get("tied_with"):
        text += f" Seeds alone may explain its lead over {', '.join(tied)}."
    return text


def _configuration(run: Run, row: Row) -> Table:
    """What was searched first, then what else differs from the defaults."""
    varied = [name for name in searched(run.trials) if has(name, row, run.trials)]
    plain = TrainConfig(model=run.model, lr=0.1, batch_size=1, epochs=1).to_dict()
    names = [name for name in TrainConfig.fields() if f"config.{name}" in row]
    others = [
        n
        for n in names
        if n not in searched(run.trials) and (row[f"config.{n}"] != plain[n] or n in ("lr", "batch_size"))
    ]
    rows = [(name, shown(row[f"config.{name}"]), "searched") for name in varied]
    rows += [(name, shown(row[f"config.{name}"]), "fixed") for name in others]
    return Table(("setting", "value", ""), rows, "Its configuration", "All else is at its default.")


def shown(value: Any) -> str:
    """A setting as people write it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _use(run: Run) -> list[Item]:
    address, model = shlex.quote(run.folder.address), run.folder.final / "model.pt"
    if not run.metrics:
        goes_on = "Train it for 50 epochs, test it once, and predict the distorted files:"
        commands = [Code(goes_on, f"python -m tune.finalize {address}")]
        if run.in_progress and results.claimed(run.folder):
            return [Note("The search is running; this report made anew shows more."), *commands]
        if run.in_progress:
            commands.insert(0, Code("Go on with the search:", f"python -m tune.run --resume {address}"))
        return [*commands]
    there = model if run.folder.remote is None else "model.pt"
    predict = f"python -m tune.predict {shlex.quote(str(there))} IMAGE_OR_FOLDER"
    return [
        Code("What the final model says of pictures:", predict),
        Code("The final model in Python:", LOAD.format(path=str(there))),
    ]
