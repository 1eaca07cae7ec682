"""What is uploaded of a search, when, in which order, and what is said when it cannot be. No Ray."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.an_s3 import Bucket, served
from tune import remote, storage
from tune.files import Unwritable
from tune.remote import RemoteFolder
from tune.results import RunFolder
from tune.search import mirror
from tune.search.mirror import Mirror, mirrored
from tune.search.watchdog import RayDied


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mirror, "UPLOAD_EVERY_S", 0.0)
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def uri(s3: Bucket, request: pytest.FixtureRequest) -> str:
    return s3.uri(request.node.name.partition("[")[0])


def begun(uri: str) -> RunFolder:
    """A search that has begun."""
    folder = storage.resolve(uri).create("one")
    for name in reversed(storage.MIRRORED):
        (folder.path / name).write_text(f"first {name}")
    return folder


def replace(folder: RunFolder, name: str, text: str) -> None:
    (folder.path / "new").write_text(text)
    (folder.path / "new").replace(folder.path / name)


def texts(s3: Bucket, folder: RunFolder) -> dict[str, str]:
    assert folder.remote is not None
    return {name: content.decode() for name, content in s3.files(folder.remote.path.partition("/")[2]).items()}


def until_done(listener: Any) -> None:
    while listener._upload is not None and not listener._upload.done():
        time.sleep(0.01)


def test_what_has_changed_is_uploaded_in_the_journals_order(
    uri: str, s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, written = begun(uri), []
    write = RemoteFolder.write

    def noted(there: RemoteFolder, name: str, content: bytes) -> None:
        written.append(name)
        write(there, name, content)

    monkeypatch.setattr(RemoteFolder, "write", noted)
    with mirrored(folder, Console()) as (listener,):
        listener.tick()
        until_done(listener)
        assert written == list(storage.MIRRORED)
        assert written[-1] == "experiment.json", "it makes the folder a run"
        del written[:]
        replace(folder, "trials.parquet", "later")
        replace(folder, "epochs.parquet", "later")
        listener.tick()
        until_done(listener)
        assert written == ["epochs.parquet", "trials.parquet"]
        listener.tick()
        until_done(listener)
        assert written == ["epochs.parquet", "trials.parquet"]
        replace(folder, "best.json", "last")
        (folder.path / "wandb" / "offline").mkdir(parents=True)
        (folder.path / "wandb" / "offline" / "run").write_text("w")
        (folder.path / "wandb" / "latest").symlink_to("offline")
        (folder.path / "ray").mkdir()
        (folder.path / "ray" / "log").touch()
    there = texts(s3, folder)
    assert (there["trials.parquet"], there["best.json"], there["wandb/offline/run"]) == ("later", "last", "w")
    assert there.keys() == {*storage.MIRRORED, "wandb/offline/run"}


def test_what_is_uploaded_is_of_one_moment(uri: str, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(uri)
    write = RemoteFolder.write

    def slow(there: RemoteFolder, name: str, content: bytes) -> None:
        replace(folder, "rungs.json", "of a later moment")  # the journal writes on while the network is busy
        write(there, name, content)

    listener = Mirror(folder, folder.remote, Console())
    monkeypatch.setattr(RemoteFolder, "write", slow)
    listener.tick()
    until_done(listener)
    assert texts(s3, folder)["rungs.json"] == "first rungs.json"
    monkeypatch.undo()
    listener.finish()
    assert texts(s3, folder)["rungs.json"] == "of a later moment"


def test_of_a_search_that_has_not_begun_nothing_is_uploaded(uri: str, s3: Bucket) -> None:
    folder = begun(uri)
    (folder.path / "experiment.json").unlink()
    (folder.path / "wandb").mkdir()
    (folder.path / "wandb" / "run").touch()
    with mirrored(folder, Console()) as (listener,):
        listener.tick()
    assert texts(s3, folder) == {}


def test_a_copy_that_is_gone_on_with_is_an_origin(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(uri)
    folder.write_json("experiment.json", {"started": "now"})
    with mirrored(folder, Console()):
        pass
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    other = storage.resolve(uri).find("one")
    other.write_json("experiment.json", {"started": "now", "spent_s": 5.0})
    assert storage.resolve(uri).find("one").read_json("experiment.json") == {"started": "now"}, "a mere copy"
    Mirror(other, other.remote, Console())
    other.write_json("experiment.json", {"started": "now", "spent_s": 5.0})
    assert storage.resolve(uri).find("one").read_json("experiment.json")["spent_s"] == 5.0


ENDS = [None, KeyboardInterrupt(), RayDied("Ray's raylet has died"), Unwritable("disk full")]


@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_an_upload_that_fails_is_warned_of_once_and_told_in_the_end(end: BaseException | None) -> None:
    out = io.StringIO()
    with served("gone") as s3:
        folder = begun(s3.uri(f"on-port-{s3.port}"))
    with pytest.raises(Unwritable) as caught:
        go_on_without(folder, Console(file=out, width=500), end)
    assert out.getvalue().count("Warning") == out.getvalue().count("\n") == 1
    assert "connect to " in out.getvalue()
    assert f"the search's results are in {folder.path}, but not all were uploaded" in str(caught.value)
    if str(end or ""):
        assert str(caught.value).startswith(f"{end}; s3://gone")


def test_a_mistake_of_ours_is_not_taken_for_the_networks() -> None:
    with served("gone") as s3:
        folder = begun(s3.uri(f"mistaken-on-port-{s3.port}"))
    with pytest.raises(KeyError):
        go_on_without(folder, Console(file=io.StringIO()), KeyError("a mistake"))


def go_on_without(folder: RunFolder, console: Console, end: BaseException | None) -> None:
    with mirrored(folder, console) as (listener,):
        for _ in range(3):
            listener.tick()
            until_done(listener)
        listener.epoch_ended("0000", {"checkpoint_late": "s3://gone does not answer"})
        listener.epoch_ended("0000", {"checkpoint_late": ""})
        if end is not None:
            raise end
