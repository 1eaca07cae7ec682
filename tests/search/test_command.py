"""The command as a user starts it, with Ray, dashboard and W&B of its own, ended by Ctrl-C: one search, five looks."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from benchmarks.survival import search_process
from tests.a_deaf_server import KEY
from tests.wandb_file import read_runs
from tune import cli
from tune.results import RunFolder
from tune.training.config import TrainConfig

pytestmark = [pytest.mark.starts_ray, pytest.mark.slow]

SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=50, trials=50, cpus_per_trial=1,
    parameters={"lr": tune.loguniform(1e-2, 0.3), "batch_size": 50},
    reference={"lr": 0.1, "batch_size": 50},
)
"""


@dataclass(frozen=True)
class Dashboard:
    """What a person with the token sees there, while trials run."""

    without_token: int
    """The HTTP status."""

    workers: list[str]
    """Names of the node's processes."""

    actors: list[str]
    """Names of their classes."""


@dataclass(frozen=True)
class Ended:
    """What is left of the command."""

    folder: RunFolder
    code: int
    out: str
    err: str
    addresses: set[str]
    """On which it listened."""

    dashboard: Dashboard

    home: Path
    logs: Path
    """Of Ray."""


@pytest.fixture(scope="module")
def ended(synthetic_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """Ctrl-C after its first epoch. It has a W&B key, and is told of a cluster that is not there."""
    here = tmp_path_factory.mktemp("command")
    (here / "space.py").write_text(SPACE)
    command = [sys.executable, "-m", "tune.run", "--space", here / "space.py", "--data", "synthetic"]
    command += ["--data-dir", synthetic_root, "--storage", here, "--name", "stopped", "--train-subset", "500"]
    command += ["--wandb", "offline", "--gpus-per-trial", "0"]
    (here / "home").mkdir()
    with TemporaryDirectory() as logs:  # pytest's folders are too deep for a socket of Ray's
        own = {"WANDB_API_KEY": KEY, "HOME": str(here / "home"), "RAY_TMPDIR": logs, "RAY_ADDRESS": "127.0.0.1:1"}
        own["SEARCH"] = str(here / "stopped")
        process = subprocess.Popen(
            [*map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | own,
        )
        assert process.stdout is not None
        before = ""
        for line in process.stdout:
            before += line
            if "epoch 1/50" in line:
                break
        addresses = listening(own["SEARCH"])
        (url,) = re.findall(r"Ray dashboard: (http://127\.0\.0\.1:\d+) \(its token: `ray get-auth-token`\)", before)
        dashboard = seen(url, (here / "home" / ".ray" / "auth_token").read_text().strip())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=100)
        folder = RunFolder(here / "stopped")
        yield Ended(folder, process.returncode, before + out, err, addresses, dashboard, here / "home", Path(logs))


def listening(name: str) -> set[str]:
    """The addresses on which the processes of a search listen."""
    found = set()
    for process in search_process.processes(name):
        with suppress(psutil.Error):
            found |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return found


def seen(url: str, token: str) -> Dashboard:
    """Looks until the names of trials are there: the dashboard asks its nodes every few seconds."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/nodes?view=summary", timeout=10)
    refused.value.close()

    def get(path: str) -> Any:
        asked = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)["data"]

    (node,) = get("/nodes?view=summary")["summary"]
    deadline = time.monotonic() + 30
    while True:
        found = get(f"/nodes/{node['raylet']['nodeId']}")["detail"]
        workers = [worker["cmdline"][0] for worker in found["workers"] if worker["cmdline"]]
        if any("simple_cnn" in name for name in workers) or time.monotonic() > deadline:
            return Dashboard(refused.value.code, workers, [a["actorClass"] for a in found["actors"].values()])
        time.sleep(0.5)


def test_an_interrupt_ends_with_130_whole_results_and_the_command_that_goes_on(ended: Ended) -> None:
    assert ended.code == cli.INTERRUPTED, ended.err
    assert ended.err == ""
    assert "Interrupted. To resume: python -m tune.run --resume stopped --storage " in ended.out
    assert "interrupted after epoch" in ended.out
    rows = ended.folder.read_rows("trials.parquet")
    assert {"interrupted"} <= {row["status"] for row in rows} <= {"interrupted", "stopped", "diverged"}
    assert search_process.left_behind(str(ended.folder.path), within_s=60) == []


def test_wandb_keeps_one_offline_run_a_trial_under_the_reports_names(ended: Ended) -> None:
    rows = ended.folder.read_rows("epochs.parquet")
    trials = {row["trial_id"]: row for row in ended.folder.read_rows("trials.parquet")}
    runs = read_runs(ended.folder.path)
    assert runs.keys() == trials.keys()
    for trial_id, run in runs.items():
        assert (run.group, run.job_type, run.name) == ("stopped", "trial", f"simple_cnn-{trial_id}")
        assert run.ended, "the logger was killed"
        assert run.tags == [trials[trial_id]["status"]]
        config = {name: trials[trial_id][f"config.{name}"] for name in TrainConfig.fields()}
        assert run.config.items() >= (config | {"origin": trials[trial_id]["origin"]}).items()
        logged = [(row["epoch"], row["val_acc"]) for row in run.history if "val_acc" in row]
        assert logged == [(row["epoch"], row["val_acc"]) for row in rows if row["trial_id"] == trial_id]
    run = max(runs.values(), key=lambda run: len(run.history))
    names = {name for row in run.history for name in row}
    assert {"train_loss", "val_loss", "train_acc", "val_acc", "lr", "batch_loss", "epoch"} <= names
    assert run.axes["batch_loss"] == "step"
    assert {run.axes[name] for name in ("train_loss", "val_loss", "train_acc", "val_acc", "lr")} == {"epoch"}
    points = [row["step"] for row in run.history if "batch_loss" in row]
    assert points == sorted(set(points))
    assert points[-1] == sum("epoch" in row for row in run.history) * (500 // 50)


def test_the_dashboard_asks_for_its_token_and_names_the_trials(ended: Ended) -> None:
    assert ended.dashboard.without_token == 401
    trials = [name for name in ended.dashboard.workers if name.startswith("ray::Trial simple_cnn-")]
    assert trials, ended.dashboard.workers
    assert {name.rpartition("-")[2] for name in trials} <= {
        row["trial_id"] for row in ended.folder.read_rows("trials.parquet")
    }
    assert "Trial" in ended.dashboard.actors


def test_ray_listens_to_this_machine_alone(ended: Ended) -> None:
    assert ended.addresses, "the dashboard at least"
    assert all(ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback for address in ended.addresses)


def test_neither_the_wandb_key_nor_rays_token_lies_in_a_file(ended: Ended) -> None:
    kept = ended.home / ".ray" / "auth_token"
    token = kept.read_text().strip()
    assert len(token) > 20
    files = [path for top in (ended.folder.path, ended.home, ended.logs) for path in top.rglob("*") if path.is_file()]
    assert sum(path.suffix in (".log", ".out", ".err") for path in files) > 10, "Ray's logs are among them"
    for secret in (KEY, token):
        assert secret not in ended.out
        assert [path for path in files if secret.encode() in path.read_bytes() and path != kept] == []
