"""The logger's process when much goes wrong: it says the first problem, and goes on."""

from __future__ import annotations

import time
from pathlib import Path

from tests.a_search import settings
from tests.wandb_file import read_run
from tune import results, tracking
from tune.tracking import opened


def test_five_thousand_problems_do_not_fill_its_pipe(tmp_path: Path) -> None:
    folder = results.create(tmp_path, "run")
    said: list[str] = []
    with opened("offline", settings(name="run"), folder, said.append) as tracker:
        tracker.start("one", "0000", "trial", {})
        for number in range(5000):
            tracker.log_artifact("one", "model", "model", [tmp_path / f"not there {number}.pt"])
        tracker.log("one", [{"epoch": 1, "val_acc": 10.0}])
        tracker.end("one", "finished")
        began = time.monotonic()
    assert time.monotonic() - began < tracking.END_TIMEOUT_S, "it was not killed"
    told = [sentence for sentence in said if sentence.startswith("Warning:")]
    assert len(told) == 1
    assert told[0].startswith("Warning: W&B failed with ")
    assert "not there 0.pt" in told[0]
    (path,) = folder.path.glob("wandb/offline-run-*/*.wandb")
    run = read_run(path)
    assert (run.tags, run.ended, run.artifacts) == (["finished"], True, [])
    assert run.history[-1]["val_acc"] == 10
