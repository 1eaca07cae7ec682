"""The evidence as tables for people: docs/evidence.md, from results/replay.json."""

from __future__ import annotations

from typing import Any


def render(found: dict[str, Any]) -> str:
    """Markdown, whole."""
    parts = [
        "# Evidence for the search's decisions",
        "Replays of recorded learning curves; how they were recorded, and what a surrogate answers, tells\n"
        "[results/README.md](../results/README.md). Written by",
        f"    {found['command']}",
        f"at commit {found['commit']}. {found['workers']} workers, a horizon of {found['horizon']} epochs.\n"
        "Medians over seeds; in brackets their 95 % intervals, by bootstrap.",
        "## Whether the best of 32 given configurations is kept",
        kept(found["kept"]),
        *(searches(item) for item in found["searches"]),
    ]
    return "\n\n".join(parts) + "\n"


def kept(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| first two | rungs | epochs trained | mean regret, points | within 0.5 points of the best |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        first = "reference, baseline" if row["head_start"] else "random"
        lines.append(f"| {first} | {row['rungs']} | {row['cost']:.0%} | {row['regret']:.2f} | {row['kept']:.0%} |")
    return "\n".join(lines)


def searches(found: dict[str, Any]) -> str:
    """One budget: when each way was as good as random search in the end, and what it has found by then."""
    first = "the reference and the baseline first" if found["head_start"] else "nobody knows a good setting"
    lines = [
        f"## {found['trials']} x 27 epochs, {first}",
        "",
        f"{found['seeds']} seeds. Random search reaches {_range(found['target'])} % in the end.",
        "",
        "| way to search | epochs until then | never | after 25 % | after 50 % | in the end |",
        "|---|---|---|---|---|---|",
    ]
    for name, way in found["ways"].items():
        share = [value / found["budget"] for value in way["reached"]]
        until = f"{share[0]:.0%} ({share[1]:.0%} to {share[2]:.0%})" if share[0] <= 1 else "never"
        cells = [_range(interval) for interval in way["accuracy"].values()]
        lines.append(f"| {name} | {until} | {way['never']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _range(interval: list[float]) -> str:
    middle, low, high = interval
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"
