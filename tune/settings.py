"""The settings of a search, resolved from the command line and the search space. Plain data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

Source = Literal["cifar100", "synthetic"]
Method = Literal["hyperopt", "optuna", "random"]
EarlyStopping = Literal["asha", "none"]

WandbMode = Literal["online", "offline", "disabled"]

Metric = Literal["val_acc", "val_robust_acc"]
"""Accuracy on the validation images, clean or under corruption."""

METRICS: tuple[str, ...] = get_args(Metric)

FINAL_EPOCHS = 50
"""Epochs of the final training, unless `tune.finalize` is told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a search. They are written to experiment.json, from which tune.finalize reads them back."""

    space: str
    """Path of the search-space file."""

    space_sha256: str
    model: str
    data: Source
    data_dir: str
    train_subset: int | None
    val_fraction: float
    trials: int
    max_epochs: int
    time_budget_s: float | None
    gpus_per_trial: float
    cpus_per_trial: int
    search: Method
    scheduler: EarlyStopping
    metric: Metric
    confirm: int
    """How many of the best trials are retrained on other seeds at the end; 0 for none."""

    seeds: int
    """On how many seeds each, with `confirm`."""

    seed: int
    name: str
    storage: str
    wandb: WandbMode
    wandb_project: str
    weights: str | None
    warm_start: str | None
    """Path or URI of the earlier run it started from, if any; what was taken from that is kept in its own folder."""

    dashboard: bool
    address: str | None
    """Of the Ray cluster that it runs on; None for a local Ray of its own."""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Settings:
        """The reverse of `to_dict`. ValueError if the keys or types are not those of this version."""
        kinds = get_type_hints(cls)
        if (
            not isinstance(values, dict)
            or values.keys() != kinds.keys()
            or not all(_fits(values[name], kind) for name, kind in kinds.items())
        ):
            raise ValueError("experiment.json is damaged, or was written by another version of this project.")
        return cls(**values)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value from JSON, where 1.0 may be written as 1, has a field's type."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    return isinstance(value, kind) or (isinstance(value, int) and isinstance(0.0, kind))
