"""Counts how often a run's test set was opened. The record is written before each look and survives --overwrite."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from tune import results
from tune.results import RunFolder

NAME = "test_looks.json"


def holds_more(final: Path) -> bool:
    """Whether the folder `final/` holds anything besides this record."""
    return final.is_dir() and any(path.name != NAME for path in final.iterdir())


def look(final: RunFolder, training_id: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Records that the test set is about to be opened; returns all looks of this run, newest last.

    A training that is tested again after an interruption keeps its `training_id` and counts once.
    """
    looks: list[dict[str, Any]] = []
    with suppress(ValueError):
        looks = final.read_json(NAME)["looks"]
    if not looks or looks[-1].get("training_id") != training_id:
        looks.append({"at": results.now(), "training_id": training_id, "request": request})
    final.write_json(NAME, {"looks": looks})
    return looks
