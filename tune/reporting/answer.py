"""The answer that a report opens with: the best configuration, how good it is, what it cost, how to use it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tune import results
from tune.final_checks import EPOCHS
from tune.intervals import wilson95
from tune.reporting.chart import Code, Figure, Figures, Item, Note, Section, Table, percent, setting
from tune.reporting.distributions import has, searched
from tune.reporting.load import ENDED, Run
from tune.results import Row
from tune.training.config import TrainConfig
from tune.wording import counted, counts, duration

LOAD = """from tune.training.checkpoint import load_model
classifier = load_model({path!r})
probabilities = classifier.probabilities(pixels)  # tensors: uint8 (B, 32, 32, 3) -> float32 (B, 100)"""


def section(run: Run) -> Section:
    """Without a result yet: what there is of the run."""
    row = run.chosen
    items: list[Item] = []
    if run.in_progress:
        ended = sum(trial["status"] in ENDED for trial in run.trials)
        total = run.settings["trials"]
        items.append(Note(f"This search is not finished: {ended} of {counted(total, 'trial')} have ended."))
    if other := run.final_of_another:
        items.append(Note(f"The final model is that of trial {other}, not of the one chosen now."))
    if row is None:
        items.append(
            Note(f"No trial has a result yet: {counts(run.trials)}." if run.trials else "No trial has begun yet.")
        )
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


def rerun_s(run: Run) -> float:
    """Seconds that the reruns on other seeds took, added up; they are no part of `spent`."""
    return sum(row["wall_s"] or 0.0 for row in run.confirm)


def _figures(run: Run, row: Row) -> list[Figure]:
    found = [*_tested(run)]
    if (value := validation(run)) is not None:
        detail = f"{between(*wilson95(value, run.val_images))}; {run.val_images:,} images"
        if seeds := run.best.get("seeds"):
            detail += f"; the mean over {seeds} other seeds"
        elif len(run.trials) > 1:
            detail += (
                f"; being the best of {len(run.trials):,} takes luck, too, which --confirm averages out over seeds"
            )
        found.append(Figure(run.metric_label.removesuffix(" (%)"), percent(value), detail))
    own, total = row["epochs"] or 0, paid(run)
    share = f"; {100 * own / total:.0f} % of the search's {total:,} epochs" if total else ""
    found.append(Figure("Its training", counted(own, "epoch"), f"{duration(row['wall_s'] or 0)}{share}"))
    ended = f"{counted(len(run.trials), 'trial')}: {counts(run.trials)}"
    if run.confirm:
        ended += f"; after it {counted(len(run.confirm), 'rerun')} of {duration(rerun_s(run))} together"
    found.append(Figure("The whole search", duration(spent(run)), ended))
    return found


def _tested(run: Run) -> Iterator[Figure]:
    """What the test said of the final model, and of a training on a single seed where there were several."""
    if (tested := test_accuracy(run)) is None:
        return
    accuracy, low, high = tested
    metrics = run.metrics
    parts = [between(low, high), f"{metrics.get('test_images', 0):,} images"]
    if isinstance(opened := metrics.get("test_opened"), int):
        parts[-1] += f", opened {'once' if opened == 1 else f'{opened} times'}"
    if len(run.final_seeds) > 1:
        parts.append(f"the mean of the probabilities of {len(run.final_seeds)} seeds")
    if metrics.get("tta"):
        parts.append("with test-time augmentation")
    parts.append(f"trained for {counted(metrics.get('epochs', 0), 'epoch')}")
    label = "Test accuracy" + (f" of trial {run.final_of_another}'s final model" if run.final_of_another else "")
    yield Figure(label, percent(accuracy), "; ".join(parts))
    if spread := metrics.get("over_seeds"):
        single = spread["test_acc"]
        detail = f"{between(*single['interval95'])} of the mean over {len(run.final_seeds)} seeds"
        detail += f"; standard deviation {single['sd']:.2f}"
        yield Figure("Test accuracy of a single seed", percent(single["mean"]), detail)


def _sentence(run: Run, row: Row) -> str:
    origin = {"reference": "the reference that the search began with", "baseline": "a baseline",
              "warm_start": "taken over from the earlier run"}.get(row["origin"], "found by the search")  # fmt: skip
    text = f"Trial {row['trial_id']}, {origin}; chosen as {run.best.get('chosen', 'the best')}."
    text += _beside_the_reference(run, row)
    if tied := run.best.get("tied_with"):
        text += f" Seeds alone may explain its lead over {', '.join(tied)}."
    return text


def _beside_the_reference(run: Run, row: Row) -> str:
    """Like is compared with like: the mean over other seeds with such a mean, else what the search itself measured."""
    reference = next((other for other in run.trials if other["origin"] == "reference"), None)
    if reference is None or reference is row:
        return ""
    again = {item["trial_id"]: item["mean"] for item in run.best.get("confirmed", [])}
    if {row["trial_id"], reference["trial_id"]} <= again.keys():
        value, other, where = again[row["trial_id"]], again[reference["trial_id"]], "Over other seeds it"
    else:
        value, other = row[run.metric], reference[run.metric]
        where = "In the search itself it" if again else "It"
    if value is None or other is None:
        return ""
    lead = value - other
    low, high = wilson95(value, run.val_images)
    noise = "; so small a difference can be luck" if abs(lead) < (high - low) / 2 else ""
    return f" {where} ended {abs(lead):.2f} points {'above' if lead >= 0 else 'below'} the reference{noise}."


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
    rows = [(name, setting(row[f"config.{name}"]), "searched") for name in varied]
    rows += [(name, setting(row[f"config.{name}"]), "fixed") for name in others]
    return Table(("setting", "value", ""), rows, "Its configuration", "All other settings are at their defaults.")


def _use(run: Run) -> list[Item]:
    """What to type next, as the run is now."""
    address = shlex.quote(run.folder.address)
    commands: list[Item] = []
    if run.in_progress:
        if results.claimed(run.folder):
            commands.append(Note("The search is running; this report made anew shows more."))
        else:
            commands.append(Code("Go on with the search:", f"python -m tune.run --resume {address}"))
    if not run.metrics or run.final_of_another:
        option = run.folder.finalize_option
        does = {
            "": f"Train it for {EPOCHS} epochs, test it once, and predict the distorted files:",
            "--resume": "Go on with the training of the final model:",
            "--overwrite": f"Train it for {EPOCHS} epochs and test it, in the place of the final model that is there:",
        }
        commands.append(Code(does[option], f"python -m tune.finalize {address} {option}".rstrip()))
    if run.metrics:
        path = "model.pt" if run.folder.remote is not None else str(run.folder.final / "model.pt")
        predict = f"python -m tune.predict {address} IMAGE_OR_FOLDER"
        commands.append(Code("What the final model says of pictures:", predict))
        commands.append(Code("The final model in Python:", LOAD.format(path=path)))
    return commands
