"""The second Ctrl-C ends the process at once, whatever it is at."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.starts_ray

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
