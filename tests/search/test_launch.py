"""What a search does around Ray, which is not started here."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tests.a_search import settings
from tests.search.a_view import log, terminal
from tune.results import TRIALS, RunFolder, create
from tune.search import launch
from tune.search.history import History
from tune.search.live import LiveView
from tune.search.plain import PlainView
from tune.training.config import TrainConfig


def test_a_terminal_gets_the_picture_and_a_log_gets_lines() -> None:
    assert launch._view(terminal()) is LiveView
    assert launch._view(log()) is PlainView


def end(folder: RunFolder) -> None:
    """As a time budget ends a search of three trials; the last was stopped, and its checkpoint was not removed."""
    config = TrainConfig(model="simple_cnn", lr=0.1, batch_size=64, epochs=4).to_dict()
    values = {f"config.{name}": value for name, value in config.items()}
    ended = [("0000", "finished", 4), ("0001", "interrupted", 3), ("0002", "stopped", 1)]
    rows = [
        {"trial_id": trial_id, "status": status, "origin": "search", "epochs": epochs, "val_acc": 30.0} | values
        for trial_id, status, epochs in ended
    ]
    folder.write_table("trials.parquet", rows, TRIALS)
    (folder.path / "checkpoints").mkdir(exist_ok=True)
    for name in ("0001", "0002", "0000-seed4"):
        (folder.path / "checkpoints" / f"{name}.pt").touch()


@pytest.mark.parametrize("spent_s", [0.0, 9.0], ids=["in this session", "in an earlier one"])
def test_the_checkpoints_of_trials_that_a_budget_interrupted_outlive_the_reruns(
    spent_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed search with a larger budget goes on from them."""
    folder, left = create(tmp_path, "one"), list[set[str]]()
    if spent_s:
        end(folder)
    quiet: Any = SimpleNamespace(stop=lambda: None, write=lambda **more: None)
    monkeypatch.setattr(launch, "Experiment", lambda *given: quiet)
    for name in ("started_ray", "tracked"):
        monkeypatch.setattr(launch, name, lambda *given: nullcontext())
    monkeypatch.setattr(launch, "_search", lambda *given: end(folder))
    monkeypatch.setattr(
        launch, "_confirm", lambda *given: left.append({path.stem for path in folder.path.glob("checkpoints/*")})
    )
    plan: Any = SimpleNamespace(settings=settings(confirm=1, seeds=1, time_budget_s=5.0))
    launch.search(plan, folder, History(about={"spent_s": spent_s}), Console(quiet=True))
    assert left == [{"0001", "0000-seed4"}]
