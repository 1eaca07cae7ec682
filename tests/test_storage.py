"""Where runs lie: what --storage may name, and a run there and back through a store of S3's kind."""

from __future__ import annotations

import json
import os
import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.an_s3 import Bucket
from tune import remote, storage
from tune.remote import Unreachable
from tune.results import RunFolder, lock
from tune.storage import Storage, resolve


@pytest.fixture(autouse=True)
def a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    return tmp_path / "cache"


@pytest.fixture
def uri(s3: Bucket, request: pytest.FixtureRequest) -> str:
    """A folder of this test's own."""
    return s3.uri(f"{request.node.name.partition('[')[0]}")


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str = "other") -> None:
    """From now on this is another machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))


def leave(folder: RunFolder, **about: Any) -> RunFolder:
    """A run there, as another machine has left it."""
    assert folder.remote is not None
    content = {"started": "2026-01-01T00:00:00Z"} | about
    folder.remote.write("trials.parquet", b"of " + json.dumps(content).encode())
    folder.remote.write("experiment.json", json.dumps(content).encode())
    return folder


# What it may name.


@pytest.mark.parametrize("given", ["results", "/mnt/nfs/runs", "./s3", "a:b"])
def test_a_folder_is_a_folder(given: str) -> None:
    assert resolve(given) == Storage(Path(given))


def test_a_files_uri_is_a_folder(tmp_path: Path) -> None:
    assert resolve(f"file://{tmp_path}") == Storage(tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nope://bucket/runs", "cannot be used (Unrecognized filesystem type"),
        ("s3:/bucket/runs", "cannot be used (Missing bucket name"),
        ("s3://bucket/my runs", "cannot be used (Cannot parse URI"),
        ("s3://bucket/runs?colour=red", "Unexpected query parameter in S3 URI: 'colour'"),
        ("s3://bucket/runs?endpoint_override=127.0.0.1:9&scheme=http", "check the address, the network, and the cred"),
        ("s3://bucket/runs?endpoint_override=no.such.host.invalid", "resolve host"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_at_once(given: str, words: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=r".") as caught:
        resolve(given)
    assert words in str(caught.value)
    assert str(caught.value).startswith(given)
    assert time.monotonic() - began < 5


def test_a_bucket_that_is_not_there_is_named(s3: Bucket) -> None:
    with pytest.raises(ValueError, match="there is no bucket nowhere; create it first"):
        resolve(s3.uri("runs").replace("bucket", "nowhere"))


def test_a_file_is_no_storage(s3: Bucket, uri: str) -> None:
    there = resolve(uri).remote
    assert there is not None
    there.write("file", b"x")
    with pytest.raises(ValueError, match="is a file; give a folder"):
        resolve(remote.join(uri, "file"))


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.socket() as waiting:
        waiting.bind(("127.0.0.1", 0))
        waiting.listen()
        yield f"s3://bucket/runs?endpoint_override=127.0.0.1:{waiting.getsockname()[1]}&scheme=http"


def test_a_server_that_says_nothing_is_not_waited_for(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SILENT_S", 1)
    monkeypatch.setattr(remote, "ATTEMPTS", 2)
    began = time.monotonic()
    with pytest.raises(ValueError, match="cannot be used"):
        resolve(silent)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "given",
    [
        "s3://AKIA:hunter2@bucket/runs",
        "s3://hunter2@bucket/runs",
        "hdfs://me:hunter2@host/runs",
        "abfs://:hunter2@account/runs",
        "abfs://box@account.dfs.core.windows.net/runs?client_secret=hunter2",
        "s3://bucket/runs?access_key=hunter2&secret_key=hunter2",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(ValueError, match=r"The address holds credentials.*environment") as caught:
        resolve(given)
    assert "hunter2" not in str(caught.value)


def test_an_address_in_the_environment_is_used(s3: Bucket, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(resolve(uri).folder("one"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3.endpoint}")
    found = resolve(uri.partition("?")[0])
    assert found.find("one").read_json("experiment.json")["started"] == "2026-01-01T00:00:00Z"
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://localhost:{s3.port}")
    assert resolve(uri.partition("?")[0]).root != found.root, "another server is another store"


@pytest.mark.parametrize(
    "given", ["s3://b/p", "s3://b/p/", "s3://b/p?endpoint_override=h:1&scheme=http", "gs://b/p?a=b"]
)
@pytest.mark.parametrize("name", ["one", "my run", "50%"])
def test_the_address_of_a_run_leads_back(given: str, name: str) -> None:
    above, last = remote.split(remote.join(given, name))
    assert last == name
    assert above.replace("/?", "?").rstrip("/") == given.replace("/?", "?").rstrip("/")


# A run there.


def test_a_name_is_taken_once_wherever_one_stands(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = resolve(uri).create("one")
    assert made.path.is_dir()
    assert made.address == made.place == remote.join(uri, "one")
    for machine in ("here", "there"):
        if machine == "there":
            elsewhere(monkeypatch, tmp_path)
        for attempt in (resolve(uri).create, resolve(uri).check_free):
            with pytest.raises(ValueError, match=r"one\S* already exists; give another --name"):
                attempt("one")
    resolve(uri).check_free("two")
    assert not (tmp_path / "other").exists(), "a check writes nothing"


def test_a_run_is_found_by_name_and_by_address_and_the_newest_without_either(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = resolve(uri)
    with pytest.raises(ValueError, match=r"There is no run in s3://.*start one with"):
        runs.find(None)
    leave(runs.folder("old"))
    leave(runs.folder("new"), started="2026-02-01T00:00:00Z")
    resolve(uri).create("no run yet")
    assert runs.find(None).name == "new"
    assert runs.find("old").read_json("experiment.json")["started"] == "2026-01-01T00:00:00Z"
    assert Storage(tmp_path).find(remote.join(uri, "old")).address == remote.join(uri, "old")
    assert {folder.name for folder, _ in runs.runs()} == {"old", "new"}
    for wrong in ("two", "", ".", "no run yet", "a/b"):
        with pytest.raises(ValueError, match="There is no run"):
            runs.find(wrong)
    local = tmp_path / "local"
    local.mkdir()
    (local / "experiment.json").write_text("{}")
    assert runs.find(str(local)) == RunFolder(local)


def test_what_lies_there_is_fetched_again_when_it_has_gone_on(uri: str) -> None:
    runs = resolve(uri)
    leave(runs.folder("one"), spent_s=1.0)
    assert runs.find("one").read_json("experiment.json")["spent_s"] == 1.0
    leave(runs.folder("one"), spent_s=2.0)
    assert runs.find("one").read_json("experiment.json")["spent_s"] == 2.0
    assert (runs.find("one").path / "trials.parquet").read_bytes().startswith(b"of ")


def searched_here(uri: str, **about: Any) -> RunFolder:
    """A run of this machine, whose mirror is behind."""
    folder = resolve(uri).create("one")
    leave(folder, spent_s=1.0)
    folder.write_json("experiment.json", {"started": "2026-01-01T00:00:00Z", "spent_s": 9.0} | about)
    return folder


def test_what_was_not_uploaded_is_not_lost(uri: str) -> None:
    searched_here(uri)
    assert resolve(uri).find("one").read_json("experiment.json")["spent_s"] == 9.0


def test_what_has_gone_on_elsewhere_counts(uri: str) -> None:
    folder = searched_here(uri, resumed=["1"])
    for lives, spent in ((["1"], 9.0), (["1", "2"], 1.0)):
        leave(folder, spent_s=1.0, resumed=lives)
        assert resolve(uri).find("one").read_json("experiment.json")["spent_s"] == spent


def test_a_run_that_was_never_uploaded_is_found_here(uri: str) -> None:
    folder = resolve(uri).create("one")
    folder.write_json("experiment.json", {"spent_s": 9.0})
    assert resolve(uri).find("one").read_json("experiment.json")["spent_s"] == 9.0


def test_a_folder_that_is_worked_in_is_left_alone(uri: str) -> None:
    folder = searched_here(uri)
    leave(folder, started="2026-05-05T00:00:00Z")
    mine = lock(folder)
    assert resolve(uri).find("one").read_json("experiment.json")["spent_s"] == 9.0
    mine.release()
    assert resolve(uri).find("one").read_json("experiment.json")["started"] == "2026-05-05T00:00:00Z"


# Files there.


def test_a_folder_there_travels_to_another_process(uri: str) -> None:
    there = resolve(uri).folder("one").remote
    assert there is not None
    assert hash(there) == hash(pickle.loads(pickle.dumps(there)))
    pickle.loads(pickle.dumps(there)).write("deep/er", b"content")
    assert there.read("deep/er") == b"content"
    there.delete("deep/er")
    there.delete("deep/er")
    assert there.read("deep/er") is None
    assert there.files() == {}


def test_the_patience_of_another_process_has_an_end_too() -> None:
    there = remote.connect("s3://bucket/runs?endpoint_override=127.0.0.1:9&scheme=http")
    began = time.monotonic()
    with pytest.raises(Unreachable):
        pickle.loads(pickle.dumps(there)).exists()
    assert time.monotonic() - began < 2, "pyarrow's own takes six seconds"


def test_a_store_that_has_gone_is_told(tmp_path: Path) -> None:
    there = remote.connect("s3://bucket/runs?endpoint_override=127.0.0.1:9&scheme=http")
    (tmp_path / "a").touch()
    calls: list[Any] = [
        there.exists, there.make, there.remove, there.folders, there.files, lambda: there.read("a"),
        lambda: there.write("a", b""), lambda: there.delete("a"), lambda: storage.upload_newer(tmp_path, there),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(Unreachable, match=r"^s3://bucket/runs\?\S+ cannot be used \(.*connect to "):
            call()


def test_the_final_folder_goes_there_and_comes_back(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = resolve(uri).create("one")
    folder.final.mkdir()
    for name in ("checkpoint.pt", "epochs.parquet"):
        (folder.final / name).write_bytes(name.encode())
    storage.upload_final(folder)
    elsewhere(monkeypatch, tmp_path)
    other = resolve(uri).folder("one")
    storage.fetch_final(other)
    assert names(other) == {"checkpoint.pt", "epochs.parquet"}
    (other.final / "checkpoint.pt").unlink()
    for name in ("model.pt", "metrics.json"):
        (other.final / name).write_bytes(name.encode())
    with storage.final_uploaded(other):
        pass
    assert folder.remote.inside("final").files().keys() == names(other)
    os.utime(folder.final / "checkpoint.pt", (0, 0))
    storage.fetch_final(folder)
    assert names(folder) == names(other), "a training that has ended elsewhere is not gone on with"
    # What could not be uploaded stays.
    (folder.final / "model.pt").write_bytes(b"newer")
    os.utime(folder.final / "model.pt", (time.time() + 99, time.time() + 99))
    storage.fetch_final(folder)
    assert (folder.final / "model.pt").read_bytes() == b"newer"


def names(folder: RunFolder) -> set[str]:
    return {path.name for path in folder.final.iterdir()}
