"""Recorded learning curves: what was measured for each configuration in each epoch, and the file that holds it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

import pyarrow as pa

from tune.results import TRIALS, RunFolder, config_of, write_table
from tune.training.config import TrainConfig

MEASURED = ("val_acc", "val_loss", "train_loss", "train_acc", "lr", "cpu_s")

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        *(TRIALS.field(f"config.{name}") for name in get_type_hints(TrainConfig)),
        ("diverged", pa.bool_()),
        *((name, pa.list_(pa.float64())) for name in MEASURED),
    ]
)
"""One row per configuration; lists have one value per epoch. If it diverged, the last epoch has no accuracy."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The learning curve of a configuration. Tuples have one value per epoch, from the first."""

    config: TrainConfig

    diverged: bool = False
    """Whether the last epoch ended with non-finite numbers; its accuracy is then None."""

    val_acc: tuple[float | None, ...]
    """In per cent."""

    cpu_s: tuple[float, ...]
    """Seconds of one core, validation included. Unlike wall-clock time, other work hardly affects it."""


@dataclass(frozen=True, kw_only=True)
class Recorded(Curve):
    """A curve that was measured over all epochs."""

    number: int
    """The number of the draw; 0 is the space's reference."""

    val_loss: tuple[float | None, ...]
    train_loss: tuple[float | None, ...]
    train_acc: tuple[float | None, ...]
    lr: tuple[float, ...]


def read(path: Path) -> list[Recorded]:
    """The curves in a file, in order of their numbers. ValueError if it is missing or damaged."""
    rows = RunFolder(path.parent).read_rows(path.name)
    curves = [
        Recorded(
            number=row["number"],
            config=config_of(row),
            diverged=row["diverged"],
            **{name: tuple(row[name]) for name in MEASURED},
        )
        for row in rows
    ]
    return sorted(curves, key=lambda curve: curve.number)


def write(path: Path, curves: Iterable[Recorded]) -> None:
    """Writes the file atomically."""
    rows = [
        {
            "number": curve.number,
            "diverged": curve.diverged,
            **{f"config.{name}": value for name, value in curve.config.to_dict().items()},
            **{name: list(getattr(curve, name)) for name in MEASURED},
        }
        for curve in sorted(curves, key=lambda curve: curve.number)
    ]
    write_table(path, rows, SCHEMA)
