"""How often a run's test set was looked at: written down before each look, and kept whatever else is removed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from tune import results
from tune.results import RunFolder

NAME = "test_looks.json"


def holds_more(final: Path) -> bool:
    """Whether a folder `final/` holds anything beside the looks."""
    return final.is_dir() and any(path.name != NAME for path in final.iterdir())


def look(final: RunFolder, training_id: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Writes down that the test set is opened, before it is; returns all times that it was, for this run.

    The same training, tested again after an interruption, says the same, and so counts once.
    """
    looks: list[dict[str, Any]] = []
    with suppress(ValueError):
        looks = final.read_json(NAME)["looks"]
    if not looks or looks[-1].get("training_id") != training_id:
        looks.append({"at": results.now(), "training_id": training_id, "request": request})
    final.write_json(NAME, {"looks": looks})
    return looks
