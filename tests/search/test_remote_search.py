"""Searches whose runs lie in an object store: real Ray, real trials, an S3 server of the tests' own."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray._raylet import PlacementGroupID
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

from tests.an_s3 import Bucket, served
from tests.small_data import small
from tune import cli, finalize, run
from tune.results import Row
from tune.search import launch, mirror

pytestmark = pytest.mark.usefixtures("one_ray")

SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=4, trials=2,
    parameters={"lr": tune.loguniform(1e-2, 0.3), "batch_size": tune.choice([32, 64])},
    reference={"lr": 0.1, "batch_size": 64},
)
"""


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def arguments(tmp_path: Path, small_root: Path, in_turns: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a search; without --storage."""
    monkeypatch.setattr(mirror, "UPLOAD_EVERY_S", 0.2)
    monkeypatch.setattr(launch, "REMOTE_CHECKPOINT_EVERY_S", 0.0)
    (tmp_path / "space.py").write_text(SPACE)
    given = ["--space", str(tmp_path / "space.py"), "--data", "synthetic", "--data-dir", str(small_root)]
    given += ["--train-subset", "500", "--val-fraction", "0.1", "--search", "random", "--scheduler", "none"]
    return [*given, "--gpus-per-trial", "0", "--cpus-per-trial", "1", "--wandb", "disabled", "--no-dashboard"]


@contextmanager
def as_soon_as(there: Callable[[], bool], act: Callable[[], None]) -> Iterator[None]:
    """Does it once while the block runs."""
    over = threading.Event()

    def go() -> None:
        while not over.is_set():
            if there():
                return act()
            time.sleep(0.05)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def give_back() -> None:
    """Ends what an interrupted search leaves of its trials. A command would have ended its Ray, and them with it."""
    for number in placement_group_table():
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(number))))


def rows(files: dict[str, bytes], name: str) -> list[Row]:
    found: list[Row] = pq.read_table(pa.BufferReader(files[name])).to_pylist()
    return found


@pytest.mark.slow  # test_mirror.py and test_storage.py hold its parts
def test_a_search_goes_from_machine_to_machine_with_nothing_but_its_address(
    arguments: list[str], small_root: Path, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Ctrl-C on the first, gone on with on the second, its winner trained on the third."""
    uri = s3.uri("travels")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    with as_soon_as(
        lambda: "one/checkpoints/0000.pt" in s3.names("travels"), lambda: os.kill(os.getpid(), signal.SIGINT)
    ):
        assert cli.run(run.prepare, [*arguments, "--storage", uri, "--name", "one"]) == cli.INTERRUPTED
    give_back()
    said = capsys.readouterr()
    assert said.err == ""
    assert f"Results: s3://bucket/travels/one?endpoint_override={s3.endpoint}&scheme=http (trials" in said.out
    assert f"Interrupted. To resume: python -m tune.run --resume one --storage '{uri}'\n" in said.out
    left = s3.files("travels/one")
    assert {row["status"] for row in rows(left, "trials.parquet")} <= {"interrupted", "running"}
    assert left.keys() >= {"experiment.json", "epochs.parquet", "best.json", "rungs.json", "checkpoints/0000.pt"}
    assert b"testing" not in left["experiment.json"], "credentials"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    assert cli.run(run.prepare, ["--resume", "one", "--storage", uri, "--trials", "3"]) == cli.DONE
    again = re.findall(r"trial (\d+) epoch (\d)/4", capsys.readouterr().out)
    assert ("0000", "1") not in again, "not from the checkpoint"
    files = s3.files("travels/one")
    assert [(row["status"], row["epochs"]) for row in rows(files, "trials.parquet")] == [("finished", 4)] * 3
    epochs = sorted((row["trial_id"], row["epoch"]) for row in rows(files, "epochs.parquet"))
    assert epochs == [(f"{number:04d}", epoch) for number in range(3) for epoch in range(1, 5)]
    assert not [name for name in files if name.startswith("checkpoints")]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third"))
    assert cli.run(finalize.prepare, ["--storage", uri, "--epochs", "1", "--ood-dir", str(small_root)]) == cli.DONE
    final = {"epochs.parquet", "metrics.json", "model.pt", "submission_ood.csv", "test_looks.json",
             "ood_predictions.parquet", "test_predictions.parquet"}  # fmt: skip
    assert {name.removeprefix("final/") for name in s3.names("travels/one") if "/" in name} == final
    assert "Model: s3://bucket/travels/one/final/model.pt?endpoint" in capsys.readouterr().out
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "fourth"))
    assert cli.run(finalize.prepare, [uri.replace("travels", "travels/one")]) == cli.WRONG_INPUT
    assert "already exists; --overwrite replaces it" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_that_goes_away_does_not_end_the_search(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with served("leaves") as s3:
        uri = s3.uri("runs")
        stopped = threading.Event()

        def stop() -> None:
            s3.stop()
            stopped.set()

        with as_soon_as(lambda: "one/experiment.json" in s3.names("runs"), stop):
            assert cli.run(run.prepare, [*arguments, "--storage", uri, "--name", "one"]) == cli.FAILED
        assert stopped.is_set()
        said = capsys.readouterr()
        assert "2 trials: 2 finished." in said.out
        assert said.out.count("Warning: ") == 1
        assert re.search(r"cannot be used \(.*connect to ", said.out)
        assert re.fullmatch(
            r"failed: s3://leaves/runs/one\S* cannot be used \(.*connect to .*\); "
            rf"the search's results are in {tmp_path}/cache/\S+/one, but not all were uploaded\. "
            rf"To resume: python -m tune\.run --resume one --storage '{re.escape(uri)}'\n",
            said.err,
        )
        s3.start()
        before = rows(s3.files("runs/one"), "epochs.parquet")
        assert cli.run(run.prepare, ["--resume", "one", "--storage", uri]) == cli.DONE
        assert "All 2 trials have ended" in capsys.readouterr().out
        assert len(before) < len(rows(s3.files("runs/one"), "epochs.parquet")) == 8, "what lay here was not uploaded"
