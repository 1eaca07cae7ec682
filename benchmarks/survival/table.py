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
        "| kill -9 of | times | searches | lost | there twice | that differ | trained again | W&B runs lost, doubled "
        "| ended in another way | left processes for 5 s | reads meanwhile | of a broken file |",
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
    lines += ["", "## Other ways to end", "", "| what | times | came out |", "|---|---|---|"]
    lines += [_ending(name, row) for name, row in found["endings"].items()]
    if final := found.get("finalize"):
        lines.append(
            f"| kill -9 of `tune.finalize`, then `--resume` | {final['kills']} "
            f"| {final['trainings']} final models, of which {final['differ']} differ in any weight from one that was "
            "left alone |"
        )
    if disk := found.get("disk"):
        lines += ["", "## What a search leaves on the disk", "", _disk(disk)]
    machine = found["machine"]
    about = f"`{found['command']}` at commit {found['commit']}, {machine['cpu']}, {machine['cores']} cores."
    if later := found.get("later"):
        about += f" {later}"
    return "\n".join([*lines, "", about])


def _ending(name: str, row: dict[str, Any]) -> str:
    return (
        f"| {name} while trials run, W&B on | {row['times']} "
        f"| {min(row['seconds']):.1f} to {max(row['seconds']):.1f} s to the prompt; {row['wrong']} without "
        f"exit code 130 and the command to go on; {row['left']} left a process behind |"
    )


def _disk(row: dict[str, Any]) -> str:
    return (
        f"A search of {row['trials']} trials of SimpleCNN, one at a time, W&B offline: {row['all_mb']:.1f} MB in the "
        f"end, of them W&B {row['wandb']:.1f}, Ray {row['ray']:.1f}, checkpoints {row['checkpoints']:.1f}. While it "
        f"ran, at most {row['kept_files']} checkpoint of {row['kept_mb']:.1f} MB lay there. The bound: {TRIAL_KB} kB a "
        f"trial and {EPOCH_KB} kB an epoch of it, and a checkpoint for each that runs or was interrupted."
    )
