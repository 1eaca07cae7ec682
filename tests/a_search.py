"""Settings of a search, for tests that need some."""

from __future__ import annotations

import dataclasses
from typing import Any

from tune.settings import Settings

SETTINGS = Settings(
    space="space.py", space_sha256="0" * 64, model="simple_cnn", data="synthetic", data_dir="data", train_subset=None,
    val_fraction=0.2, trials=2, max_epochs=4, time_budget_s=None, gpus_per_trial=0.0, cpus_per_trial=1,
    search="hyperopt", scheduler="asha", metric="val_acc", confirm=0, seeds=3, seed=3, name="run",
    storage="results", wandb="disabled", wandb_project="p", weights=None, warm_start=None, dashboard=False,
    address=None,
)  # fmt: skip


def settings(**changes: Any) -> Settings:
    """Those, with changes."""
    return dataclasses.replace(SETTINGS, **changes)
