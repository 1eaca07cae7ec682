"""Searches on a Ray cluster of three nodes, two of which see neither the project nor its files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import ROOT
from tests.a_cluster import Cluster, free_port
from tests.search.on_a_cluster import Search, asked_of, trials_of, until
from tune import cli, run
from tune.search import broadcast
from tune.search import cluster as joining
from tune.search.calibrate import Calibration
from tune.search.checkpoint_store import FolderStore
from tune.search.devices import Machine, Share, resolve
from tune.search.trial import Task
from tune.training import images, sources

# What may be wrong.


def test_what_is_no_cluster_is_told_in_seconds() -> None:
    with pytest.raises(ValueError, match=r"nothing answers at nowhere.invalid:6379"):
        joining.look("nowhere.invalid:6379")  # a name server may take its time
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"nothing answers at .*`ray start --head`"):
        joining.look(f"127.0.0.2:{free_port()}")
    with socket.socket() as silent:
        silent.bind(("127.0.0.2", 0))
        silent.listen()
        with pytest.raises(ValueError, match=r"is not a Ray cluster, or does not answer"):
            joining.look(f"127.0.0.2:{silent.getsockname()[1]}")
    assert time.monotonic() - began < 20, "Ray itself waits for minutes"


def test_auto_where_no_cluster_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*asked: object) -> str:
        raise ConnectionError

    monkeypatch.setattr(joining.services, "canonicalize_bootstrap_address", none)
    with pytest.raises(ValueError, match=r"--address auto: no Ray cluster runs on this machine; `ray start --head`"):
        joining.look("auto")


def test_a_trial_runs_on_one_node() -> None:
    small, large = Machine(2, 0, ()), Machine(8, 2, ("H100", "H100"))
    three = joining.Cluster(8, 2, ("three nodes", "H100", "H100"), (small, small, large))
    assert three.at_once(Share(1, 0.0)) == 12
    assert three.at_once(Share(3, 0.0)) == 2, "not 4: three cores of two nodes are of no use"
    assert three.at_once(Share(1, 0.25)) == 8
    assert resolve(three, None, None, space_gpus=0.5, space_cpus=4) == (Share(4, 0.5), True)
    with pytest.raises(ValueError, match=r"needs 9 CPU cores, but there are 8"):
        resolve(three, None, 9, space_gpus=0.5, space_cpus=4)
    apart = joining.Cluster(8, 1, ("two nodes", "H100"), (Machine(8, 0, ()), Machine(2, 1, ("H100",))))
    with pytest.raises(ValueError, match=r"No node has 4 CPU cores and 0.5 of a GPU; a trial runs on a single node"):
        resolve(apart, 0.5, 4, space_gpus=0.5, space_cpus=4)


SILENT = """
import time
from types import SimpleNamespace
from ray._private import worker
from tune.search import cluster
cluster.ASK_EVERY_S = cluster.SILENCE_S = 0.1
worker._global_node = SimpleNamespace(head=False, gcs_address="127.0.0.2:1")
with cluster.head_watched("How to go on."):
    time.sleep(60)
"""


def test_a_head_that_does_not_answer_leaves_the_terminal_with_its_cursor() -> None:
    reader, terminal = os.openpty()
    ended = subprocess.run([sys.executable, "-c", SILENT], stderr=terminal, timeout=50)
    assert ended.returncode == cli.FAILED
    said = os.read(reader, 1000).decode()
    expected = "failed: the head of the Ray cluster, 127.0.0.2:1, has not answered for 0.1 s. How to go on.\r\n"
    assert said == "\x1b[?25h" + expected
    os.close(reader)
    os.close(terminal)


# What travels.


@pytest.mark.usefixtures("one_ray")
def test_another_node_has_the_images_in_shared_memory_and_the_weights_in_its_own(
    synthetic_root: Path, tmp_path: Path
) -> None:
    arrow, weights = sources.prepare("synthetic", synthetic_root, "train"), tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    here = broadcast.broadcast(arrow, weights)
    assert (broadcast.images_of(arrow, here), broadcast.weights_of(weights, here)) == (arrow, weights)
    assert (broadcast.images_of(arrow, None), broadcast.weights_of(weights, None)) == (arrow, weights)
    away = replace(here, home="another")
    content, file = broadcast.images_of(arrow, away), images.read(arrow)
    assert isinstance(content, np.ndarray)
    assert not content.flags.owndata
    sent = images.read(content)
    assert torch.equal(sent.pixels, file.pixels)
    assert (sent.fingerprint, len(sent)) == (file.fingerprint, len(file))
    kept = broadcast.weights_of(weights, away)
    assert kept is not None
    assert kept.read_bytes() == b"weights"
    assert broadcast.weights_of(weights, away) == kept, "one a process"
    assert broadcast.weights_of(None, broadcast.broadcast(arrow, None)) is None


@pytest.mark.usefixtures("one_ray")
def test_a_trial_on_a_node_that_does_not_see_the_runs_folder_is_not_kept(synthetic_root: Path, tmp_path: Path) -> None:
    arrow = sources.prepare("synthetic", synthetic_root, "train")
    task = Task(arrow=arrow, val_fraction=0.1, split_seed=0, train_subset=None, weights=None, share=Share(1, 0.0),
                checkpoints=FolderStore(tmp_path / "checkpoints"), checkpoint_every_s=0.0)  # fmt: skip
    assert task.keeps(), "else a full disk would be passed over"
    away = replace(task, broadcast=replace(broadcast.broadcast(arrow, None), home="another"))
    assert not away.keeps()
    (tmp_path / "checkpoints").mkdir()
    assert away.keeps()


# A cluster.


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Cluster]:
    """A single node, which has a core."""
    running = Cluster(cpus=1, hidden=[tmp_path])
    try:
        running.start(0, Path("/"))
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def cluster(synthetic_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A core a node. In the two that are no head all folders of the project and of the test are others."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody hide folders from a process")
    hidden = [ROOT / "tune", ROOT / "cifar_models", synthetic_root, tmp_path_factory.mktemp("cluster")]
    running = Cluster(cpus=1, hidden=hidden)
    try:
        running.start(2, Path("/"))
        yield running
    finally:
        running.stop()


@pytest.mark.slow
def test_a_search_runs_on_every_node_and_loses_nothing_with_one(cluster: Cluster, synthetic_root: Path) -> None:
    """The last node is killed while each of the three trains."""
    search = Search(cluster, synthetic_root, "lost", "--max-epochs", "16")
    until(lambda: len(trials_of(cluster)) == 3 and search.told("epoch 2/") - search.told("epoch 16/") == 3)
    away = trials_of(cluster)["1"]
    code = away.environ()["PYTHONPATH"].split(":")[0]
    assert f"{cluster.temp}/1/" in code, "Ray's own folder on that node"
    assert (Path(f"/proc/{away.pid}/root{code}") / "tune" / "search" / "trial.py").is_file()
    opened = {mapped.path for mapped in away.memory_maps()}
    assert not {path for path in opened if path.endswith(".arrow")}, "its images lie in Ray's shared memory"
    seen = [Path(f"/proc/{cluster.nodes[1].pid}/root{folder}") for folder in cluster.hidden]  # it lives on
    cluster.kill_node(2)
    assert search.code() == cli.DONE, "".join(search.lines)

    rows = search.folder.read_rows("trials.parquet")
    assert [(row["status"], row["epochs"]) for row in rows] == [("finished", 16)] * 5
    notes = [row["error"] for row in rows if row["error"]]
    assert notes == ["tried again after: its node died or could not be reached"]
    epochs = [(row["trial_id"], row["epoch"]) for row in search.folder.read_rows("epochs.parquet")]
    assert sorted(epochs) == [(f"{trial:04d}", epoch) for trial in range(5) for epoch in range(1, 17)]
    assert not search.told("raylet"), "logs of Ray's in what the user reads"
    assert search.folder.read_json("experiment.json")["devices"] == ["Ray cluster of 3 nodes with 3 CPU cores"]
    assert not (search.folder.path / "checkpoints").exists()
    assert all([path.name for path in folder.iterdir()] == ["__init__.py"] for folder in seen)


@pytest.mark.starts_ray
def test_what_the_cluster_cannot_give_is_told_before_a_folder_is_made(
    head: Cluster, synthetic_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = asked_of(head, synthetic_root, "wide", "--cpus-per-trial", "2")
    assert cli.run(run.prepare, asked) == cli.WRONG_INPUT
    expected = "error: A trial needs 2 CPU cores, but there are 1; lower --cpus-per-trial.\n"
    assert capsys.readouterr().err == expected
    assert not (head.hidden[-1] / "wide").exists()
    monkeypatch.setattr(joining.services, "find_node_ids", lambda: {"0" * 56})
    with pytest.raises(ValueError, match=r"this machine is not a node of the cluster at .*ray start --address="):
        joining.look(head.address)
    monkeypatch.setattr(joining.ray, "__version__", "2.0.0")
    with pytest.raises(ValueError, match=r"runs Ray .* and Python .*, but this is Ray 2.0.0 and .*must be the same"):
        joining.look(head.address)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_trials_end_with_the_command(number: int, cluster: Cluster, synthetic_root: Path) -> None:
    search = Search(cluster, synthetic_root, f"ended{number}", "--max-epochs", "400")
    until(lambda: search.told("epoch 2/") >= 2)
    search.process.send_signal(number)
    assert search.code(15) == (cli.INTERRUPTED if number == signal.SIGINT else -number)
    until(lambda: not trials_of(cluster), 10)
    assert cluster.processes(), "the cluster is not ours to end"


@pytest.mark.slow
def test_a_share_is_measured_on_a_node(synthetic_root: Path, tmp_path: Path) -> None:
    wide = Cluster(cpus=2, hidden=[tmp_path])
    try:
        wide.start(0, Path("/"))
        search = Search(wide, synthetic_root, "measured", "--max-epochs", "1", "--trials", "1")
        assert search.code(120) == cli.DONE, "".join(search.lines)
    finally:
        wide.stop()
    found = Calibration.from_dict(search.folder.read_json("experiment.json")["calibration"])
    assert [item.packing.trials for item in found.measured] == [1, 2]
    assert found.of["device"] == "Ray cluster of 1 node with 2 CPU cores"


@pytest.mark.slow
def test_a_silent_head_ends_the_search_with_a_sentence(head: Cluster, synthetic_root: Path) -> None:
    search = Search(head, synthetic_root, "headless", "--max-epochs", "400")
    until(lambda: search.told("epoch 2/") >= 1)
    (gcs,) = [process for process in head.of_node(0) if process.name() == "gcs_server"]
    gcs.kill()
    assert search.code(70) == cli.FAILED
    assert "has not answered for 45 s. To resume: python -m tune.run --resume headless" in search.lines[-1]
    assert search.folder.read_rows("trials.parquet")
