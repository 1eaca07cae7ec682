"""What a person sees while a search runs: a live table in a terminal, a plain line an event anywhere else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tune.results import Origin, Status
from tune.search.listener import Listener
from tune.training.config import TrainConfig

STYLES = {"running": "cyan", "finished": "green", "stopped": "dim", "diverged": "red", "failed": "bold red"}


@dataclass
class Shown:
    """What is shown of a trial."""

    origin: Origin
    config: TrainConfig
    status: Status = "running"
    epoch: int = 0
    val_acc: float | None = None

    def settings(self) -> str:
        config = self.config
        return f"lr {config.lr:.3g}, batch {config.batch_size}, {config.scheduler}, {config.augmentation}"


class PlainView(Listener):
    """One line an event, no control codes."""

    def __init__(self, title: str, trials: int, console: Console) -> None:
        self.title, self.trials, self.console = title, trials, console
        self.shown: dict[str, Shown] = {}
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._say(self.title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        self.shown[trial_id] = shown = Shown(origin, config)
        self._say(f"trial {trial_id} ({origin}) starts: {shown.settings()}")

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        shown = self.shown[trial_id]
        shown.epoch = metrics["epoch"]
        shown.val_acc = None if metrics["diverged"] else metrics["val_acc"]
        accuracy = "the loss is not finite" if shown.val_acc is None else f"val_acc {shown.val_acc:.2f} %"
        self._say(f"trial {trial_id} epoch {shown.epoch}/{shown.config.epochs}: {accuracy}, {metrics['wall_s']:.1f} s")

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        shown = self.shown[trial_id]
        shown.status = status
        self._say(f"trial {trial_id} {status} after epoch {shown.epoch}" + (f": {error}" if error else ""))

    def trial_failed(self, trial_id: str, error: str) -> None:
        self._say(f"trial {trial_id} failed, and is tried once more: {error}")

    def elapsed(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def _say(self, text: str) -> None:
        self.console.print(f"[{self.elapsed()}] {text}", markup=False, highlight=False, soft_wrap=True)


class LiveView(PlainView):
    """One table that keeps its place."""

    def __init__(self, title: str, trials: int, console: Console) -> None:
        super().__init__(title, trials, console)
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def _say(self, text: str) -> None:
        pass  # the table says it

    def _table(self) -> Table:
        table = Table(
            title=Text(self.title), caption=self._counts(), title_justify="left", caption_justify="left",
            box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold",
        )  # fmt: skip
        for heading in ("trial", "from", "state", "epoch", "val %", "lr", "batch", "schedule", "augmentation"):
            table.add_column(heading, justify="right" if heading in ("epoch", "val %", "lr", "batch") else "left")
        # Those that run, then the best: what does not fit below is the least interesting.
        trials = list(self.shown.items())  # at once: the table is drawn in a thread of its own
        ranked = sorted(trials, key=lambda item: (item[1].status != "running", -(item[1].val_acc or 0)))
        for trial_id, shown in ranked[: max(4, self.console.height - 9)]:
            config = shown.config
            table.add_row(
                trial_id, shown.origin, shown.status, f"{shown.epoch}/{config.epochs}",
                "-" if shown.val_acc is None else f"{shown.val_acc:.2f}",
                f"{config.lr:.3g}", str(config.batch_size), config.scheduler, config.augmentation,
                style=STYLES.get(shown.status),
            )  # fmt: skip
        return table

    def _counts(self) -> str:
        shown = list(self.shown.values())
        count = {status: sum(s.status == status for s in shown) for status in STYLES}
        ended = len(shown) - count["running"]
        parts = [f"{self.elapsed()}", f"{ended} of {self.trials} trials ended"]
        parts += [f"{number} {status}" for status, number in count.items() if number and status != "finished"]
        return " · ".join([*parts, f"{sum(s.epoch for s in shown)} epochs trained"])


def view(title: str, trials: int, console: Console) -> PlainView:
    """The view that suits where the output goes."""
    return (LiveView if console.is_terminal else PlainView)(title, trials, console)
