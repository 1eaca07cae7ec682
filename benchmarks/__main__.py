"""Measures the engine against what people write: python -m benchmarks --data-dir DIR

Each comparison runs both sides in turn, engine and plain, so that both see the same state of the machine, and reports
the median ratio of the pairs. Everything takes about an hour on two cores; `--only` picks, `--quick` only proves that
it runs. The figures go to a JSON file, and a table of them to the screen.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import memory, searches, table
from benchmarks.compare import ROOT, Options, alternate, machine
from benchmarks.sides import COMPARISONS
from tune.files import whole
from tune.results import now

PEERS = ("plain_ray_tune", "plain_optuna")
EVERYTHING = (*COMPARISONS, "memory", "search")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("CIFAR100_ROOT", "data")), metavar="DIR",
                        help="holds cifar-100-python/ (default: CIFAR100_ROOT, or data)")  # fmt: skip
    parser.add_argument("--only", default=",".join(EVERYTHING), metavar="NAME[,NAME]", help=", ".join(EVERYTHING))
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="runs of each side (default: 5)")
    parser.add_argument("--searches", type=int, default=5, metavar="N", help="searches of each side (default: 5)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: proves that it runs, no more")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmark.json", metavar="FILE",
                        help="the figures; others in it stay (default: results/benchmark.json)")  # fmt: skip
    options = parser.parse_args(arguments)
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(EVERYTHING):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(EVERYTHING)}")
    how = Options(options.data_dir.absolute(), options.quick, options.pairs)
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {"comparisons": {}}
    command = shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if arguments is None else arguments)])
    about: dict[str, Any] = {"machine": machine(), "measured": now(), "command": command}
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if name == "memory":
            found["memory"] = memory.trial_mb(how) | about
        elif name == "search":
            search(found, how, options.searches, options.out)
            found["search_about"] = about
        else:
            engine, plain = alternate(name, how)
            row = COMPARISONS[name]
            found["comparisons"][name] = {
                "what": row.what, "unit": row.unit, "goal": row.goal, "engine": engine, "plain": plain, **about,
            }  # fmt: skip
        write(options.out, found)
    print(table.render(found))
    print(f"\n{about['machine']['cpu']}, {about['machine']['cores']} cores, torch {about['machine']['torch']}")


def search(found: dict[str, Any], how: Options, count: int, out: Path) -> None:
    """`count` searches of each side in turn, seed by seed."""
    found["search"] = {"ours": [], **{peer: [] for peer in PEERS}}
    for seed in range(count):
        with tempfile.TemporaryDirectory() as storage:
            found["search"]["ours"].append(searches.ours(how, seed, Path(storage)))
            for peer in PEERS:
                found["search"][peer].append(searches.peer(peer, how, seed, Path(storage) / peer))
        write(out, found)


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
