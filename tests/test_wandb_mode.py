"""What is asked for, and what the environment says; each in a process of its own, as W&B reads that once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.a_deaf_server import KEY


def answer(call: str, variable: str | None, key: str, home: Path) -> str:
    """What the call gives with this WANDB_MODE and this key, or the last line of its traceback."""
    environment = os.environ | {"WANDB_API_KEY": key, "HOME": str(home)}
    environment.pop("WANDB_MODE", None)
    environment |= {} if variable is None else {"WANDB_MODE": variable}
    code = f"from tests.a_search import settings; from tune.wandb_mode import of_run, resolve; print({call})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return (done.stdout or done.stderr).splitlines()[-1]


@pytest.mark.parametrize(
    ("asked", "variable", "key", "resolved"),
    [
        ("online", "offline", KEY, "online"),
        ("online", "offline", "", "ValueError: --wandb online needs a key"),
        ("auto", "offline", KEY, "offline"),
        ("auto", "disabled", KEY, "disabled"),
        ("auto", None, KEY, "online"),
        ("auto", None, "", "offline"),
    ],
)
def test_the_option_wins_over_wandb_mode(
    asked: str, variable: str | None, key: str, resolved: str, tmp_path: Path
) -> None:
    assert answer(f"resolve({asked!r})", variable, key, tmp_path).startswith(resolved)


def test_a_run_that_was_online_is_offline_without_a_key(tmp_path: Path) -> None:
    assert answer("of_run(settings(wandb='online'), None)", None, "", tmp_path) == "offline"
    assert answer("of_run(settings(wandb='online'), None)", None, KEY, tmp_path) == "online"
