"""The duration of a search, which outlives its process."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.a_search import settings
from tune.results import create
from tune.search.experiment import Experiment


def test_a_budget_counts_earlier_sessions_and_no_reruns(tmp_path: Path) -> None:
    machine = SimpleNamespace(names=["CPU"])
    plan: Any = SimpleNamespace(
        settings=settings(), machine=machine, calibration=None, data_fingerprint=None, weights_sha256=None
    )
    folder = create(tmp_path, "one")
    experiment = Experiment(folder, plan, {"spent_s": 100.0}, time.monotonic() - 50)
    assert experiment.left(None) is None
    assert experiment.left(1000.0) == pytest.approx(850, abs=30)
    assert experiment.left(120.0) == 1, "Ray takes 0 for no budget"
    experiment.tick()
    assert folder.read_json("experiment.json")["spent_s"] == pytest.approx(150, abs=30), "a crash may come now"
    experiment.stop()
    experiment.write()
    assert experiment.left(1000.0) == 1000 - folder.read_json("experiment.json")["spent_s"]
