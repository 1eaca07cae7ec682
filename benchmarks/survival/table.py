"""What was killed and what was lost, as a table for people: docs/reliability.md, from results/survival.json."""

from __future__ import annotations

from typing import Any

COMMAND = "python -m benchmarks.survival"
"""Names the table's place in the document."""

VICTIMS = {
    "driver": "the command itself, then `--resume`",
    "worker": "the process of the trial that trains",
    "raylet": "Ray's raylet, then `--resume`",
}


def render(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| kill -9 of | times | searches | epochs lost | there twice | that differ | trained again "
        "| processes left after 5 s | reads meanwhile | of a broken file |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for victim, row in found["victims"].items():
        figures = ("kills", "searches", "lost", "doubled", "differ", "again", "left", "reads", "broken_reads")
        lines.append(f"| {VICTIMS[victim]} | {' | '.join(f'{row[name]:,}' for name in figures)} |")
    machine = found["machine"]
    about = f"`{found['command']}` at commit {found['commit']}, {machine['cpu']}, {machine['cores']} cores."
    return "\n".join([*lines, "", about])
