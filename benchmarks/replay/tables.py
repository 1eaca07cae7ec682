"""The tables of docs/evidence.md, from results/replay.json."""

from __future__ import annotations

from typing import Any

COMMAND = "python -m benchmarks.replay"
"""The command that marks the place of the tables in the document."""


def render(found: dict[str, Any]) -> str:
    """All generated Markdown, which docs/evidence.md holds between two marks."""
    parts = [
        f"Written by `{found['command']}` at commit {found['commit']}: {found['workers']} workers, a horizon of\n"
        f"{found['horizon']} epochs, {found['seeds']} seeds. In brackets: 95 % intervals of the median, by bootstrap.",
        *(searches(item) for item in found["searches"]),
        "## Does a search of 32 trials choose the best of its own?",
        searched(found["searched"]),
        f"## Is the best of 32 given configurations kept? {found['draws']} random sets",
        kept(found["kept"]),
        "## Crash and resume",
        f"A search of 32 trials whose driver dies half-way, and from then on after every 50 epochs, made the same\n"
        f"decisions as an undisturbed one, epoch by epoch, for {found['crashed_alike']} of {found['seeds']} seeds.",
    ]
    return "\n\n".join(parts)


def searched(items: list[dict[str, Any]]) -> str:
    lines = [
        "| first two trials | search | epochs trained | mean regret, points | within 0.5 points |",
        "|---|---|---|---|---|",
    ]
    for item in items:
        lines += [f"| {_first(item)} | {name} | {_kept(way)} |" for name, way in item["ways"].items()]
    return "\n".join(lines)


def kept(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| first two trials | rungs and rule | epochs trained | mean regret, points | within 0.5 points |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {_first(row)} | {row['rule']} | {_kept(row)} |" for row in rows]
    return "\n".join(lines)


def _first(row: dict[str, Any]) -> str:
    return "reference, baseline" if row["head_start"] else "random"


def _kept(row: dict[str, Any]) -> str:
    return f"{row['cost']:.0%} | {row['regret']:.2f} | {row['kept']:.0%}"


def searches(found: dict[str, Any]) -> str:
    """One budget: when each method matched the final result of random search, and what it had found over time."""
    first = "the reference and the baseline first" if found["head_start"] else "nobody knows a good setting"
    lines = [
        f"## {found['trials']} x 27 epochs, {first}",
        "",
        f"{found['seeds']} seeds. Random search reaches {_range(found['target'])} % at the end.",
        "",
        "| search | epochs to match it | searches that never did | accuracy after 25 % | after 50 % | at the end |",
        "|---|---|---|---|---|---|",
    ]
    for name, way in found["ways"].items():
        share = [value / found["budget"] for value in way["reached"]]
        middle, low, high = ("never" if part > 1 else f"{part:.0%}" for part in share)
        until = middle if middle == low else f"{middle} ({low} to {high})"
        cells = [_range(interval) for interval in way["accuracy"].values()]
        lines.append(f"| {name} | {until} | {way['never']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _range(interval: list[float]) -> str:
    middle, low, high = interval
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"
