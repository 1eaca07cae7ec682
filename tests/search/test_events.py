"""What Ray tells of a failed trial, in a line; and when a failure is not the trial's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from tune.files import Unwritable
from tune.search.events import error_line
from tune.search.session import Ground, RayDied

KILLED = """Failure # 1 (occurred at 2026-11-25_12-00-00)
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker
unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed
by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly.
"""
MEMORY = """Failure # 2 (occurred at 2026-11-25_12-00-00)
The actor died. Worker exit type: NODE_OUT_OF_MEMORY Worker exit detail: Task was killed due to the node running low.
"""
RAISED = """Failure # 1 (occurred at 2026-11-25_12-00-00)
ray::Trial.train() (pid=1, ip=127.0.0.1)
  File "loop.py", line 3, in fit
    raise ValueError("of no use")
ValueError: of no use
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (KILLED, "its process died (killed, crashed, or out of memory)"),
        (KILLED + MEMORY, "its process was ended, since the machine ran low on memory"),
        (KILLED + RAISED, "ValueError: of no use"),
        (RAISED, "ValueError: of no use"),
        ("nothing known", "nothing known"),
        ("", "unknown error"),
    ],
)
def test_the_last_failure_in_a_line(text: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text(text)
    assert error_line(SimpleNamespace(error_file=str(tmp_path / "error.txt"))) == line  # type: ignore[arg-type]


def test_a_dead_raylet_is_noticed_before_a_trial_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has really ended, in Ray's own list."""
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    ended.wait()

    def node(kind: str) -> Any:
        return SimpleNamespace(dead_processes=lambda: [(kind, ended)])

    ground = Ground()
    monkeypatch.setattr(ray._private.worker, "_global_node", node("log_monitor"))
    ground.tick()  # nothing rests on that one
    monkeypatch.setattr(ray._private.worker, "_global_node", node("raylet"))
    ground.trial_ended("0001", "finished", None)
    for blame in (ground.tick, lambda: ground.trial_died("0001", ""), lambda: ground.trial_ended("0001", "failed", "")):
        with pytest.raises(RayDied, match=r"Ray's raylet has died \(exit code 3\)"):
            blame()


def test_a_trial_that_could_not_be_kept_ends_the_search() -> None:
    Ground().epoch_ended("0001", {"not_kept": ""})
    with pytest.raises(Unwritable, match="no space"):
        Ground().epoch_ended("0001", {"not_kept": "no space"})
