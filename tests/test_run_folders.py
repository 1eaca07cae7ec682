"""Where runs lie: folders that can be made, and how one is found."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tune.results import RunFolder, check_place, create, find


def test_a_folder_is_made_with_all_that_leads_to_it(tmp_path: Path) -> None:
    made = create(tmp_path / "deep" / "er", "one")
    assert made.path == tmp_path / "deep" / "er" / "one"
    assert made.path.is_dir()
    assert made.name == "one"
    assert made.final == made.path / "final"


def test_a_folder_is_absolute_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = create(Path("results"), "one")
    assert made.path == tmp_path / "results" / "one"
    made.write_json("experiment.json", {"started": "2026-01-01T00:00:00Z"})
    assert find("one", Path("results")).path == made.path


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    create(tmp_path, "one")
    with pytest.raises(ValueError, match=r"one already exists; give another --name"):
        create(tmp_path, "one")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/a", "a/", "a\\b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="--name is"):
        create(tmp_path / "results", name)
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(ValueError, match=r"cannot be created .*--storage"):
        create(tmp_path / "results", "one")


def test_an_endless_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--name has 300 bytes; it must have at most 200\.$"):
        create(tmp_path, "n" * 300)
    with pytest.raises(
        ValueError, match=r"cannot be created \(File name too long\); give another --storage or --name\.$"
    ):
        create(tmp_path / ("n" * 300), "one")


def test_a_place_is_checked_without_being_made(tmp_path: Path) -> None:
    assert check_place(tmp_path / "deep" / "er", "one") == tmp_path / "deep" / "er" / "one"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["folder", "file", "broken link"])
def test_a_name_is_taken_by_whatever_bears_it(taken: str, tmp_path: Path) -> None:
    if taken == "folder":
        (tmp_path / "one").mkdir()
    elif taken == "file":
        (tmp_path / "one").touch()
    else:
        (tmp_path / "one").symlink_to("nowhere")
    with pytest.raises(ValueError, match="one already exists"):
        check_place(tmp_path, "one")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_storage_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match=r"cannot be created \(Permission denied\); give another --storage"):
        create(tmp_path, "one")


def run_of(storage: Path, name: str, started: str) -> RunFolder:
    made = create(storage, name)
    made.write_json("experiment.json", {"started": started})
    return made


def test_the_newest_run_is_the_one_that_started_last(tmp_path: Path) -> None:
    run_of(tmp_path, "b", "2026-03-01T10:00:00Z")
    newest = run_of(tmp_path, "a", "2026-03-02T09:00:00Z")
    older = run_of(tmp_path, "c", "2026-02-28T23:59:59Z")
    os.utime(older.path / "experiment.json", (time.time() + 999, time.time() + 999))  # touched, but not newer
    (tmp_path / "no run").mkdir()
    (tmp_path / "README.md").write_text("")
    assert find(None, tmp_path).path == newest.path


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"{}", b'{"started": null}', b"\xff\xfe\x00"])
def test_a_damaged_run_is_not_the_newest(tmp_path: Path, content: bytes) -> None:
    sound = run_of(tmp_path, "sound", "2026-03-01T10:00:00Z")
    damaged = create(tmp_path, "damaged")
    (damaged.path / "experiment.json").write_bytes(content)
    assert find(None, tmp_path).path == sound.path
    # Asked for by name it is found, and reading it says what is wrong.
    assert find("damaged", tmp_path).path == damaged.path


def test_a_run_is_found_by_name_or_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run_of(tmp_path / "results", "one", "2026-03-01T10:00:00Z")
    run_of(tmp_path / "results", "two", "2026-03-02T10:00:00Z")
    monkeypatch.chdir(tmp_path)
    for asked in ("one", "results/one", "results/one/", str(made.path)):
        assert find(asked, Path("results")).path == made.path
    assert find(str(made.path), tmp_path / "elsewhere").path == made.path


@pytest.mark.parametrize("asked", [".", "..", "../../one", "final/.."])
def test_a_run_is_found_from_inside_by_its_own_name(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(tmp_path, "one")
    made.write_json("experiment.json", {})
    made.final.mkdir()
    monkeypatch.chdir(made.path if asked in (".", "final/..") else made.final)
    assert find(asked, tmp_path / "results").path == made.path


@pytest.mark.parametrize("asked", ["two", "", ".", "..", "one/experiment.json", "/nowhere", "one/deeper", "x" * 300])
def test_a_run_that_is_not_there_is_named(tmp_path: Path, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_of(tmp_path / "results", "one", "2026-03-01T10:00:00Z")
    with pytest.raises(ValueError, match="There is no run") as caught:
        find(asked, tmp_path / "results")
    assert repr(asked) in str(caught.value)


@pytest.mark.parametrize("storage", ["results", "nowhere", "file"])
def test_without_any_run_one_is_told_how_to_start_one(tmp_path: Path, storage: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"There is no run in .*python -m tune\.run --space"):
        find(None, tmp_path / storage)
