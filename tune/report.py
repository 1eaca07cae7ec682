"""Report: python -m tune.report RUN [RUN ...]"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C during the imports below ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tune import cli, storage
from tune.files import check_out, short
from tune.reporting import load, write
from tune.results import RunFolder


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = cli.parser("report", "Write a report of one run, or a comparison of several, as an HTML file.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="name, path or URI of a run")
    parser.add_argument("--optuna", action="store_true", help="also write study.db, for optuna-dashboard")
    parser.add_argument("--png", action="store_true", help="also write the charts as PNG, into charts/")
    about = f"the file (default: {write.NAME} in the run's folder, or here for several runs)"
    parser.add_argument("--out", type=Path, metavar="FILE", help=about)
    cli.add_storage(parser)
    return parser.parse_args(arguments)


def prepare(arguments: list[str]) -> Callable[[], None]:
    """Loads the runs; returns what writes the report."""
    options = parse(arguments)
    where = storage.resolve(options.storage)
    folders = list({folder.address: folder for folder in (where.find(run) for run in options.runs)}.values())
    for folder in folders:
        storage.fetch_final(folder, small=True)
    runs = write.labelled([load.load(folder) for folder in folders])
    out = options.out or (folders[0].path / write.NAME if len(folders) == 1 else Path(write.NAME))
    check_out(out, "--out")
    if options.png:
        from tune.reporting import png

        png.check()
    at_home = folders[0] if options.out is None and len(folders) == 1 else None
    return lambda: work(runs, out, at_home, options)


def work(runs: dict[str, load.Run], out: Path, at_home: RunFolder | None, options: argparse.Namespace) -> None:
    """Writes the report and the extras, and prints where. `at_home`: the run, if its own folder is the destination."""
    out.parent.mkdir(parents=True, exist_ok=True)
    charts = write.write(runs, out)
    files = [out]
    if options.optuna:
        from tune.reporting import study

        files.append(out.with_name("study.db"))
        study.write(runs, files[-1])
    if options.png:
        from tune.reporting import png

        files += png.write(charts, out.with_name("charts"))
    if at_home is not None and at_home.remote is not None:
        write.upload(at_home, files)
        print(f"Written: {at_home.remote.uri} ({', '.join(path.name for path in files)})")
        return
    for path in files:
        print(f"Written: {short(path.absolute())}")
    if options.optuna:
        print(f"Look at it: optuna-dashboard sqlite:///{short(out.with_name('study.db').absolute())}")


if __name__ == "__main__":
    sys.exit(cli.run(prepare))
