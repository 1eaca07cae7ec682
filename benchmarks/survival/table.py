"""What was killed and what was lost: the table in docs/reliability.md, from results/survival.json."""

from __future__ import annotations

from typing import Any

COMMAND = "python -m benchmarks.survival"
"""The command that marks the place of the table in the document."""

TRIAL_KB, EPOCH_KB = 100, 20
"""Upper bounds for a search's folder, checkpoints aside."""

VICTIMS = {
    "driver": "the command itself, then `--resume`",
    "worker": "the process of the trial that trains",
    "raylet": "Ray's raylet, then `--resume`",
}


def render(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| kill -9 of | kills | searches | epochs lost | epochs recorded twice | differences | epochs trained again "
        "| W&B runs lost, duplicated | unexpected exits | ends with processes left after 5 s | file reads meanwhile "
        "| failed reads |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for victim, row in found["victims"].items():
        first, then = (
            ("kills", "searches", "lost", "doubled", "differ", "again"),
            ("wrong", "left", "reads", "broken_reads"),
        )
        cells = [f"{row[name]:,}" for name in first] + [f"{row['runs_lost']}, {row['runs_doubled']}"]
        cells += [f"{row[name]:,}" for name in then]
        lines.append(f"| {VICTIMS[victim]} | {' | '.join(cells)} |")
    lines += ["", "## Other ways to end", "", "| what | times | result |", "|---|---|---|"]
    lines += [_ending(name, row) for name, row in found["endings"].items()]
    if final := found.get("finalize"):
        lines.append(
            f"| kill -9 of `tune.finalize`, then `--resume` | {final['kills']} "
            f"| {final['trainings']} final models; {final['differ'] or 'none'} of them differ in any weight from an "
            "undisturbed one |"
        )
    if disk := found.get("disk"):
        lines += ["", "## What a search leaves on the disk", "", _disk(disk)]
    machine = found["machine"]
    about = f"`{found['command']}` at commit {found['commit']}, {machine['cpu']}, {machine['cores']} cores."
    if later := found.get("later"):
        about += f" {later}"
    return "\n".join([*lines, "", about])


def _ending(name: str, row: dict[str, Any]) -> str:
    low, high = (f"{value:.1f}" for value in (min(row["seconds"]), max(row["seconds"])))
    took = f"{high} s" if low == high else f"{low} to {high} s"
    if row["wrong"] or row["left"]:
        ended = f"{row['wrong']} without exit code 130 and the resume command; {row['left']} left a process"
    else:
        ended = "always exit code 130 and the resume command; no process left"
    return f"| {name} while trials run, W&B on | {row['times']} | {took} to the prompt; {ended} |"


def _disk(row: dict[str, Any]) -> str:
    return (
        f"A search of {row['trials']} trials of SimpleCNN, one at a time, W&B offline: {row['all_mb']:.1f} MB at the "
        f"end: W&B {row['wandb']:.1f}, Ray {row['ray']:.1f}, checkpoints {row['checkpoints']:.1f}. While it "
        f"ran, at most {row['kept_files']} checkpoint of {row['kept_mb']:.1f} MB was there. The bound: {TRIAL_KB} kB "
        f"per trial and {EPOCH_KB} kB per epoch of it, and one checkpoint for each that runs or was interrupted."
    )
