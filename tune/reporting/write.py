"""Writes reports into run folders, and uploads them for runs at a URI."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tune.files import short
from tune.results import RunFolder, replace_file
from tune.wording import printer

if TYPE_CHECKING:
    from tune.reporting.chart import Chart
    from tune.reporting.load import Run

NAME = "report.html"


def labelled(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by name, with the location added where several have the same name."""
    names = [run.name for run in runs]
    return {run.name if names.count(run.name) == 1 else f"{run.name} ({run.folder.place})": run for run in runs}


def write(runs: Mapping[str, Run], path: Path) -> list[tuple[str, Chart]]:
    """Writes the report of these runs; returns its charts, with anchors. Unwritable if `path` cannot be written."""
    from tune.reporting import page

    places = " ".join(shlex.quote(run.folder.address) for run in runs.values())
    shown = page.parts(runs)
    replace_file(path, page.render(runs, shown, f"python -m tune.report {places}").encode())
    return [(anchor, chart) for part in shown for anchor, chart in part.charts().items()]


def write_and_announce(folder: RunFolder, console: Console) -> None:
    """As `try_write`, and prints where the report lies."""
    if (place := try_write(folder, console)) is not None:
        printer(console)(f"Report: {place}")


def try_write(folder: RunFolder, console: Console) -> str | None:
    """Writes a run's report; returns its location, or warns and returns None: the run itself is complete."""
    try:
        from tune.reporting.load import load

        write({folder.name: load(folder)}, folder.path / NAME)
        if folder.remote is not None:
            upload(folder, [folder.path / NAME])
    except Exception as error:
        why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        text = f"No report was written ({why}). To try again: `python -m tune.report {shlex.quote(folder.address)}`."
        printer(console)(text)
        return None
    return short(folder.path / NAME) if folder.remote is None else folder.remote.inside(NAME).uri


def upload(folder: RunFolder, files: Sequence[Path]) -> None:
    """Uploads files of the folder to the run's URI. Unreachable if that fails."""
    assert folder.remote is not None
    with ThreadPoolExecutor(1) as thread:  # see RemoteFolder.write
        for path in files:
            name = path.relative_to(folder.path).as_posix()
            thread.submit(folder.remote.write, name, path.read_bytes()).result()
