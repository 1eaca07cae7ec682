"""The folder of a search that was killed, as it lies on the disk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tune.results import EPOCHS, TRIALS, RunFolder
from tune.search.asha import Asha
from tune.training.config import TrainConfig

CONFIG = TrainConfig(model="simple_cnn", lr=0.1, batch_size=64, epochs=8)


def row(number: int, status: str, epochs: int, val_acc: float | None) -> dict[str, Any]:
    config = {f"config.{name}": value for name, value in (CONFIG.to_dict() | {"lr": 0.1 * (number + 1)}).items()}
    about = {"trial_id": f"{number:04d}", "status": status, "origin": "search", "epochs": epochs, "val_acc": val_acc}
    return about | config


def killed(path: Path) -> RunFolder:
    """As a kill -9 leaves it: 1 was told to stop, 2 and 5 ran, 4 had not been written down yet."""
    folder = RunFolder(path)
    asha = Asha(8, 1)
    for trial_id, value in [("0000", 20.0), ("0001", 10.0), ("0002", 30.0), ("0003", math.nan)]:
        asha.report(trial_id, 1, value)
    folder.write_json("rungs.json", asha.to_json())
    folder.write_json("best.json", {})
    about = {
        "weights_sha256": None,
        "settings": {},
        "data_fingerprint": "abc",
        "started": "then",
        "spent_s": 5.0,
        "repeats_refused": 2,
        "used_up": False,
    }
    folder.write_json("experiment.json", about | {"ended": None})
    rows = [
        row(0, "finished", 8, 40.0), row(1, "running", 1, 10.0), row(2, "running", 3, 33.0),
        row(3, "diverged", 1, None), row(5, "running", 0, None), row(6, "failed", 2, 12.0),
    ]  # fmt: skip
    folder.write_table("trials.parquet", rows, TRIALS)
    folder.write_table("epochs.parquet", [{"trial_id": "0000", "epoch": 1, "val_acc": 20.0}], EPOCHS)
    return folder
