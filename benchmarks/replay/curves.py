"""Recorded learning curves: what was measured of each configuration, epoch by epoch, and the file that holds them."""

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
"""One row a configuration; each list holds a value an epoch. A diverged one's last epoch has no accuracy."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one configuration does. Each tuple has a value an epoch, from the first."""

    config: TrainConfig

    diverged: bool = False
    """The last epoch ended in numbers that are not finite; its accuracy is None."""

    val_acc: tuple[float | None, ...]
    """Per cent."""

    cpu_s: tuple[float, ...]
    """Seconds of one core, validation included: unlike the time on the clock, other work hardly changes it."""


@dataclass(frozen=True, kw_only=True)
class Recorded(Curve):
    """What it did, measured whole."""

    number: int
    """Of the draw; 0 is the space's reference."""

    val_loss: tuple[float | None, ...]
    train_loss: tuple[float | None, ...]
    train_acc: tuple[float | None, ...]
    lr: tuple[float, ...]


def read(path: Path) -> list[Recorded]:
    """The curves of a file, in the order of their numbers. ValueError if there is none, or it is damaged."""
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
    """Replaces the file in one step."""
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
