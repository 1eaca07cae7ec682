"""A made-up search for those who show one, and where they show it."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from tune.search.asha import Asha
from tune.search.eta import Progress
from tune.search.live import LiveView
from tune.search.view import View
from tune.training.config import TrainConfig

TITLE = "one: simple_cnn on synthetic, 50 epochs per trial"


def config(**values: Any) -> TrainConfig:
    long_words: dict[str, Any] = {"scheduler": "one_cycle", "augmentation": "trivialaugment"}
    plain: dict[str, Any] = {"model": "simple_cnn", "lr": 0.0123456, "batch_size": 128, "epochs": 50}
    return TrainConfig(**plain | long_words | values)


def metrics(epoch: int, val_acc: float | None, robust: float | None = None) -> dict[str, Any]:
    """Of a trial that has diverged if there is no `val_acc`."""
    return {"epoch": epoch, "val_acc": val_acc, "val_robust_acc": robust, "wall_s": 1.23}


def progress(trials: int = 5, workers: int = 2) -> Progress:
    return Progress(trials, 50, workers, Asha(50).rungs)


def one_of_each(shown: View) -> None:
    """A search with a trial of every outcome, and one that still runs."""
    shown.trial_started("0000", "reference", config())
    shown.epoch_ended("0000", metrics(49, 51.0))
    shown.epoch_ended("0000", metrics(50, 52.345))
    shown.trial_ended("0000", "finished", None)
    shown.trial_started("0001", "baseline", config(lr=0.1, batch_size=8, scheduler="step", augmentation="none"))
    shown.epoch_ended("0001", metrics(1, None))
    shown.trial_ended("0001", "diverged", None)
    shown.trial_started("0002", "search", config())
    shown.trial_ended("0002", "failed", "RuntimeError: [/red] CUDA out of memory")
    shown.trial_started("0003", "search", config())
    shown.epoch_ended("0003", metrics(5, 12.0))
    shown.trial_ended("0003", "stopped", None)
    shown.trial_started("0004", "search", config(dropout=0.25))
    shown.epoch_ended("0004", metrics(7, 30.0))


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(width=width, height=height, file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"})


def log(width: int = 80) -> Console:
    return Console(width=width, file=io.StringIO(), _environ={})


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def live(console: Console, title: str = TITLE, **more: Any) -> LiveView:
    return LiveView(title, more.pop("progress", progress()), console, **more)


def frame(shown: LiveView) -> list[str]:
    """The picture as it stands, line by line, without its colours."""
    console = Console(width=shown.console.width, file=io.StringIO(), _environ={})
    console.print(shown._picture())
    return [line.rstrip() for line in text_of(console).splitlines()]
