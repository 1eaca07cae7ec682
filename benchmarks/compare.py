"""Runs the two sides of a comparison in turn, and says how they compare."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tune.search.devices import this_machine

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Options:
    """How the measurements are made."""

    data_dir: Path
    quick: bool
    pairs: int


def alternate(name: str, options: Options) -> tuple[list[float], list[float]]:
    """Engine, plain, engine, plain, ...: the figures of each, in pairs that saw the same state of the machine."""
    figures: tuple[list[float], list[float]] = ([], [])
    for pair in range(options.pairs):
        for side, kept in zip(("engine", "plain"), figures, strict=True):
            more = ["--seed", str(pair)] if name == "accuracy" else []
            kept.append(side_of(name, side, options, more))
    return figures


def side_of(name: str, side: str, options: Options, more: list[str]) -> float:
    """One figure, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sides", name, side, "--data-dir", str(options.data_dir), *more]
    command += ["--quick"] if options.quick else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return float(done.stdout.splitlines()[-1])


def ratio(engine: list[float], plain: list[float], unit: str) -> float:
    """How many times faster the engine is, in the median pair; for accuracies, how many points better on average."""
    if unit == "%":
        return statistics.mean(engine) - statistics.mean(plain)
    pairs = zip(engine, plain, strict=True)
    return statistics.median(b / a if unit == "s" else a / b for a, b in pairs)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "cpu": this_machine().names[0],
        "cores": os.cpu_count(),
        "bf16": [name for name in ("avx512_bf16", "amx_bf16") if able.get(name)],
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip(),
    }
