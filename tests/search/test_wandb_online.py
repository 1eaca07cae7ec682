"""A whole search whose W&B server takes connections and never answers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.survival import search_process
from tests.a_deaf_server import KEY, DeafServer
from tests.wandb_file import read_runs
from tune import cli, tracking
from tune.results import RunFolder

pytestmark = [pytest.mark.starts_ray, pytest.mark.slow]

SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=1, trials=2, cpus_per_trial=1,
    parameters={"lr": tune.loguniform(1e-2, 0.3), "batch_size": 50},
    reference={"lr": 0.1, "batch_size": 50},
)
"""

OF_ITS_OWN_S = 150
"""What Ray and two trials may take on a busy machine."""


def test_a_deaf_server_ends_no_search_and_learns_no_key(
    deaf_server: DeafServer, synthetic_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "space.py").write_text(SPACE)
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-m", "tune.run", "--space", tmp_path / "space.py", "--data", "synthetic"]
    command += ["--data-dir", synthetic_root, "--storage", tmp_path, "--name", "deaf", "--train-subset", "500"]
    command += ["--wandb", "online", "--gpus-per-trial", "0", "--no-dashboard"]
    began = time.monotonic()
    with TemporaryDirectory() as logs:  # pytest's folders are too deep for a socket of Ray's
        own = {"HOME": str(tmp_path / "home"), "RAY_TMPDIR": logs}
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=os.environ | own, timeout=220)
        took = time.monotonic() - began
        kept = deaf_server.key_in(tmp_path, Path(logs))
    assert (done.returncode, done.stderr) == (cli.DONE, "")
    assert took < tracking.END_TIMEOUT_S + OF_ITS_OWN_S
    assert deaf_server.asked()

    folder = RunFolder(tmp_path / "deaf")
    rows = folder.read_rows("trials.parquet")
    assert [row["trial_id"] for row in rows] == ["0000", "0001"]
    assert {row["status"] for row in rows} <= {"finished", "stopped"}
    assert folder.read_json("best.json")["trial_id"] in ("0000", "0001")
    assert folder.read_json("experiment.json")["ended"]
    assert done.stdout.count("Warning: W&B") == 1
    assert f"What it lacks: {tracking.sync_command(folder)}" in done.stdout
    assert "Next: python -m tune.finalize" in done.stdout
    assert len(read_runs(folder.path)) == 2, "what the server did not take lies here"

    assert KEY not in done.stdout
    assert kept == []
    assert search_process.left_behind(str(folder.path), within_s=30) == []
