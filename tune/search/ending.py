"""How a search ends: with what it has found, or cut off, with how it goes on."""

from __future__ import annotations

import shutil
from contextlib import suppress

from rich.console import Console

from tune import cli, wording
from tune.files import Claim, Unwritable
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


def searched(prepared: Plan, folder: RunFolder, so_far: History, console: Console, claim: Claim, and_then: str) -> None:
    """Searches; says what was found if that ends early. `and_then`: the options to go on with, beside --resume."""
    try:
        with mirrored(folder, console) as mirror:
            why = history.nothing_to_do(so_far, prepared.settings)
            if why and not confirm.todo(folder, prepared.settings):
                console.print(why)
                confirm.decide(folder, prepared.settings)  # it may have died between the last rerun and the choice
            else:
                search(prepared, folder, so_far, console, mirror, and_then)
    except KeyboardInterrupt:
        claim.release()  # the report would take it for a search that runs
        how_to_go_on = _cut_off(folder, prepared.settings, console, and_then)
        wording.printer(console)(f"Interrupted. {how_to_go_on}")
        raise
    except SystemExit as error:  # of rich, when nobody reads the output any more
        raise cli.WorkFailed(f"Nobody reads the output any more. {summary.to_go_on(folder)}{and_then}") from error
    except (RayDied, Unwritable) as error:
        raise cli.WorkFailed(f"{error}. {_cut_off(folder, prepared.settings, console, and_then)}") from error
    finally:
        claim.release()


def tell(settings: Settings, folder: RunFolder, console: Console) -> None:
    """Says what a search that has come to its end has found. WorkFailed if that is nothing."""
    summary.show(folder, settings, console, write.try_write(folder, console))
    if reason := summary.why_nothing(folder, settings):
        raise cli.WorkFailed(reason)


def _cut_off(folder: RunFolder, settings: Settings, console: Console, and_then: str) -> str:
    """Says what there is of a search that did not come to its end; returns how it goes on."""
    if not (folder.path / "experiment.json").is_file():  # the last file of a search that begins
        shutil.rmtree(folder.path, ignore_errors=True)  # or its name would be taken for nothing
        if folder.remote is not None:
            with suppress(Unreachable):
                folder.remote.remove()
        return "Nothing had begun, and nothing is left of it."
    report = None
    with suppress(KeyboardInterrupt):  # of one in haste: how the search goes on is said all the same
        report = write.try_write(folder, console)
    summary.show(folder, settings, console, report)
    return summary.to_go_on(folder) + and_then
