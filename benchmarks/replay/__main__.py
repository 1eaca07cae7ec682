"""Replays this project's searches and its peers' on the recorded curves: python -m benchmarks.replay

Writes results/replay.json and docs/evidence.md. It needs no training, no Ray cluster and no data. Fifty seeds take
about twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import marks
from benchmarks.compare import ROOT, write
from benchmarks.provenance import commit
from benchmarks.replay import evidence, measure, tables
from tune.results import now


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    assert __doc__
    parser = argparse.ArgumentParser("python -m benchmarks.replay", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=50, metavar="N", help="of each search (default: 50)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), metavar="N", help="(default: cores)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "replay.json", metavar="FILE")
    parser.add_argument("--text", type=Path, default=ROOT / "docs" / "evidence.md", metavar="FILE")
    options = parser.parse_args(given)
    marks.check(options.text, tables.COMMAND)
    found: dict[str, Any] = {
        "measured": now(), "commit": commit(), "command": shlex.join(["python", "-m", "benchmarks.replay", *given]),
        "horizon": measure.HORIZON, "workers": evidence.WORKERS, "draws": measure.DRAWS, "seeds": options.seeds,
        "kept": measure.kept(), "searched": [], "searches": [],
    }  # fmt: skip
    seeds = range(options.seeds)
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as executor:
        found["crashed_alike"] = sum(executor.map(measure.crashed, seeds))
        for head_start in (True, False):
            results = list(executor.map(functools.partial(measure.searched, head_start=head_start), seeds))
            ways = {name: measure.means([seed[name] for seed in results]) for name in results[0]}
            found["searched"].append({"head_start": head_start, "ways": ways})
        for head_start in (False, True):
            for trials in measure.TRIALS:
                one = functools.partial(measure.courses, head_start=head_start, trials=trials)
                about = {"head_start": head_start, "trials": trials}
                found["searches"].append(
                    about | measure.summary(list(executor.map(one, seeds)), trials * measure.HORIZON)
                )
                write(options.out, found)
                print(tables.searches(found["searches"][-1]), flush=True)
    marks.put(options.text, tables.COMMAND, tables.render(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
