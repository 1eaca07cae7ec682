"""What a search found, in a few lines, with the next command."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console

from tune.files import short
from tune.results import Row, RunFolder
from tune.settings import Settings
from tune.storage import Storage


def show(folder: RunFolder, settings: Settings, console: Console) -> None:
    """Prints what was found, what it cost, where it lies and what to do next."""
    rows = folder.read_rows("trials.parquet")
    best = folder.read_json("best.json")

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say("")
    say(f"{counted(len(rows), 'trial')}: {counts(rows)}.")
    epochs = sum(row["epochs"] for row in rows)
    saved = sum(settings.max_epochs - row["epochs"] for row in rows if row["status"] in ("stopped", "diverged"))
    say(f"{counted(epochs, 'epoch')} trained; stopping the poor trials early saved {saved}.")
    about = folder.read_json("experiment.json")
    if about.get("used_up"):
        others = "" if settings.warm_start is None else " or the warm start"
        so = f"The space is used up, short of {counted(settings.trials, 'trial')}"
        say(f"{so}: new proposals only repeated the trials{others}.")
    if refused := about.get("repeats_refused"):
        were = "was" if refused == 1 else "were"
        say(f"{counted(refused, 'proposal')} repeated an earlier configuration and {were} drawn anew.")
    for row in rows:
        if row["origin"] in ("reference", "warm_start", "baseline"):
            say(f"{row['origin'].replace('_', ' ').capitalize()}: {outcome(row)} ({settings_line(row)}).")
    if best:
        row = next(row for row in rows if row["trial_id"] == best["trial_id"])
        say(f"Best: trial {best['trial_id']} ({best['origin']}), {outcome(row)} ({settings_line(row)}).")
        say(f"  chosen as {best['chosen']}")
        for item in best.get("confirmed", []):
            say(
                f"  trial {item['trial_id']}: {item['mean']:.2f} % over {item['seeds']} other seeds, "
                f"{item['first']:.2f} % in the search, {item['wall_s']:.0f} s each"
            )
    say(f"Results: {folder.place} (trials.parquet, epochs.parquet, best.json)")
    if settings.wandb == "offline":
        say(f"W&B, kept offline: wandb sync {short(folder.path)}/wandb/offline-run-*")
    if best:
        say(f"Next: {command('tune.finalize', folder)}")


def to_go_on(folder: RunFolder) -> str:
    """What to type after an interruption."""
    return f"To go on: {command('tune.run --resume', folder)}"


def command(what: str, folder: RunFolder) -> str:
    """A command on the run in the folder, as the user would type it here."""
    storage = Storage.of(folder)
    place = "" if storage.root == Path("results").absolute() else f" --storage {shlex.quote(storage.place)}"
    return f"python -m {what} {shlex.quote(folder.name)}{place}"


def why_nothing(folder: RunFolder, settings: Settings) -> str:
    """Why no trial finished; empty if one did."""
    rows = folder.read_rows("trials.parquet")
    if any(row["status"] == "finished" for row in rows):
        return ""
    failed = [row for row in rows if row["status"] == "failed"]
    if failed:
        first = f"trial {failed[0]['trial_id']} with: {failed[0]['error']}"
        return f"no trial finished; {len(failed)} of {len(rows)} failed, {first}"
    longer = "" if settings.time_budget_s is None else "; a larger --time-budget with --resume goes on"
    return f"no trial finished ({counts(rows)}){longer}; see trials.parquet in {folder.place}"


def counted(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def counts(rows: list[Row]) -> str:
    """`9 finished, 6 stopped, 1 diverged`."""
    order = ("finished", "stopped", "diverged", "failed", "interrupted", "running")
    found = [(status, sum(row["status"] == status for row in rows)) for status in order]
    return ", ".join(f"{number} {status}" for status, number in found if number) or "none"


def outcome(row: Row) -> str:
    """How a trial ended, and with what accuracy."""
    accuracy = "no accuracy" if row["val_acc"] is None else f"{row['val_acc']:.2f} % validation accuracy"
    if (robust := row.get("val_robust_acc")) is not None:
        accuracy += f" ({robust:.2f} % under corruption)"
    return f"{accuracy} after {counted(row['epochs'], 'epoch')}, {row['status']}"


def settings_line(row: Row) -> str:
    return (
        f"lr {row['config.lr']:.4g}, batch {row['config.batch_size']}, "
        f"{row['config.scheduler']}, {row['config.augmentation']}"
    )
