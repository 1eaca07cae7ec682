"""Many small trials in one process: SimpleCNNs trained as one, against processes side by side that train one each.

    python -m benchmarks.fused --data-dir DIR --out results/fused.json
    python -m benchmarks.fused --device cuda --data-dir DIR --out fused.json

It needs torch and pyarrow, and DIR with cifar-100-python/; `--synthetic` takes noise instead, as fast. Figures are
training images a second, augmentation included, validation not, summed over all that train at once:

    fit        processes side by side, each the engine's own `fit`: on a CPU one a core, on a GPU 1, 2, 4 and 8
    turns      members in one process, each the engine's own, a step each in turn; on a GPU each on its own CUDA stream
    vmap       members as one network: torch.func's vmap of the network
    groups     grouped convolutions, and linear layers as batched products of matrices
    matmul     convolutions as batched products of matrices, too

"graph" is the same with the step in a CUDA graph. The members differ in seed (so in weights, order and augmentation),
rate, momentum, decay and smoothing. Before anything is timed, `check` compares the losses of four groups' members with
those of `fit`, while members are stopped; the exit status is 1 if they differ, or if a measurement failed.

A call adds a run to --out; the table at the end is the median of all runs there. `--only TEXT` takes the ways with TEXT
in their names (and `fit`), `--tiny` tries the script; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.fused.check import LIMIT, apart
from benchmarks.fused.networks import METHODS
from benchmarks.fused.table import render
from benchmarks.fused.ways import Job, Way, measure, ways
from benchmarks.provenance import commit
from tune import cpu
from tune.files import whole
from tune.training import host


def check(device: str) -> bool:
    """Whether all groups learn what their members learn alone."""
    good = True
    for method in METHODS:
        for graph in (False, True) if device == "cuda" else (False,):
            difference = apart(torch.device(device), method, graph)
            good &= difference <= LIMIT
            verdict = "ok" if difference <= LIMIT else "FAIL"
            print(f"{method}{', graph' if graph else ''}: losses differ by {difference:.1e} nats at most: {verdict}")
    return good


def run(chosen: Sequence[Way], job: Job) -> tuple[dict[str, float], bool]:
    """Each way once -> images a second by name, and whether all went well."""
    found, good = {}, True
    for way in chosen:
        try:
            found[way.name] = round(measure(way, job), 1)
            print(f"batch {job.batch_size:>3}  {way.name:<32} {found[way.name]:>10,.0f} images/s", flush=True)
        except Exception:  # it costs no other figure
            traceback.print_exc()
            good = False
    return found, good


def add(path: Path | None, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Keeps a run beside the earlier ones -> all of them."""
    runs = json.loads(path.read_text())["runs"] if path is not None and path.exists() else []
    runs.append(entry)
    if path is not None:
        with whole(path) as unfinished:
            unfinished.write_text(json.dumps({"runs": runs}, indent=1) + "\n")
    return runs


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def circumstances(device: str, given: Sequence[str]) -> dict[str, Any]:
    return {
        "command": shlex.join(["python", "-m", "benchmarks.fused", *given]),
        "device": torch.cuda.get_device_name() if device == "cuda" else cpu.name(),
        "cores": cores(),
        "bf16": host.bf16_instructions(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fused", description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--synthetic", action="store_true", help="noise in the place of CIFAR-100")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch-sizes", type=_numbers, default=[8, 32, 128], metavar="N[,N]")
    parser.add_argument("--members", type=_numbers, metavar="M[,M]", help="default 2,4,8,16, on a GPU 32 too")
    parser.add_argument("--only", default="", metavar="TEXT", help="of the names of the ways; `fit` always")
    parser.add_argument("--seconds", type=float, default=1.0, help="that each way is timed")
    parser.add_argument("--tiny", action="store_true", help="two members, a few images")
    parser.add_argument("--out", type=Path, help="the JSON")
    options = parser.parse_args(given)
    members = options.members or ([2] if options.tiny else [2, 4, 8, 16, *([32] if options.device == "cuda" else [])])
    images = 64 if options.tiny else 2_048 if options.device == "cpu" else 32_768
    chosen = [way for way in ways(options.device, members, cores()) if way.method == "fit" or options.only in way.name]
    good, runs = check(options.device), []
    for batch_size in [8] if options.tiny else options.batch_sizes:
        about = circumstances(options.device, given)
        data_dir = None if options.synthetic else options.data_dir
        job = Job(batch_size, options.device, data_dir, images, 0 if options.tiny else options.seconds)
        found, well = run(chosen, job)
        runs = add(options.out, about | {"batch_size": batch_size, "images_per_s": found})
        good &= well
    print(render(runs))
    return int(not good)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
