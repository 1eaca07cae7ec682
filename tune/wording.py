"""Numbers, durations and settings in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tune.training.config import SET_BY_SEARCH, TrainConfig

if TYPE_CHECKING:
    from rich.console import Console

_FIRST = ("lr", "batch_size", "scheduler", "augmentation")


def printer(console: Console) -> Callable[[str], None]:
    """A function that prints a line literally, without markup, highlighting or wrapping."""
    return partial(console.print, highlight=False, markup=False, soft_wrap=True)


def counted(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def counts(rows: Sequence[Mapping[str, Any]]) -> str:
    """`9 finished, 6 stopped, 1 diverged`."""
    order = ("finished", "stopped", "diverged", "failed", "interrupted", "running")
    found = [(status, sum(row["status"] == status for row in rows)) for status in order]
    return ", ".join(f"{number} {status}" for status, number in found if number) or "none"


def duration(seconds: float) -> str:
    """`40 s`, `25 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:,.1f} h"


def settings(config: TrainConfig) -> str:
    """`lr 0.05, batch 128, cosine, standard`, and every other setting that is not at its default."""
    first = [f"lr {config.lr:.3g}", f"batch {config.batch_size}", config.scheduler, config.augmentation]
    return ", ".join([*first, *other_settings(config)])


def other_settings(config: TrainConfig) -> Iterator[str]:
    """The settings that `settings` adds to the first four."""
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        if name in (*_FIRST, *SET_BY_SEARCH):
            continue
        if name == "gamma":
            if config.scheduler == "step":
                yield f"gamma {value:.3g}"
        elif value != field.default:
            yield name if value is True else f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
