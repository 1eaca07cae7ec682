"""How well the metrics for selection rank configurations, compared with their true accuracy under corruption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

SELECTORS = ("val_acc", "val_robust_acc")
FIGURES = (*SELECTORS, "truth")

RESAMPLES = 10_000

Values = NDArray[np.float64]


def compare(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rank correlations with the ground truth, over all configurations and over their better half."""
    ordered = sorted(rows, key=lambda row: -row["truth"])
    return {"all": _compared(ordered), "better_half": _compared(ordered[: (len(ordered) + 1) // 2])}


def _compared(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = {name: np.array([row[name] for row in rows]) for name in FIGURES}
    truth = values["truth"]
    # A bootstrap over configurations, with the same resamples for both metrics, so that differences are paired.
    again = np.random.default_rng(0).integers(0, len(rows), (RESAMPLES, len(rows)))
    resampled = {name: spearman(values[name][again], truth[again]) for name in SELECTORS}
    found: dict[str, Any] = {"configurations": len(rows)}
    for name in SELECTORS:
        found[name] = {
            "spearman": float(spearman(values[name][None], truth[None])[0]),
            "spearman_interval95": _interval(resampled[name]),
            "kendall": float(stats.kendalltau(values[name], truth).statistic),
            "picked_truth": float(truth[values[name].argmax()]),
        }
    difference = resampled["val_robust_acc"] - resampled["val_acc"]
    return found | {
        "best_truth": float(truth.max()),
        "difference": found["val_robust_acc"]["spearman"] - found["val_acc"]["spearman"],
        "difference_interval95": _interval(difference),
        "difference_above_0": float(np.nanmean(difference > 0)),
    }


def spearman(a: Values, b: Values) -> Values:
    """Spearman correlation by row, (R, n) and (R, n) -> (R,); ties get their mean rank."""
    a, b = (stats.rankdata(values, axis=1) for values in (a, b))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    with np.errstate(invalid="ignore"):  # undefined for a resample of a single configuration
        result: Values = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return result


def _interval(values: Values) -> list[float]:
    return [float(end) for end in np.nanquantile(values, (0.025, 0.975))]


def render(found: dict[str, Any]) -> str:
    """The tables of docs/robust.md."""
    lines = [
        "| | val_acc | val_robust_acc | difference |",
        "|---|---|---|---|",
    ]
    for title, part in (("all", found["all"]), ("the better half", found["better_half"])):
        clean, robust = part["val_acc"], part["val_robust_acc"]
        low, high = part["difference_interval95"]
        lines += [
            f"| Spearman, {title} ({part['configurations']}) | {_estimate(clean)} | {_estimate(robust)} "
            f"| {part['difference']:+.3f} ({low:+.3f} to {high:+.3f}) |",
            f"| Kendall, {title} | {clean['kendall']:.3f} | {robust['kendall']:.3f} "
            f"| {robust['kendall'] - clean['kendall']:+.3f} |",
        ]
    clean, robust, best = found["all"]["val_acc"], found["all"]["val_robust_acc"], found["all"]["best_truth"]
    lines.append(
        f"| true accuracy of the one it picks (the best has {best:.2f} %) | {clean['picked_truth']:.2f} % "
        f"| {robust['picked_truth']:.2f} % | {robust['picked_truth'] - clean['picked_truth']:+.2f} |"
    )
    return "\n".join(lines) + "\n"


def _estimate(part: dict[str, Any]) -> str:
    low, high = part["spearman_interval95"]
    return f"{part['spearman']:.3f} ({low:.3f} to {high:.3f})"
