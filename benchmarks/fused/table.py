"""The table of `benchmarks.fused`."""

from __future__ import annotations

from statistics import median
from typing import Any


def render(runs: list[dict[str, Any]]) -> str:
    """One row per way, one column per batch size: images per second, and the ratio to the best packing of the run."""
    sizes = sorted({run["batch_size"] for run in runs})
    names = list(dict.fromkeys(name for run in runs for name in run["images_per_s"]))
    lines = ["| images/s | " + " | ".join(f"batch {size}" for size in sizes) + " |", "|---" * (1 + len(sizes)) + "|"]
    for name in names:
        cells = [cell(name, [run["images_per_s"] for run in runs if run["batch_size"] == size]) for size in sizes]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(name: str, runs: list[dict[str, float]]) -> str:
    """Medians over the runs; empty if it was not measured."""
    measured = [run for run in runs if name in run]
    if not measured:
        return ""
    speed = median(run[name] for run in measured)
    ratios = [run[name] / best for run in measured if (best := best_packing(run))]
    return f"{speed:,.0f}" + (f" ({median(ratios):.2f}x)" if ratios else "")


def best_packing(run: dict[str, float]) -> float:
    """The speed of the best number of concurrent processes with one training each; 0 if none was measured."""
    return max((speed for name, speed in run.items() if name.startswith("fit,")), default=0.0)
