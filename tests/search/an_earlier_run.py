"""An earlier run as it lies on the disk, and a search that starts from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ray import tune

from tests.a_search import settings
from tune.results import TRIALS, RunFolder, create
from tune.search import warm_start
from tune.search.warm_start import Taken
from tune.space import SearchSpace
from tune.training.config import TrainConfig

PARAMETERS: dict[str, Any] = {
    "lr": tune.loguniform(1e-3, 0.3),
    "batch_size": tune.choice([32, 64]),
    "momentum": 0.9,
    "schedule": tune.choice(
        [{"scheduler": "step", "gamma": tune.uniform(0.5, 0.9)}, {"scheduler": "cosine", "warmup": 0.1}]
    ),
}
COSINE = {"batch_size": 64, "scheduler": "cosine", "warmup": 0.1}
STEP = {"batch_size": 64, "scheduler": "step", "gamma": 0.8, "warmup": 0.0}
ASKED = settings(data="cifar100", max_epochs=4, seed=3, warm_start="one")


def space(**parameters: Any) -> SearchSpace:
    """That of PARAMETERS, with others in their place. Its points lie in all that are tested."""
    more = {"momentum": 0.9} | ({"dropout": 0.0} if "dropout" in parameters else {})
    return SearchSpace(
        model="simple_cnn",
        epochs=4,
        trials=4,
        parameters={name: value for name, value in (PARAMETERS | parameters).items() if value is not None},
        reference={"lr": 0.05} | more | COSINE,
        baselines=[{"lr": 0.06} | more | COSINE],
    )


def trial(number: int, val_acc: float | None, lr: float, status: str = "finished", **values: Any) -> dict[str, Any]:
    config = TrainConfig.from_dict({"model": "simple_cnn", "lr": lr, "epochs": 4, "seed": 3} | COSINE | values)
    about = {"trial_id": f"{number:04d}", "status": status, "origin": "search", "epochs": 4, "val_acc": val_acc}
    return about | {f"config.{name}": value for name, value in config.to_dict().items()}


FIVE = [
    trial(0, 20.0, 0.05),  # the reference
    trial(1, 30.0, 0.2),
    trial(2, 25.0, 0.01, **STEP),
    trial(3, 10.0, 0.002, status="stopped") | {"epochs": 2},
    trial(4, None, 0.3, status="diverged") | {"epochs": 1},
]


def leave(storage: Path, rows: list[dict[str, Any]], best: object = None, **others: Any) -> RunFolder:
    """An earlier run, as it lies on the disk."""
    folder = create(storage, "one")
    fingerprint = others.pop("fingerprint", "abc")
    asked = ASKED.to_dict() | {"warm_start": None} | others
    folder.write_json("experiment.json", {"settings": asked, "data_fingerprint": fingerprint})
    folder.write_table("trials.parquet", rows, TRIALS)
    folder.write_json("best.json", {} if best is None else {"trial_id": best})
    return folder


def take(folder: RunFolder, of: SearchSpace | None = None, **others: Any) -> Taken:
    """By the search ASKED, with `others`."""
    of = of or space()
    asked = dataclasses.replace(ASKED, **others)
    return warm_start.take(warm_start.read(folder, of.model), of, asked, "abc")


def ids(taken: Taken) -> list[str]:
    return [row["trial_id"] for row in taken.rows]


def first(taken: Taken) -> list[str]:
    return [row["trial_id"] for row in taken.rows if row["first"]]
