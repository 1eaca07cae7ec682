"""The live view of a search: one picture that keeps its place, redrawn twice a second."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune import wording
from tune.results import Origin, Row, Status
from tune.search.eta import Progress
from tune.search.standing import Shown, Standing, percent
from tune.settings import Metric
from tune.training.config import TrainConfig

STYLES = {"running": "cyan", "finished": "green", "stopped": "dim", "diverged": "red", "failed": "bold red"}

WIDE = 120
"""From so many columns on the best settings have a line, below they have two."""

LEAST_MORE = 16
"""Columns that are worth a beginning of the settings which have no column of their own."""


@dataclass(frozen=True)
class Column:
    """A column of the table, of a fixed width, so that nothing moves when another word comes."""

    heading: str
    width: int
    keep: int
    """The higher, the longer it stays when the terminal gets narrower."""

    cell: Callable[[Shown], str]
    right: bool = False


COLUMNS = (
    Column("from", 9, 2, lambda shown: shown.origin.removesuffix("_start")),
    Column("state", 11, 5, lambda shown: shown.status),
    Column("epoch", 5, 6, lambda shown: f"{shown.epoch}/{shown.config.epochs}", right=True),
    Column("val %", 6, 7, lambda shown: percent(shown.val_acc), right=True),
    Column("lr", 8, 4, lambda shown: f"{shown.config.lr:.3g}", right=True),
    Column("batch", 5, 3, lambda shown: str(shown.config.batch_size), right=True),
    Column("schedule", 9, 1, lambda shown: shown.config.scheduler),
    Column("augmentation", 14, 0, lambda shown: shown.config.augmentation),
)

ROBUST = Column("robust %", 8, 8, lambda shown: percent(shown.val_robust_acc), right=True)
"""Comes after `val %` where a search goes by it."""


class LiveView(Standing):
    """Progress, the best so far with its settings, the trials that run, each in its row, and the best that have ended.

    What goes wrong is printed above it, and stays.
    """

    def __init__(
        self,
        title: str,
        progress: Progress,
        console: Console,
        metric: Metric,
        before: Mapping[str, Row],
        *,
        ranks: bool,
        load: Callable[[], str],
    ) -> None:
        super().__init__(title, progress, console, metric, before, ranks=ranks)
        self._load = load
        self._places: list[str | None] = []
        """Of the trials that run: a row is the next one's when its trial has ended."""

        self._over = False
        self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=2)

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
        if trial_id in self._places:
            return
        if None in self._places:
            self._places[self._places.index(None)] = trial_id
        else:
            self._places.append(trial_id)

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        super().trial_ended(trial_id, status, error)
        self._places[self._places.index(trial_id)] = None
        if status == "failed":
            self._say(f"trial {trial_id} failed: {error}")

    def trial_failed(self, trial_id: str, error: str) -> None:
        self._say(f"trial {trial_id} failed, and is tried once more: {error}")

    def _say(self, text: str) -> None:
        self.console.print(f"[{self.elapsed()}] {text}", style="red", markup=False, highlight=False, soft_wrap=True)

    def _picture(self) -> RenderableType:
        width = self.console.width
        head = [
            self._sides(self.title, self.elapsed(), style="bold"),
            self._bar(),
            Text(self.progress.in_words(self.ended())),
            self._fates(),
        ]
        parts = [*head, *self._best_lines(), Text("")]
        room = self.console.height - len(parts) - 3  # the table's head, the last line, and one to spare
        for part in parts:
            if isinstance(part, Text):
                part.truncate(width, overflow="ellipsis")
        # The cursor waits on a line of its own: the ^C that a terminal writes there would else push all up by a line.
        return Group(*parts, self._table(max(0, room)), *([] if self._over else [Text("")]))

    def _sides(self, left: str, right: str, style: str = "") -> Text:
        """A line with something at its right end, too."""
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

    def _fates(self) -> Text:
        counts = self.counts()
        always: tuple[Status, ...] = ("running", "finished", "stopped")
        seen: tuple[Status, ...] = ("diverged", "failed", "interrupted")
        parts = [f"{counts[status]} {status}" for status in (*always, *(status for status in seen if counts[status]))]
        text, load = ", ".join(parts), self._load()
        fits = cell_len(text) + cell_len(load) + 2 <= self.console.width
        return self._sides(text, load) if fits and load else Text(text)

    def _best_lines(self) -> list[Text]:
        """The best with its settings: always as many lines."""
        if not self._ranks:
            return []
        lines = 1 if self.console.width >= WIDE else 2
        trial_id = self.best()
        if trial_id is None:
            return [Text(""), Text("Best so far: none yet", style="dim"), *[Text("")] * lines]
        best = self.shown[trial_id]
        after = "finished" if best.status == "finished" else f"after epoch {best.epoch} of {best.config.epochs}"
        of = "" if self.metric == "val_acc" else f" {self.metric}"
        said = f"Best so far: trial {trial_id} ({best.origin}), {percent(best.value(self.metric))} %{of}, {after}"
        room = max(20, self.console.width - 2)
        whole = wording.settings(best.config).replace(" ", "\xa0").replace(",\xa0", ", ")  # a name keeps its value
        text = [line.replace("\xa0", " ") for line in textwrap.wrap(whole, room, max_lines=lines, placeholder=" …")]
        return [Text(""), Text(said, style="green"), *(Text(f"  {line}") for line in [*text, *[""] * lines][:lines])]

    def _table(self, rows: int) -> Table:
        """Those that run, each in its row; below them the best that do not."""
        ended = self.by_rank(item for item in self.trials() if item[1].status != "running")
        places = [] if self._over else [*self._places]
        room = rows - min(len(ended), 3) if rows > 6 else rows
        shown = places if len(places) <= room else places[: max(0, room - 1)]
        listed = [(i or "", self.shown[i] if i else None) for i in shown]
        if hidden := sum(i is not None for i in places[len(shown) :]):
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
    """The columns that fit beside names of trials, and the width of one more for all other settings, or 0."""
    columns = [replace(column, width=max(epochs, 5)) if column.heading == "epoch" else column for column in COLUMNS]
    if metric == "val_robust_acc":
        columns.insert(4, ROBUST)
    wanted = len(columns)
    while columns and names + sum(column.width + 1 for column in columns) > width:
        columns.remove(min(columns, key=lambda column: column.keep))
    more = width - names - sum(column.width + 1 for column in columns) - 1
    return columns, more if len(columns) == wanted and more >= LEAST_MORE else 0
