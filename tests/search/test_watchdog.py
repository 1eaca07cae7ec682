"""What ends a search at once: Ray's death, a full disk, a second Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from tune.files import Unwritable
from tune.search.watchdog import RayDied, Watchdog

PROGRAM = """
import hashlib
from tune.search.watchdog import Watchdog, interruptible
with interruptible("how to go on"):
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in C, as Ray may be, in which no handler is called
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_is_heard_while_the_main_thread_is_in_c(second: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None  # the first one waits for an orderly end
        process.send_signal(second)
        said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert said == (b"", b"how to go on\n")


def test_a_dead_raylet_is_noticed_before_a_trial_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has really ended, in Ray's own list."""
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    ended.wait()

    def node(kind: str) -> Any:
        return SimpleNamespace(dead_processes=lambda: [(kind, ended)])

    watchdog = Watchdog()
    monkeypatch.setattr(ray._private.worker, "_global_node", node("log_monitor"))
    watchdog.tick()  # nothing rests on that one
    monkeypatch.setattr(ray._private.worker, "_global_node", node("raylet"))
    watchdog.trial_ended("0001", "finished", None)
    for blame in (
        watchdog.tick,
        lambda: watchdog.trial_failed("0001", ""),
        lambda: watchdog.trial_ended("0001", "failed", ""),
    ):
        with pytest.raises(RayDied, match=r"Ray's raylet has died \(exit code 3\)"):
            blame()


def test_a_trial_that_could_not_be_kept_ends_the_search() -> None:
    Watchdog().epoch_ended("0001", {"checkpoint_error": ""})
    with pytest.raises(Unwritable, match="no space"):
        Watchdog().epoch_ended("0001", {"checkpoint_error": "no space"})
