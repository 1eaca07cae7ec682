"""What ends a search from outside: the user, the death of Ray, a disk that takes no checkpoint."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray._private import ray_constants

from tune.files import Unwritable
from tune.results import Status
from tune.search import guard
from tune.search.guard import SHOW_CURSOR
from tune.search.listener import Listener


class RayDied(BaseException):
    """Ray's own processes have ended. Its text says which.

    No Exception: at one of those Tune would first end its trials in order, and so wait for what is dead.
    """


class Watchdog(Listener):
    """Looks after what all trials stand on, before one of them is blamed: to be the first of the listeners.

    Raises RayDied when it has (the trials would run on for a quarter of a minute, and then Ray aborts the process),
    Unwritable when a trial could not be kept, and KeyboardInterrupt when the user has had enough (Tune's own ways to
    end wait for the epochs that run).
    """

    interrupted = False
    """Of the class: whoever listens."""

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        if metrics["checkpoint_error"]:
            raise Unwritable(metrics["checkpoint_error"])

    def trial_failed(self, trial_id: str, error: str) -> None:
        self.tick()

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        if status == "failed":
            self.tick()

    def tick(self) -> None:
        if Watchdog.interrupted:
            raise KeyboardInterrupt
        if why := death():
            raise RayDied(why)


def death() -> str:
    """Which of Ray's processes that all else needs has ended, and how; empty if none has."""
    node = ray._private.worker._global_node
    for kind, process in node.dead_processes() if node is not None else ():
        if kind in (ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER):
            return f"Ray's {kind} has died (exit code {process.returncode})"
    return ""


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """For the start of Ray, which puts a handler of its own in the place of ours."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def interruptible(last_words: str) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the search with what it has, the second ends the process with `last_words`."""
    Watchdog.interrupted = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

    def interrupt(number: int, frame: object) -> None:
        Watchdog.interrupted = True

    # Python calls a handler when the main thread comes back from Ray, seconds later at times, and then once for two
    # signals. What it writes to this socket comes at once, a byte a signal, and a thread is there to read it.
    heard, told = socket.socketpair()
    told.setblocking(False)
    waiting = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_at_the_second, args=[(heard, told), bytes(before), last_words], daemon=True).start()
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        if not Watchdog.interrupted:  # else a second one ends what is left to do, too: Ray takes seconds to end
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(waiting)
            told.close()  # which ends the thread


def _end_at_the_second(pair: tuple[socket.socket, socket.socket], numbers: bytes, last_words: str) -> None:
    """Reads the numbers of signals as they come; ends the process at the second one that is one of `numbers`.

    It has both ends of the pair, so that neither is closed while signals are written to it.
    """
    came = 0
    with pair[0] as heard:
        while number := heard.recv(1):
            came += number in numbers
            if came == 2:
                # Not print: it may be what was interrupted. The cursor is hidden while a table is shown.
                with suppress(Exception):  # nobody may be there to read it
                    os.write(2, (SHOW_CURSOR * sys.stderr.isatty() + last_words + "\n").encode())
                guard.farewell()
                os._exit(130)  # the result folder is whole at any moment, and the guard ends Ray
