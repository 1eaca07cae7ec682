"""The live view of a search in a terminal, redrawn in place twice a second."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune import wording
from tune.results import Origin, Row, Status
from tune.search.view import TrialState, View, percent
from tune.settings import Metric
from tune.training.config import TrainConfig

STYLES = {"running": "cyan", "finished": "green", "stopped": "dim", "diverged": "red", "failed": "bold red"}

WIDE = 120
"""Terminals with at least so many columns show the best settings on one line, narrower ones on two."""

MIN_OTHERS = 16
"""The narrowest column worth adding for the settings that have no column of their own."""


@dataclass(frozen=True)
class Column:
    """A column of the table. Its width is fixed so that nothing moves when its text changes."""

    heading: str
    width: int
    priority: int
    """Columns with the lowest are dropped first when the terminal is narrow."""

    cell: Callable[[TrialState], str]
    right: bool = False


COLUMNS = (
    Column("from", 9, 2, lambda trial: trial.origin.removesuffix("_start")),
    Column("state", 11, 5, lambda trial: trial.status),
    Column("epoch", 5, 6, lambda trial: f"{trial.epoch}/{trial.config.epochs}", right=True),
    Column("val %", 6, 7, lambda trial: percent(trial.val_acc), right=True),
    Column("lr", 8, 4, lambda trial: f"{trial.config.lr:.3g}", right=True),
    Column("batch", 5, 3, lambda trial: str(trial.config.batch_size), right=True),
    Column("schedule", 9, 1, lambda trial: trial.config.scheduler),
    Column("augmentation", 14, 0, lambda trial: trial.config.augmentation),
)

ROBUST = Column("robust %", 8, 8, lambda trial: percent(trial.val_robust_acc), right=True)
"""Follows `val %` when the search maximises it."""


@dataclass(eq=False)
class LiveView(View):
    """Progress, the best trial with its settings, the running trials, and the best of those that have ended.

    Failures are printed above it and stay there.
    """

    def __post_init__(self, before: Mapping[str, Row] | None) -> None:
        super().__post_init__(before)
        self._slots: list[str | None] = []
        """Which running trial each row shows. The row of a trial that ends goes to the next one."""

        self._over = False
        self._live = Live(console=self.console, get_renderable=self._picture, refresh_per_second=2)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._live.__exit__(kind, error, trace)

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        super().trial_started(trial_id, origin, config)
        if trial_id in self._slots:
            return
        if None in self._slots:
            self._slots[self._slots.index(None)] = trial_id
        else:
            self._slots.append(trial_id)

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        super().trial_ended(trial_id, status, error)
        self._slots[self._slots.index(trial_id)] = None
        if status == "failed":
            self._print(f"trial {trial_id} failed: {error}", style="red")

    def _picture(self) -> RenderableType:
        width = self.console.width
        head = [
            self._sides(self.title, self.elapsed(), style="bold"),
            self._bar(),
            Text(self.progress.in_words(self.ended())),
            self._counts(),
        ]
        parts = [*head, *self._best_lines(), Text("")]
        room = self.console.height - len(parts) - 3  # the table's header, the last line, and one to spare
        for part in parts:
            if isinstance(part, Text):
                part.truncate(width, overflow="ellipsis")
        # A last empty line for the cursor: a terminal echoes ^C there, which would otherwise push everything up.
        return Group(*parts, self._table(max(0, room)), *([] if self._over else [Text("")]))

    def _sides(self, left: str, right: str, style: str = "") -> Text:
        """A line with text at both ends."""
        room = self.console.width - cell_len(right) - 2
        if cell_len(left) > room:
            left = set_cell_size(left, max(0, room - 1)) + "…"
        return Text(set_cell_size(left, room + 2) + right, style=style)

    def _bar(self) -> RenderableType:
        done = 1.0 if self._over and self.ended() >= self.progress.trials else self.progress.fraction
        bar = Table.grid(expand=True, padding=(0, 1, 0, 0))
        bar.add_column(ratio=1)
        bar.add_column(justify="right", width=5)
        filled = ProgressBar(total=1.0, completed=done, complete_style="cyan", finished_style="green")
        bar.add_row(filled, f"{int(100 * done)} %")
        return bar

    def _counts(self) -> Text:
        counts = self.counts()
        always: tuple[Status, ...] = ("running", "finished", "stopped")
        seen: tuple[Status, ...] = ("diverged", "failed", "interrupted")
        parts = [f"{counts[status]} {status}" for status in (*always, *(status for status in seen if counts[status]))]
        text, load = ", ".join(parts), self.load()
        fits = cell_len(text) + cell_len(load) + 2 <= self.console.width
        return self._sides(text, load) if fits and load else Text(text)

    def _best_lines(self) -> list[Text]:
        """The best trial and its settings; the number of lines is constant."""
        if not self.ranks:
            return []
        lines = 1 if self.console.width >= WIDE else 2
        trial_id = self.best()
        if trial_id is None:
            return [Text(""), Text("Best so far: none yet", style="dim"), *[Text("")] * lines]
        best = self.states[trial_id]
        after = "finished" if best.status == "finished" else f"after epoch {best.epoch} of {best.config.epochs}"
        of = "" if self.metric == "val_acc" else f" {self.metric}"
        said = f"Best so far: trial {trial_id} ({best.origin}), {percent(best.value(self.metric))} %{of}, {after}"
        room = max(20, self.console.width - 2)
        # No line break between a name and its value.
        whole = wording.settings(best.config).replace(" ", "\xa0").replace(",\xa0", ", ")
        text = [line.replace("\xa0", " ") for line in textwrap.wrap(whole, room, max_lines=lines, placeholder=" …")]
        return [Text(""), Text(said, style="green"), *(Text(f"  {line}") for line in [*text, *[""] * lines][:lines])]

    def _table(self, rows: int) -> Table:
        """The running trials, each in its own row; below them the best of the others."""
        ended = self.ranked(item for item in self.trials() if item[1].status != "running")
        slots = [] if self._over else [*self._slots]
        room = rows - min(len(ended), 3) if rows > 6 else rows
        visible = slots if len(slots) <= room else slots[: max(0, room - 1)]
        listed = [(i or "", self.states[i] if i else None) for i in visible]
        if hidden := sum(i is not None for i in slots[len(visible) :]):
            listed.append((f"and {hidden} more", None))
        listed = [*listed, *ended][:rows]
        epochs = 2 * len(str(self.progress.horizon)) + 1
        names = max([5, *(len(trial_id) for trial_id, _ in listed)])
        columns, more = fitting(self.console.width, names, epochs, self.metric)
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        for heading, width, right in [("trial", names, False), *((c.heading, c.width, c.right) for c in columns)]:
            table.add_column(heading, justify="right" if right else "left", width=width, no_wrap=True)
        if more:
            table.add_column("other settings", width=more, no_wrap=True)
        for trial_id, trial in listed:
            cells = [] if trial is None else [column.cell(trial) for column in columns]
            if trial is not None and more:
                cells.append(", ".join(wording.other_settings(trial.config)))
            table.add_row(trial_id, *cells, style=None if trial is None else STYLES.get(trial.status))
        return table


def fitting(width: int, names: int, epochs: int, metric: Metric) -> tuple[list[Column], int]:
    """The columns that fit beside trial ids of width `names`, and the width of one for all other settings, or 0."""
    columns = [replace(column, width=max(epochs, 5)) if column.heading == "epoch" else column for column in COLUMNS]
    if metric == "val_robust_acc":
        columns.insert(4, ROBUST)
    full = len(columns)
    while columns and names + sum(column.width + 1 for column in columns) > width:
        columns.remove(min(columns, key=lambda column: column.priority))
    more = width - names - sum(column.width + 1 for column in columns) - 1
    return columns, more if len(columns) == full and more >= MIN_OTHERS else 0
