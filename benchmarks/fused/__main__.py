"""Many small trials in one process: SimpleCNNs trained as one network, against concurrent processes with one each.

    python -m benchmarks.fused --data-dir DIR --out results/fused.json
    python -m benchmarks.fused --device cuda --data-dir DIR --out fused.json

It needs torch, pyarrow, and cifar-100-python/ in DIR; `--synthetic` uses noise instead, which is as fast. Results are
training images per second, with augmentation but without validation, summed over all concurrent trainings:

    fit        concurrent processes, each with the engine's own `fit`: on a CPU one per core, on a GPU 1, 2, 4 and 8
    turns      members in one process that take the engine's own steps in turn; on a GPU each in its own CUDA stream
    vmap       members as one network, by torch.func's vmap
    groups     members as one network, with grouped convolutions and batched matrix products for linear layers
    matmul     the same, with batched matrix products for convolutions too

With "graph", the step is a CUDA graph. Members differ in seed (hence weights, order and augmentation), learning rate,
momentum, weight decay and label smoothing. Before anything is timed, `check` compares the losses of a group's members,
some of which are stopped half-way, with those of `fit`. The exit status is 1 if they differ or a measurement failed.

Each call adds a run to --out; the table at the end shows the medians of all runs there. `--only TEXT` selects the ways
with TEXT in their names (and `fit`). `--tiny` only tries out the script; its results are meaningless.
"""

from __future__ import annotations

import argparse
import json
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
from benchmarks.gpu.session import cores
from benchmarks.provenance import commit
from tune import cpu
from tune.files import atomic_path
from tune.training import host


def check(device: str) -> bool:
    """Whether the members of all groups learn what they learn alone."""
    good = True
    for method in METHODS:
        for graph in (False, True) if device == "cuda" else (False,):
            difference = apart(torch.device(device), method, graph)
            good &= difference <= LIMIT
            verdict = "ok" if difference <= LIMIT else "FAIL"
            print(f"{method}{', graph' if graph else ''}: losses differ by {difference:.1e} nats at most: {verdict}")
    return good


def run(chosen: Sequence[Way], job: Job) -> tuple[dict[str, float], bool]:
    """Measures each way once -> images per second by name, and whether all went well."""
    found, good = {}, True
    for way in chosen:
        try:
            found[way.name] = round(measure(way, job), 1)
            print(f"batch {job.batch_size:>3}  {way.name:<32} {found[way.name]:>10,.0f} images/s", flush=True)
        except Exception:  # the other ways are still measured
            traceback.print_exc()
            good = False
    return found, good


def add(path: Path | None, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Adds a run to the earlier ones in the file, and returns them all."""
    runs = json.loads(path.read_text())["runs"] if path is not None and path.exists() else []
    runs.append(entry)
    if path is not None:
        with atomic_path(path) as unfinished:
            unfinished.write_text(json.dumps({"runs": runs}, indent=1) + "\n")
    return runs


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
    parser.add_argument("--synthetic", action="store_true", help="use noise instead of CIFAR-100")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch-sizes", type=_numbers, default=[8, 32, 128], metavar="N[,N]")
    parser.add_argument("--members", type=_numbers, metavar="M[,M]", help="default: 2,4,8,16, and on a GPU 32")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="measure the ways with TEXT in their names, and `fit`"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each way is timed")
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
