"""Kills real searches at random moments, and records what was lost: python -m benchmarks.survival

Results go to results/survival.json and the table in docs/reliability.md. Takes half an hour on two cores.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, get_args

from benchmarks import marks
from benchmarks.compare import ROOT, machine, write
from benchmarks.provenance import commit
from benchmarks.survival import endings, table
from benchmarks.survival.endings import Ending
from benchmarks.survival.search_process import Search, Victim
from benchmarks.survival.torture import left_alone, torture
from tune.results import now


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.survival", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="kills of each kind (default: 20)")
    parser.add_argument("--signals", type=int, default=5, help="signals of each kind (default: 5)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "survival.json")
    parser.add_argument("--text", type=Path, default=ROOT / "docs" / "reliability.md")
    options = parser.parse_args(given)
    marks.check(options.text, table.COMMAND)
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # background jobs of a script, and their children, ignore it
    found: dict[str, Any] = {
        "measured": now(), "commit": commit(), "machine": machine(),
        "command": shlex.join(["python", "-m", "benchmarks.survival", *given]),
        "victims": {}, "endings": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as here:
        storage, data_dir = Path(here) / "runs", Path(here) / "data"
        whole = left_alone(Search.of(storage, data_dir, "whole"))
        for victim in get_args(Victim):
            found["victims"][victim] = torture(victim, options.kills, whole, storage, data_dir)
            print(found["victims"][victim], flush=True)
            write(options.out, found)
        for ending in get_args(Ending):
            found["endings"][ending] = endings.interrupt(ending, options.signals, storage, data_dir)
            write(options.out, found)
        found["finalize"] = endings.finalize(options.kills, whole)
        write(options.out, found)
        found["disk"] = endings.on_disk(storage, data_dir)
        write(options.out, found)
    marks.put(options.text, table.COMMAND, table.render(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
