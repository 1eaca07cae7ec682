"""Records real learning curves: python -m benchmarks.replay.record --data-dir DIR

Trains configurations of a search space to the end, drawn at random as by `tune.run --search random`, and keeps the
measurements of each epoch. Then come `--guided` ones, the most promising by the curves so far: few random ones are
good, and a surrogate must be most accurate where configurations are good. It can be interrupted at any time; the same
command continues, and larger numbers add to what exists. One process per worker, with one thread each.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.compare import ROOT
from benchmarks.replay import curves, surrogate
from benchmarks.replay.curves import MEASURED, Recorded
from tune import space
from tune.search.proposals import Known, Proposer
from tune.space import SearchSpace
from tune.training import data, sources
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import fit

SEED = 42
"""Seeds the draws, the split and the trainings."""

VAL_FRACTION = 0.2

GUIDED = 1000
"""Number of the first configuration that is not a random draw."""

CANDIDATES = 1000
"""Random draws from which each guided one is picked."""


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    searched, _ = space.load(options.space)
    path: Path = options.out
    found = {curve.number: curve for curve in curves.read(path)} if path.is_file() else {}
    drawn = draws(searched, options.configurations, options.epochs)
    if strange := [number for number, curve in found.items() if number < len(drawn) and curve.config != drawn[number]]:
        sys.exit(f"{path} holds curves of other draws (number {strange[0]}); give another --out.")
    todo = [number for number in range(len(drawn)) if number not in found]
    todo += [number for number in range(GUIDED, GUIDED + options.guided) if number not in found]
    print(f"{len(found)} curves are in {path}, {len(todo)} to go", flush=True)
    arrow = sources.prepare("cifar100", options.data_dir, "train")
    executor = ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn"), _begin)
    running: dict[Future[Recorded], TrainConfig] = {}
    began, done = time.monotonic(), 0
    try:
        while todo or running:
            while todo and len(running) < options.workers:
                number = todo.pop(0)
                config = drawn[number] if number < GUIDED else guess(searched, number, found, running.values())
                running[executor.submit(record, number, config, arrow, options.train_subset)] = config
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                del running[future]
                curve = future.result()
                found[curve.number] = curve
                curves.write(path, found.values())
                done += 1
                minutes = (time.monotonic() - began) / done * (len(todo) + len(running)) / 60
                print(
                    f"{len(found)}: number {curve.number}, {curve.val_acc[-1]} %, {minutes:.0f} min to go", flush=True
                )
    except KeyboardInterrupt:
        print("Interrupted; the same command continues.", file=sys.stderr)
        return 130
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    return 0


def guess(
    searched: SearchSpace, number: int, found: Mapping[int, Recorded], running: Iterable[TrainConfig]
) -> TrainConfig:
    """The most promising of many random draws, judging by the curves recorded so far."""
    epochs = next(iter(found.values())).config.epochs
    pool = draws(searched, CANDIDATES, epochs, seed=number)
    seen = {curve.config for curve in found.values()} | set(running)
    pool = [config for config in (replace(config, seed=SEED) for config in pool) if config not in seen]
    return pool[surrogate.promising(list(found.values()), list(running), pool)]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser("python -m benchmarks.replay.record", description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("CIFAR100_ROOT", "data")), metavar="DIR",
                        help="holds cifar-100-python/ (default: CIFAR100_ROOT, or data)")  # fmt: skip
    parser.add_argument("--space", type=Path, default=ROOT / "benchmarks" / "space.py", metavar="FILE")
    parser.add_argument("--configurations", type=int, default=240, metavar="N", help="total (default: 240)")
    parser.add_argument(
        "--guided", type=int, default=0, metavar="N", help="additional ones, picked by a surrogate (default: 0)"
    )
    parser.add_argument("--epochs", type=int, default=27, metavar="E", help="for each (default: 27)")
    parser.add_argument("--train-subset", type=int, default=5_000, metavar="N", help="training images (default: 5000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N", help="processes (default: cores)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "curves.parquet", metavar="FILE",
                        help="the curves; existing ones are kept (default: results/curves.parquet)")  # fmt: skip
    return parser.parse_args(arguments)


def draws(searched: SearchSpace, count: int, epochs: int, seed: int = SEED) -> list[TrainConfig]:
    """The reference, the baselines, then distinct random draws. A larger `count` only appends to them."""
    proposer = Proposer(searched, epochs=epochs, seed=seed, method="random")
    known: list[Known] = []
    for number in range(count):
        proposal = proposer.propose(number, known)
        if proposal is None:
            break
        known.append(Known(proposal[1]))
    return [item.config for item in known]


def record(number: int, config: TrainConfig, arrow: Path, train_subset: int) -> Recorded:
    """Trains one configuration to the end, on one thread of this process."""
    rows = []
    began = time.process_time()
    diverged = False
    for result in fit(config, _load(arrow, train_subset), torch.device("cpu")):
        ended = time.process_time()
        whole = not result.diverged
        rows.append(
            (
                result.val_acc,
                result.val_loss,
                result.train_loss if whole else None,
                result.train_acc if whole else None,
                result.lr,
                ended - began,
            )
        )
        diverged, began = result.diverged, ended
    measured = dict(zip(MEASURED, zip(*rows, strict=True), strict=True))
    return Recorded(number=number, config=config, diverged=diverged, **measured)


@functools.cache
def _load(arrow: Path, train_subset: int) -> TrainingData:
    return data.load_training(arrow, VAL_FRACTION, SEED, train_subset)


def _begin() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # before torch starts threads; see host.at_full_speed


if __name__ == "__main__":
    sys.exit(main())
