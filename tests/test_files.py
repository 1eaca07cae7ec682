"""Files that are whole or not there, and folders that one process alone works in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tune import results
from tune.files import FolderLock, Unwritable, atomic_file, check_out, sha256
from tune.results import RunFolder, create

HOLD = """
import sys
from pathlib import Path
from tune.files import FolderLock
lock = FolderLock(Path(sys.argv[1]), "taken")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_in_use_by_another_process_is_refused_until_that_one_dies(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="taken by another"):
            FolderLock(tmp_path, "taken by another")
        other.kill()
        other.wait()
        FolderLock(tmp_path, "nobody is left").release()


def test_a_claim_ends_with_its_release_or_with_its_owner(tmp_path: Path) -> None:
    mine = FolderLock(tmp_path, "")
    with pytest.raises(ValueError, match="in use"):
        FolderLock(tmp_path, "in use")
    mine.release()
    mine.release()
    forgotten: FolderLock | None = FolderLock(tmp_path, "released before")
    del forgotten
    FolderLock(tmp_path, "its owner is gone").release()


def test_what_a_killed_process_had_not_written_to_its_end_is_removed(tmp_path: Path) -> None:
    folder = create(tmp_path, "one")
    folder.write_json("best.json", {"a": 1})
    (folder.path / "trials.parquet.4711.tmp").write_bytes(b"PAR1")
    lock = results.lock(folder)
    assert [path.name for path in folder.path.iterdir()] == ["best.json"]
    with pytest.raises(ValueError, match=r"one is in use by another process; wait for it to end, or stop it\."):
        results.lock(RunFolder(folder.path))
    lock.release()


def test_what_the_system_refuses_to_write_is_named(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with (
        pytest.raises(Unwritable, match=r"there cannot be written: Is a directory"),
        atomic_file(tmp_path / "there") as file,
    ):
        file.write(b"x")
    with pytest.raises(Unwritable, match="No such file or directory"), atomic_file(tmp_path / "nowhere" / "file"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_files_digest(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea")


def test_a_place_to_write_to_is_checked_before_there_is_anything(tmp_path: Path) -> None:
    check_out(tmp_path / "a" / "new" / "file", "--out")
    with pytest.raises(ValueError, match="is a folder; give --export the name of a file"):
        check_out(tmp_path, "--export")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot be written \(Not a directory\); give another --out"):
        check_out(tmp_path / "file" / "report.html", "--out")
    with pytest.raises(ValueError, match=r"cannot be written \(File name too long\); give another --out"):
        check_out(tmp_path / ("a" * 300), "--out")
