"""A process that kills what is left of Ray when a search ends, in whatever way.

Ray's head processes die with the driver, but its agents live on for up to a minute, and trials until they notice. All
have a variable in their environment that the guard knows. It waits for the end of its standard input, which the driver
holds open. That ends even at a kill -9, so the guard can still print how to resume.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

ORDERLY = b"."
"""Sent by a driver that has printed its own last message."""

pipe: IO[bytes] | None = None
"""In the driver: the guard's standard input, if there is a guard."""

SHOW_CURSOR = "\x1b[?25h"
"""The live view hides it."""

GRACE_S = 1.0
"""Time for processes to end by themselves."""

KILL_FOR_S = 5.0
"""After this time the guard gives up."""


def dismiss() -> None:
    """Called by the driver when the guard need not print how to resume."""
    if pipe is not None:
        with suppress(OSError, ValueError):  # the guard is gone already
            pipe.write(ORDERLY)
            pipe.flush()


def marked(mark: bytes) -> list[int]:
    """Ids of processes with `mark`, NAME=VALUE, in their environment; [] if there is no /proc."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or belongs to another user
            if mark in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found


def main() -> None:
    mark, resume_hint = sys.argv[1].encode(), sys.argv[2]
    if not sys.stdin.buffer.read():
        with suppress(OSError):  # the terminal may be gone
            print(SHOW_CURSOR * sys.stderr.isatty() + resume_hint, file=sys.stderr, flush=True)
    deadline = time.monotonic() + GRACE_S
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    deadline = time.monotonic() + KILL_FOR_S
    while left and time.monotonic() < deadline:  # repeated, as they may start others
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        left = marked(mark)


if __name__ == "__main__":
    main()
