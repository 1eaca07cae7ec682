"""Runs the two sides of a comparison in turn, and compares them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tune.files import atomic_path
from tune.search.devices import this_machine
from tune.training import host

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Options:
    """Options that all measurements share."""

    data_dir: Path
    quick: bool
    runs: int
    """Runs of each side."""


def alternate(name: str, options: Options) -> tuple[list[float], list[float]]:
    """Results of engine and plain, run in the order engine, plain, plain, engine, ..., so that pairs are comparable."""
    engine: list[float] = []
    plain: list[float] = []
    for pair in range(options.runs):
        more = ["--seed", str(pair)] if name == "accuracy" else []
        sides = [("engine", engine), ("plain", plain)]
        for side, kept in sides if pair % 2 == 0 else reversed(sides):
            kept.append(side_of(name, side, options, more))
    return engine, plain


def side_of(name: str, side: str, options: Options, more: list[str]) -> float:
    """One result, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sides", name, side, "--data-dir", str(options.data_dir), *more]
    command += ["--quick"] if options.quick else []
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return float(done.stdout.splitlines()[-1])


def ratios(engine: list[float], plain: list[float], unit: str) -> list[float]:
    """The engine's speed-up in each pair."""
    return [b / a if unit == "s" else a / b for a, b in zip(engine, plain, strict=True)]


def machine() -> dict[str, Any]:
    """The machine that the results were measured on."""
    return {
        "cpu": this_machine().names[0],
        "cores": this_machine().cpus,
        "bf16": host.bf16_instructions(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes results as JSON, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")
