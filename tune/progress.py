"""How far a long piece of work is: a bar with its rate in a terminal, now and then a plain line anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0


class Work:
    """Something that is counted while it is done."""

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
        """So many more are done, of so many in all."""
        self.done += count
        if self.done == count:  # what was prepared before it tells nothing of the speed
            self._first = count, time.monotonic()
        done, began = self._first
        rate = f"{(self.done - done) / max(1e-9, time.monotonic() - began):,.0f} {self.unit}/s"
        self.bar.update(self._task, completed=self.done, total=total, rate=rate)
        if not self.console.is_terminal and time.monotonic() - self._told >= LINE_EVERY_S:
            self._told = time.monotonic()
            self.say(f"{self.name}: {self.done:,} of {total:,} {self.unit}, {rate}")

    def reached(self, done: int, total: int, rate: str) -> None:
        """So many are done, of so many in all, at a rate that is known. No line: who calls it says more."""
        if done > self.done + 1:
            self.bar.reset(self._task, completed=done - 1, rate=rate)  # done before: it tells nothing of the speed
        self.done = done
        self.bar.update(self._task, completed=done, total=total, rate=rate)

    def say(self, line: str) -> None:
        """A line of text, above the bar where there is one."""
        self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def shown(name: str, unit: str, console: Console, total: int | None = None) -> Iterator[Work]:
    """Shows a piece of work while it is done; `total`: as far as it is known by now."""
    work = Work(name, unit, console, total)
    with work.bar:
        yield work
