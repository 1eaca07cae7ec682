"""Counts how often a run's test set was opened. The record is written before each look and survives --overwrite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tune import results
from tune.results import PAGE, RunFolder

NAME = "test_looks.json"


def holds_more(final: Path) -> bool:
    """Whether the folder `final/` holds anything besides this record."""
    return final.is_dir() and any(path.name != NAME for path in final.iterdir())


def so_far(final: RunFolder) -> list[dict[str, Any]]:
    """All looks of this run, newest last. ValueError if the record is damaged: the count would begin anew unnoticed."""
    if not os.path.lexists(final.path / NAME):
        return []
    looks = final.read_json(NAME).get("looks")
    if not isinstance(looks, list) or not all(isinstance(one, dict) for one in looks):
        raise ValueError(f"{final.path / NAME} is damaged: it holds no list of looks at the test set. {PAGE}")
    return looks


def look(final: RunFolder, training_id: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Records that the test set is about to be opened; returns all looks of this run, newest last.

    A training that is tested again after an interruption keeps its `training_id` and counts once.
    """
    looks = so_far(final)
    if not looks or looks[-1].get("training_id") != training_id:
        looks.append({"at": results.now(), "training_id": training_id, "request": request})
    final.write_json(NAME, {"looks": looks})
    return looks
