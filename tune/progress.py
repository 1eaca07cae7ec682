"""Progress of a long task: a bar with its rate in a terminal, and a plain line now and then anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0


class Work:
    """A task whose progress is counted in units."""

    def __init__(self, name: str, unit: str, console: Console, total: int | None) -> None:
        self.name, self.unit, self.console = name, unit, console
        self.done = 0
        self._told = time.monotonic()
        self._first = 0, 0.0
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self.bar.add_task(name, total=total, rate="")

    def advance(self, count: int, total: int) -> None:
        """`count` more units are done, of `total`."""
        self.done += count
        if self.done == count:  # setting up is not part of the rate
            self._first = count, time.monotonic()
        done, began = self._first
        rate = f"{(self.done - done) / max(1e-9, time.monotonic() - began):,.0f} {self.unit}/s"
        self.bar.update(self._task, completed=self.done, total=total, rate=rate)
        if not self.console.is_terminal and time.monotonic() - self._told >= LINE_EVERY_S:
            self._told = time.monotonic()
            self.say(f"{self.name}: {self.done:,} of {total:,} {self.unit}, {rate}")

    def reached(self, done: int, total: int, rate: str) -> None:
        """`done` units are done, of `total`, at a known rate. Prints no line: callers print their own."""
        if done > self.done + 1:
            self.bar.reset(self._task, completed=done - 1, rate=rate)  # from an earlier start: not part of the rate
        self.done = done
        self.bar.update(self._task, completed=done, total=total, rate=rate)

    def say(self, line: str) -> None:
        """Prints a line of text, above the bar if there is one."""
        self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def shown(name: str, unit: str, console: Console, total: int | None = None) -> Iterator[Work]:
    """Shows the progress of a task in the block; `total` if it is already known."""
    work = Work(name, unit, console, total)
    with work.bar:
        yield work
