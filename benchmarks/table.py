"""The figures as a table for people; README holds it, and a test holds README against the figures."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.compare import ratio


def render(found: dict[str, Any]) -> str:
    """Markdown, from what `python -m benchmarks` measured."""
    lines = ["| what | plain | ours | ratio | goal |", "|---|---|---|---|---|"]
    for row in found["comparisons"].values():
        engine, plain = row["engine"], row["plain"]
        middle = statistics.mean if row["unit"] == "%" else statistics.median
        gain = ratio(engine, plain, row["unit"])
        shown = f"{gain:+.2f} points" if row["unit"] == "%" else f"{gain:.1f}x"
        lines.append(
            f"| {row['what']} | {_figure(middle(plain), row['unit'])} | {_figure(middle(engine), row['unit'])} "
            f"| {shown} | {_goal(row)} |"
        )
    lines += _search_rows(found.get("search", {}))
    if memory := found.get("memory"):
        more = memory["trial"] - memory["import_torch"]
        lines.append(
            f"| private memory of one more trial, over a bare `import torch` ({memory['import_torch']:.0f} MB) "
            f"| | {more:.0f} MB | | at most 250 MB |"
        )
    return "\n".join(lines)


def _search_rows(search: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The whole search: time and accuracy against each peer, and what of ours was not training."""
    lines = []
    for peer, goal in (("plain_ray_tune", "at least 3x"), ("plain_optuna", "")):
        if peer not in search:
            continue
        ours, theirs = search["ours"], search[peer]
        gain = statistics.median(b["wall_s"] / a["wall_s"] for a, b in zip(ours, theirs, strict=True))
        best = [statistics.mean(run["best_val_acc"] for run in side) for side in (theirs, ours)]
        times = [statistics.median(run["wall_s"] for run in side) for side in (theirs, ours)]
        name = {"plain_ray_tune": "Ray Tune", "plain_optuna": "Optuna"}[peer]
        lines.append(
            f"| a search: 16 trials, 4 epochs, 10,000 images, 2 workers, against plain {name} "
            f"| {times[0]:.0f} s | {times[1]:.0f} s | {gain:.1f}x | {goal} |"
        )
        lines.append(
            f"| its best validation accuracy | {best[0]:.2f} % | {best[1]:.2f} % | {best[1] - best[0]:+.2f} points "
            f"| {'at least -0.5 points' if goal else ''} |"
        )
    if "ours" in search:
        shares = [run["parts"] for run in search["ours"]]
        middle = {name: 100 * statistics.median(share[name] for share in shares) for name in shares[0]}
        lines.append(
            f"| of the workers' time in it: training {middle['training']:.0f} %, start {middle['start']:.0f} %, "
            f"tail {middle['tail']:.0f} %, end {middle['end']:.0f} %, between epochs "
            f"| | {middle['between']:.1f} % | | under 5 % |"
        )
    return lines


def _figure(value: float, unit: str) -> str:
    digits = 2 if unit == "%" else 0 if value >= 100 else 1
    return f"{value:,.{digits}f} {unit}"


def _goal(row: dict[str, Any]) -> str:
    if row["goal"] is None:
        return ""
    return f"within {row['goal']:g} points" if row["unit"] == "%" else f"at least {row['goal']:g}x"
