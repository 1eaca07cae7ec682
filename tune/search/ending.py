"""Runs a search to its end, or to an interruption, and prints the outcome."""

from __future__ import annotations

import shutil
from contextlib import suppress

from rich.console import Console

from tune import cli, wording
from tune.files import FolderLock, Unwritable
from tune.remote import Unreachable
from tune.reporting import write
from tune.results import RunFolder
from tune.search import confirm, history, summary
from tune.search.history import History
from tune.search.launch import search
from tune.search.mirror import mirrored
from tune.search.plan import Plan
from tune.search.watchdog import RayDied
from tune.settings import Settings


def searched(
    prepared: Plan, folder: RunFolder, so_far: History, console: Console, lock: FolderLock, extra_options: str
) -> None:
    """Runs the search; if it ends early, prints its results. `extra_options`: to resume with, besides --resume."""
    try:
        with mirrored(folder, console) as mirror:
            why = history.nothing_to_do(so_far, prepared.settings)
            if why and not confirm.todo(folder, prepared.settings):
                wording.printer(console)(why)
                confirm.decide(folder, prepared.settings)  # if it died after the last rerun and before the choice
            else:
                search(prepared, folder, so_far, console, mirror, extra_options)
    except KeyboardInterrupt:
        lock.release()  # or the report would say that the search is running
        how_to_go_on = _shown_or_removed(folder, prepared.settings, console, extra_options)
        wording.printer(console)(f"Interrupted. {how_to_go_on}")
        raise
    except SystemExit as error:  # raised by rich when the output pipe is closed
        raise cli.WorkFailed(f"the output was closed. {summary.resume_hint(folder)}{extra_options}") from error
    except (RayDied, Unwritable) as error:
        lock.release()  # likewise
        how_to_go_on = _shown_or_removed(folder, prepared.settings, console, extra_options)
        raise cli.WorkFailed(f"{error}. {how_to_go_on}") from error
    finally:
        lock.release()


def tell(settings: Settings, folder: RunFolder, console: Console) -> None:
    """Prints what a completed search has found. WorkFailed if that is nothing."""
    summary.show(folder, settings, console, write.try_write(folder, console))
    if reason := summary.why_nothing(folder, settings):
        raise cli.WorkFailed(reason)


def _shown_or_removed(folder: RunFolder, settings: Settings, console: Console, extra_options: str) -> str:
    """Shows the results of a search that ended early; removes its folder if nothing had started.

    Returns a sentence on how to resume it.
    """
    if not (folder.path / "experiment.json").is_file():  # written last when a search starts
        _remove(folder)
        return "Nothing had started, so nothing was kept."
    report = None
    with suppress(KeyboardInterrupt):  # on a second Ctrl-C the hint is still printed
        report = write.try_write(folder, console)
    summary.show(folder, settings, console, report)
    return summary.resume_hint(folder) + extra_options


def _remove(folder: RunFolder) -> None:
    """Deletes the run's folder, here and at its URI, which frees its name."""
    shutil.rmtree(folder.path, ignore_errors=True)
    if folder.remote is not None:
        with suppress(Unreachable):
            folder.remote.remove()
