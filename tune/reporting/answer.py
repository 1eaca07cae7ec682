"""The first section of a report: the best configuration, how good it is, what it cost, how to use it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tune import results
from tune.intervals import wilson95
from tune.reporting.chart import Code, Item, KeyFigure, KeyFigures, Note, Section, Table, between, percent, setting
from tune.reporting.distributions import is_active, searched
from tune.reporting.load import Run
from tune.results import ENDED, Row
from tune.settings import FINAL_EPOCHS
from tune.training.config import TrainConfig
from tune.wording import counted, counts, duration

LOAD = """from tune.training.checkpoint import load_model
classifier = load_model({path!r})
probabilities = classifier.probabilities(pixels)  # tensors: uint8 (B, 32, 32, 3) -> float32 (B, 100)"""


def section(run: Run) -> Section:
    row = run.chosen
    items: list[Item] = []
    if run.in_progress:
        ended = sum(trial["status"] in ENDED for trial in run.trials)
        total = run.settings["trials"]
        items.append(Note(f"This search has not finished: {ended} of {counted(total, 'trial')} have ended."))
    if other := run.final_of_another:
        items.append(Note(f"The final model was trained from trial {other}, not from the trial chosen here."))
    if row is None:
        items.append(
            Note(f"No trial has a result yet: {counts(run.trials)}." if run.trials else "No trial has started yet.")
        )
        return Section("answer", "The best configuration", items)
    items += [KeyFigures(_figures(run, row)), _configuration(run, row), *_use(run)]
    return Section("answer", "The best configuration", items, _sentence(run, row))


def _figures(run: Run, row: Row) -> list[KeyFigure]:
    found = [*_tested(run)]
    if (value := run.validation) is not None:
        detail = f"{between(*wilson95(value, run.val_images))}; {run.val_images:,} images"
        if seeds := run.best.get("seeds"):
            detail += f"; mean over {seeds} other seeds"
        elif len(run.trials) > 1:
            detail += (
                f"; the best of {len(run.trials):,} trials is partly luck, which --confirm averages out over seeds"
            )
        found.append(KeyFigure(run.metric_label.removesuffix(" (%)"), percent(value), detail))
    own, total = row["epochs"] or 0, run.epochs_trained
    share = f"; {100 * own / total:.0f} % of the search's {total:,} epochs" if total else ""
    found.append(KeyFigure("Training of this trial", counted(own, "epoch"), f"{duration(row['wall_s'] or 0)}{share}"))
    ended = f"{counted(len(run.trials), 'trial')}: {counts(run.trials)}"
    if run.confirm:
        ended += f"; then {counted(len(run.confirm), 'rerun')}, {duration(run.rerun_s)} of training"
    found.append(KeyFigure("The whole search", duration(run.search_s), ended))
    return found


def _tested(run: Run) -> Iterator[KeyFigure]:
    """The accuracy of the final model, and of a single seed if it combines several."""
    if (tested := run.test_accuracy) is None:
        return
    accuracy, low, high = tested
    metrics = run.metrics
    parts = [between(low, high), f"{metrics.get('test_images', 0):,} images"]
    if isinstance(opened := metrics.get("test_opened"), int):
        parts.append(f"test set opened {'once' if opened == 1 else f'{opened} times'}")
    if len(run.final_seeds) > 1:
        parts.append(f"probabilities averaged over {len(run.final_seeds)} seeds")
    if metrics.get("tta"):
        parts.append("with test-time augmentation")
    parts.append(f"trained for {counted(metrics.get('epochs', 0), 'epoch')}")
    label = "Test accuracy" + (f" of trial {run.final_of_another}'s final model" if run.final_of_another else "")
    yield KeyFigure(label, percent(accuracy), "; ".join(parts))
    if spread := metrics.get("over_seeds"):
        single = spread["test_acc"]
        detail = f"mean over {len(run.final_seeds)} seeds, {between(*single['interval95'])}"
        detail += f"; standard deviation {single['sd']:.2f}"
        yield KeyFigure("Test accuracy of a single seed", percent(single["mean"]), detail)


def _sentence(run: Run, row: Row) -> str:
    origin = {"reference": "the space's reference", "baseline": "a baseline of the space",
              "warm_start": "the best of the earlier run"}.get(row["origin"], "proposed by the search")  # fmt: skip
    text = f"Trial {row['trial_id']}, {origin}; chosen as {run.best.get('chosen', 'the best')}."
    text += _against_reference(run, row)
    if tied := run.best.get("tied_with"):
        text += f" Its lead over {', '.join(tied)} may be due to the seeds alone."
    return text


def _against_reference(run: Run, row: Row) -> str:
    """Compares means over other seeds if both trials have one, else what the search measured."""
    reference = next((other for other in run.trials if other["origin"] == "reference"), None)
    if reference is None or reference is row:
        return ""
    again = {item["trial_id"]: item["mean"] for item in run.best.get("confirmed", [])}
    if {row["trial_id"], reference["trial_id"]} <= again.keys():
        value, other, where = again[row["trial_id"]], again[reference["trial_id"]], "On other seeds it"
    else:
        value, other = row[run.metric], reference[run.metric]
        where = "In the search it" if again else "It"
    if value is None or other is None:
        return ""
    lead = value - other
    low, high = wilson95(value, run.val_images)
    noise = "; a difference this small may be chance" if abs(lead) < (high - low) / 2 else ""
    return f" {where} scored {abs(lead):.2f} points {'above' if lead >= 0 else 'below'} the reference{noise}."


def _configuration(run: Run, row: Row) -> Table:
    """The searched settings first, then the others that differ from their defaults."""
    varied = [name for name in searched(run.trials) if is_active(name, row, run.trials)]
    plain = TrainConfig(model=run.model, lr=0.1, batch_size=1, epochs=1).to_dict()
    names = [name for name in TrainConfig.fields() if f"config.{name}" in row]
    others = [
        n
        for n in names
        if n not in searched(run.trials) and (row[f"config.{n}"] != plain[n] or n in ("lr", "batch_size"))
    ]
    rows = [(name, setting(row[f"config.{name}"]), "searched") for name in varied]
    rows += [(name, setting(row[f"config.{name}"]), "fixed") for name in others]
    return Table(("setting", "value", ""), rows, "Its settings", "All other settings have their default values.")


def _use(run: Run) -> list[Item]:
    """The commands that make sense next."""
    address = shlex.quote(run.folder.address)
    commands: list[Item] = []
    if run.in_progress:
        if results.is_locked(run.folder):
            commands.append(Note("The search is still running. Write the report again to see its progress."))
        else:
            commands.append(Code("Resume the search:", f"python -m tune.run --resume {address}"))
    if not run.metrics or run.final_of_another:
        option = run.folder.finalize_option
        does = {
            "": f"Train it for {FINAL_EPOCHS} epochs, test it once, and predict the distorted images:",
            "--resume": "Resume training the final model:",
            "--overwrite": f"Train it for {FINAL_EPOCHS} epochs and test it, replacing the existing final model:",
        }
        commands.append(Code(does[option], f"python -m tune.finalize {address} {option}".rstrip()))
    if run.metrics:
        path = "model.pt" if run.folder.remote is not None else str(run.folder.final / "model.pt")
        predict = f"python -m tune.predict {address} IMAGE_OR_FOLDER"
        commands.append(Code("Classify images with the final model:", predict))
        commands.append(Code("Use the final model in Python:", LOAD.format(path=path)))
    return commands
