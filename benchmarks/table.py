"""The results as a Markdown table, as in docs/speed.md; a test compares that with the results."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.compare import ratios
from benchmarks.searches import PEERS
from tune.wording import counted

Runs = list[dict[str, Any]]


def render(found: dict[str, Any]) -> str:
    """A Markdown table of what `python -m benchmarks` measured."""
    lines = ["| what | plain | ours | ratio (of each pair) | goal |", "|---|---|---|---|---|"]
    lines += [_comparison(row) for row in found["comparisons"].values()]
    searches = found.get("searches", {})
    for peer, name in PEERS.items():
        if pairs := searches.get(peer):
            lines += _against(name, pairs["ours"], pairs["theirs"], pairs["workers"])
    if searches:
        lines.append(_outside([run for pairs in searches.values() for run in pairs["ours"]]))
    if (memory := found.get("memory")) and memory["trial"] and memory["import_torch"]:
        more, torch_mb = memory["trial"] - memory["import_torch"], memory["import_torch"]
        lines.append(
            f"| private memory of one more trial, beside the {torch_mb:.0f} MB of a worker with torch "
            f"| | {more:.0f} MB | | at most 250 MB |"
        )
    machine = found["machine"]
    has = f" with {' and '.join(machine['bf16'])}" if machine["bf16"] else " without bf16"
    return "\n".join([*lines, "", f"{machine['cpu']}, {machine['cores']} cores{has}, torch {machine['torch']}."])


def _comparison(row: dict[str, Any]) -> str:
    engine, plain, unit, goal = row["engine"], row["plain"], row["unit"], row["goal"]
    what = row["what"]
    if unit == "%":
        what += f", {counted(len(engine), 'seed')}"
        middle, shown, wanted = statistics.mean, _points(engine, plain), f"at least -{goal:g} points"
    else:
        middle, shown, wanted = statistics.median, _times(ratios(engine, plain, unit)), _at_least(goal)
    return f"| {what} | {_figure(middle(plain), unit)} | {_figure(middle(engine), unit)} | {shown} | {wanted} |"


def _against(name: str, ours: Runs, theirs: Runs, workers: int) -> list[str]:
    """Rows for a whole search: its time, the epochs it trained, and what it found."""
    sides = (theirs, ours)
    wall = [statistics.median(run["wall_s"] for run in side) for side in sides]
    epochs = [statistics.median(run["epochs"] for run in side) for side in sides]
    best = [[run["best_val_acc"] for run in side] for side in sides]
    times = ratios([run["wall_s"] for run in ours], [run["wall_s"] for run in theirs], "s")
    goals = (_at_least(3), "at least -0.5 points") if name == "Ray Tune" else ("", "")
    return [
        f"| a search against plain {name}: 16 trials, 4 epochs, 10,000 images, {workers} workers "
        f"| {wall[0]:.0f} s | {wall[1]:.0f} s | {_times(times)} | {goals[0]} |",
        f"| the epochs it trained, of 64 | {epochs[0]:.0f} | {epochs[1]:.0f} | | |",
        f"| its best validation accuracy, {counted(len(ours), 'seed')} "
        f"| {statistics.mean(best[0]):.2f} % | {statistics.mean(best[1]):.2f} % "
        f"| {_points(best[1], best[0]) if len(ours) > 1 else ''} | {goals[1]} |",
    ]


def _outside(ours: Runs) -> str:
    """A row for the time that workers did not train; the goal excludes start and tail."""
    parts = [run["parts"] for run in ours]
    share = {name: 100 * statistics.median(part[name] for part in parts) for name in parts[0]}
    return (
        "| the workers' time outside training, beside the start of Ray and of the first trials "
        f"({share['start']:.0f} %) and the last trial's tail ({share['tail']:.0f} %) "
        f"| | {share['between'] + share['end']:.1f} % | | under 5 % |"
    )


def _times(found: list[float]) -> str:
    return f"{statistics.median(found):.1f}x ({min(found):.1f} to {max(found):.1f})"


def _points(engine: list[float], plain: list[float]) -> str:
    """The mean difference and its standard error."""
    apart = [a - b for a, b in zip(engine, plain, strict=True)]
    error = f" ± {statistics.stdev(apart) / len(apart) ** 0.5:.2f}" if len(apart) > 1 else ""
    return f"{statistics.mean(apart):+.2f}{error} points"


def _at_least(goal: float | None) -> str:
    return "" if goal is None else f"at least {goal:g}x"


def _figure(value: float, unit: str) -> str:
    digits = 2 if unit == "%" else 0 if value >= 100 else 1
    return f"{value:,.{digits}f} {unit}"
