"""Ends what a search leaves of Ray, whatever way the search ends: a process of its own, run as a script.

Ray's head processes die with the driver; its agents live on for up to a minute, and trials until they notice. All of
them have in their environment what the guard is told. It waits for the end of its standard input, which the driver
holds open: a kill -9 closes it, too. So it is the one who can still say how to go on then.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

ORDERLY = b"."
"""What it is told at the end of a search that has said itself how it ended."""

ear: IO[bytes] | None = None
"""In the driver: where the guard listens, if there is one."""

SHOW_CURSOR = "\x1b[?25h"
"""It is hidden while a table is shown."""

GRACE_S = 1.0
"""What ends by itself within this time is left to do so."""

KILL_FOR_S = 5.0
"""What does not go by then can not be killed."""


def farewell() -> None:
    """From the driver: how to go on is said, or needs not be."""
    if ear is not None:
        with suppress(OSError, ValueError):  # it is gone already
            ear.write(ORDERLY)
            ear.flush()


def marked(mark: bytes) -> list[int]:
    """The processes with `mark`, as NAME=VALUE, in their environment; an empty list where there is no /proc."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is someone else's
            if mark in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found


def main() -> None:
    mark, last_words = sys.argv[1].encode(), sys.argv[2]
    if not sys.stdin.buffer.read():
        with suppress(OSError):  # nobody may be there to read it
            print(SHOW_CURSOR * sys.stderr.isatty() + last_words, file=sys.stderr, flush=True)
    deadline = time.monotonic() + GRACE_S
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    deadline = time.monotonic() + KILL_FOR_S
    while left and time.monotonic() < deadline:  # one may be starting another
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        left = marked(mark)


if __name__ == "__main__":
    main()
