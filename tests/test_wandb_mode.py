"""What is asked for, and what the environment says; each in a process of its own, as W&B reads that once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.a_deaf_server import KEY


@pytest.mark.parametrize(
    ("asked", "key", "resolved"),
    [("online", KEY, "online"), ("auto", KEY, "offline"), ("online", "", "ValueError: --wandb online needs a key")],
)
def test_the_option_wins_over_wandb_mode(asked: str, key: str, resolved: str, tmp_path: Path) -> None:
    own = {"WANDB_MODE": "offline", "WANDB_API_KEY": key, "HOME": str(tmp_path)}
    code = f"from tune.wandb_mode import resolve; print(resolve({asked!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | own)
    assert (done.stdout or done.stderr.splitlines()[-1]).startswith(resolved)
