"""Measures the engine against the code people usually write: python -m benchmarks --data-dir DIR

The two sides of a comparison alternate, so that both see the machine in the same state, and the median of the pairs'
ratios is reported. All of it takes about an hour and a half on two cores. `--only` selects measurements; `--quick` only
shows that they run. Results go to a JSON file, and as a table to the screen. Linux only, as it pins cores and reads
memory from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from benchmarks import memory, searches, table
from benchmarks.compare import ROOT, Options, alternate, machine, write
from benchmarks.provenance import commit
from benchmarks.sides import COMPARISONS
from tune.results import now
from tune.training import sources

EVERYTHING = (*COMPARISONS, "memory", *searches.PEERS)


def main(arguments: list[str] | None = None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    assert __doc__
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("CIFAR100_ROOT", "data")), metavar="DIR",
                        help="holds cifar-100-python/ (default: CIFAR100_ROOT, or data)")  # fmt: skip
    parser.add_argument("--only", default=",".join(EVERYTHING), metavar="NAME[,NAME]", help=", ".join(EVERYTHING))
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each side (default: 5)")
    parser.add_argument("--quick", action="store_true", help="one run at tiny sizes, only to show that it works")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "benchmark.json", metavar="FILE",
                        help="the results; others of this machine stay (default: build/benchmark.json)")  # fmt: skip
    options = parser.parse_args(given)
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(EVERYTHING):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(EVERYTHING)}")
    how = Options(options.data_dir.absolute(), options.quick, 1 if options.quick else options.runs)
    try:
        sources.prepare("cifar100", how.data_dir, "train")  # before anything is timed
    except ValueError as error:
        parser.error(str(error))
    found = begun(options.out)
    # The folder's name is of no interest to others.
    command = ["python", "-m", "benchmarks", *("DIR" if part == str(options.data_dir) else part for part in given)]
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        about: dict[str, Any] = {
            "measured": now(),
            "commit": commit(),
            "command": shlex.join(command),
        }
        if name == "memory":
            found["memory"] = about | memory.trial_mb(how)
        elif name in searches.PEERS:
            found.setdefault("searches", {})[name] = about
            for _ in searches.measure(name, about, how):
                write(options.out, found)
        else:
            row = COMPARISONS[name]
            engine, plain = alternate(name, how)
            found["comparisons"][name] = about | {
                "what": row.what, "unit": row.unit, "goal": row.goal, "engine": engine, "plain": plain,
            }  # fmt: skip
        write(options.out, found)
    if options.quick:
        print("Tiny sizes: these results are meaningless.\n")
    print(table.render(found))


def begun(path: Path) -> dict[str, Any]:
    """The results in the file if they are from this machine; otherwise empty ones."""
    here = machine()
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found if found.get("machine") == here else {"machine": here, "comparisons": {}}


if __name__ == "__main__":
    main()
