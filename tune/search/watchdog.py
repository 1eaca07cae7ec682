"""Ends a search for external reasons: the user, the death of Ray, a checkpoint that cannot be written."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import ray
from ray._private import ray_constants

from tune.files import Unwritable
from tune.results import Status
from tune.search import guard
from tune.search.guard import SHOW_CURSOR
from tune.search.listener import Listener


class RayDied(BaseException):
    """One of Ray's own processes has died; the message says which.

    Not an Exception: on one of those Tune would end its trials in order first, and so wait for dead processes.
    """


class Watchdog(Listener):
    """Checks what all trials depend on before a trial is blamed. Must be the first listener.

    Raises RayDied if Ray has died (trials would run on for 15 seconds, and then Ray would abort the process),
    Unwritable if a checkpoint could not be written, and KeyboardInterrupt if the user interrupted the search (Tune's
    own ways of ending wait for the running epochs).
    """

    interrupted = False
    """On the class, so that every instance sees it."""

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
    """Which of Ray's essential processes has died, and how; empty if none has."""
    node = ray._private.worker._global_node
    for kind, process in node.dead_processes() if node is not None else ():
        if kind in (ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER):
            return f"Ray's {kind} has died (exit code {process.returncode})"
    return ""


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Restores our SIGTERM handler after the start of Ray, which replaces it."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def interruptible(resume_hint: str) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the search in order, the second ends the process at once with `resume_hint`."""
    Watchdog.interrupted = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

    def interrupt(number: int, frame: object) -> None:
        Watchdog.interrupted = True

    # Python runs a handler only when the main thread returns from Ray, possibly seconds later, and then once for two
    # signals. But it writes a byte per signal to this socket at once, and a thread reads it.
    heard, told = socket.socketpair()
    told.setblocking(False)
    previous_fd = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_at_the_second, args=[(heard, told), bytes(before), resume_hint], daemon=True).start()
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        if not Watchdog.interrupted:  # otherwise a second signal can still end the rest: Ray takes seconds to stop
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(previous_fd)
            told.close()  # which ends the thread


def _end_at_the_second(pair: tuple[socket.socket, socket.socket], numbers: bytes, resume_hint: str) -> None:
    """Reads signal numbers as they arrive; ends the process at the second one in `numbers`.

    Holds both ends of the pair, so that neither is closed while signals are written to it.
    """
    came = 0
    with pair[0] as heard:
        while number := heard.recv(1):
            came += number in numbers
            if came == 2:
                end_at_once(130, resume_hint)


def end_at_once(code: int, message: str) -> NoReturn:
    """Prints `message` and ends the process, from any thread; the result folder is consistent at any moment."""
    with suppress(Exception):  # the terminal may be gone
        # Not `print`, which may be what was interrupted. The live view hides the cursor.
        os.write(2, (SHOW_CURSOR * sys.stderr.isatty() + message + "\n").encode())
    guard.dismiss()  # it ends a local Ray, but has no more to say
    os._exit(code)
