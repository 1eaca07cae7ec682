"""CIFAR-100 from pickles to Arrow: the real one against torchvision, and a tiny one that the tests publish."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import socket
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR100

from tests.a_web_server import NOBODY, Quiet, serving
from tests.intruder import Intruder
from tune.training import cifar100, download, images, sources

REAL = os.environ.get("CIFAR100_ROOT")
needs_real = pytest.mark.skipif(REAL is None, reason="CIFAR100_ROOT is not set (a folder with cifar-100-python/)")


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `cifar-100-python/` and its archive, 10 images a split, that the checksums take for the published.

    The network is off: a test that wants one points cifar100.URL to a server.
    """
    home = tmp_path / "published"
    folder = home / "cifar-100-python"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        data = generator.integers(0, 256, (10, images.PIXELS), dtype=np.uint8)
        content = {"data": data, "fine_labels": list(range(10)), "coarse_labels": [0] * 10}
        (folder / split).write_bytes(pickle.dumps(content))
    names = {"fine_label_names": [f"f{i}" for i in range(100)], "coarse_label_names": [f"c{i}" for i in range(20)]}
    (folder / "meta").write_bytes(pickle.dumps(names))
    with tarfile.open(home / cifar100.ARCHIVE, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    monkeypatch.setattr(cifar100, "MD5", {name: md5(folder / name) for name in ("train", "test", "meta")})
    monkeypatch.setattr(cifar100, "ARCHIVE_MD5", md5(home / cifar100.ARCHIVE))
    monkeypatch.setattr(cifar100, "URL", f"{NOBODY}/{cifar100.ARCHIVE}")
    return home


def place(root: Path, home: Path, *names: str) -> Path:
    """`root/cifar-100-python/` with copies of some of `home`'s files."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes((home / "cifar-100-python" / name).read_bytes())
    return folder


def everything_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_address_and_checksums_are_those_that_torchvision_publishes() -> None:
    published = dict([*CIFAR100.train_list, *CIFAR100.test_list, ("meta", CIFAR100.meta["md5"])])
    assert published == cifar100.MD5
    assert (CIFAR100.url, CIFAR100.filename, CIFAR100.tgz_md5, CIFAR100.base_folder) == (
        cifar100.URL, cifar100.ARCHIVE, cifar100.ARCHIVE_MD5, cifar100.FOLDER,
    )  # fmt: skip


@needs_real
@pytest.mark.parametrize("split", ["train", "test"])
def test_real_images_labels_and_names_are_those_of_torchvision(tmp_path: Path, split: Any) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    for name in cifar100.MD5:  # File by file, so that nothing can be written into the user's folder.
        (tmp_path / "cifar-100-python" / name).symlink_to(Path(str(REAL)).absolute() / "cifar-100-python" / name)
    arrow = cifar100.prepare(tmp_path, split)
    assert arrow == tmp_path / "arrow" / f"cifar100-{split}.arrow"
    ours, theirs = images.read(arrow), CIFAR100(tmp_path, train=split == "train", download=False)
    assert np.array_equal(ours.pixels.numpy(), theirs.data)
    assert ours.labels.tolist() == theirs.targets
    assert list(ours.class_names) == theirs.classes
    about = images.read_metadata(arrow)
    assert about["source"] == "CIFAR-100"
    assert len(about["coarse_label_names"]) == 20
    assert about["coarse_label_names"][0] == "aquatic_mammals"
    assert about["md5"][split] == dict([*CIFAR100.train_list, *CIFAR100.test_list])[split]


@needs_real
def test_real_pickle_with_one_bit_flipped_is_refused(tmp_path: Path) -> None:
    folder = place(tmp_path, Path(str(REAL)), "test", "meta")
    raw = bytearray((folder / "test").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "test").write_bytes(raw)
    with pytest.raises(ValueError, match=r"cifar-100-python/test is not the published file: .*Delete it"):
        cifar100.prepare(tmp_path, "test")
    assert not (tmp_path / "arrow").exists()


def test_planes_become_pixels(tiny: Path) -> None:
    with (tiny / "cifar-100-python" / "train").open("rb") as file:
        row = pickle.load(file)["data"][7]
    ours = images.read(cifar100.prepare(tiny, "train"))
    assert ours.pixels[7, 2, 5].tolist() == [row[2 * 32 + 5], row[1024 + 2 * 32 + 5], row[2048 + 2 * 32 + 5]]


@pytest.mark.parametrize("name", ["train", "meta"])
def test_a_foreign_pickle_is_never_loaded(tiny: Path, tmp_path: Path, name: str) -> None:
    marker = tmp_path / "marker"
    pickled = pickle.dumps(Intruder(marker))
    pickle.loads(pickled)
    assert marker.is_dir()
    marker.rmdir()

    damaged = tiny / "cifar-100-python" / name
    damaged.write_bytes(pickled)
    with serving(tiny) as address:
        cifar100.URL = f"{address}/{cifar100.ARCHIVE}"  # The fixture's monkeypatch restores it.
        with pytest.raises(ValueError, match=rf"cifar-100-python/{name} is not the published file"):
            cifar100.prepare(tiny, "train")
    assert not marker.exists()
    assert damaged.read_bytes() == pickled


def test_a_damaged_file_is_not_replaced_when_others_are_fetched(tiny: Path, tmp_path: Path) -> None:
    folder = place(tmp_path / "data", tiny)
    (folder / "train").write_bytes(b"mine")
    with serving(tiny) as address:
        cifar100.URL = f"{address}/{cifar100.ARCHIVE}"
        with pytest.raises(ValueError, match="cifar-100-python/train is not the published file"):
            cifar100.prepare(tmp_path / "data", "train")
    assert (folder / "train").read_bytes() == b"mine"
    assert (folder / "meta").exists()


@pytest.mark.timeout(20)
def test_the_other_split_is_not_opened(tiny: Path) -> None:
    other = tiny / "cifar-100-python" / "test"
    other.unlink()
    os.mkfifo(other)  # Who opens it to read waits for ever.
    assert len(images.read(cifar100.prepare(tiny, "train"))) == 10


def test_the_other_split_may_be_missing_without_a_network(tiny: Path, tmp_path: Path) -> None:
    place(tmp_path / "data", tiny, "train", "meta")
    assert len(images.read(cifar100.prepare(tmp_path / "data", "train"))) == 10
    with pytest.raises(ValueError, match="lacks files"):
        cifar100.prepare(tmp_path / "data", "test")


def test_what_is_made_is_made_once_and_needs_no_pickles(tiny: Path, tmp_path: Path) -> None:
    folder = place(tmp_path / "data", tiny, "train", "meta")
    arrow = cifar100.prepare(tmp_path / "data", "train")
    made = (arrow.stat().st_ino, arrow.stat().st_mtime_ns)
    for path in folder.iterdir():
        path.unlink()
    assert cifar100.prepare(tmp_path / "data", "train") == arrow
    assert (arrow.stat().st_ino, arrow.stat().st_mtime_ns) == made


@pytest.mark.parametrize("keep", [0, 1000])
def test_a_cut_arrow_file_is_made_anew(tiny: Path, keep: int) -> None:
    arrow = cifar100.prepare(tiny, "train")
    good = arrow.read_bytes()
    arrow.write_bytes(good[:keep])
    cifar100.prepare(tiny, "train")
    assert arrow.read_bytes() == good


def test_downloads_what_is_missing(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data"
    with serving(tiny) as address:
        cifar100.URL = f"{address}/{cifar100.ARCHIVE}"
        arrow = cifar100.prepare(root, "test")
    assert arrow.read_bytes() == cifar100.prepare(tiny, "test").read_bytes()
    pickles = [f"cifar-100-python/{name}" for name in ("meta", "test", "train")]
    expected = sorted(["arrow", "arrow/cifar100-test.arrow", "cifar-100-python", cifar100.ARCHIVE, *pickles])
    assert everything_below(root) == expected
    assert capsys.readouterr().err == f"Downloading {cifar100.URL} (0 MB) ...\n"


def test_an_archive_put_there_by_hand_will_do(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / cifar100.ARCHIVE).write_bytes((tiny / cifar100.ARCHIVE).read_bytes())
    assert len(images.read(cifar100.prepare(tmp_path / "data", "train"))) == 10


def test_a_damaged_archive_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / cifar100.ARCHIVE).write_bytes(b"half of it")
    with pytest.raises(ValueError, match=r"cifar-100-python\.tar\.gz is not the published file: .*Delete it"):
        cifar100.prepare(tmp_path / "data", "train")


def test_an_archive_with_paths_that_lead_elsewhere_is_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    link = tarfile.TarInfo(f"{cifar100.FOLDER}/link")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
    with tarfile.open(root / cifar100.ARCHIVE, "w:gz") as tar:
        tar.addfile(link)
        for name in ("../evil", f"{link.name}/evil", f"{tmp_path}/outside/evil"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
        tar.add(tiny / cifar100.FOLDER, arcname=cifar100.FOLDER)
    with pytest.raises(ValueError, match=r"cifar-100-python\.tar\.gz is not the published file: .*Delete it"):
        cifar100.prepare(root, "train")
    assert everything_below(root) == [cifar100.ARCHIVE]
    monkeypatch.setattr(cifar100, "ARCHIVE_MD5", md5(root / cifar100.ARCHIVE))
    cifar100.prepare(root, "train")  # even if its checksum were right: three files are taken, by their names
    assert sorted(path.name for path in (root / cifar100.FOLDER).iterdir()) == ["meta", "test", "train"]
    assert not [path for path in tmp_path.rglob("*") if path.name == "evil"]


def test_no_network_is_said_in_a_sentence(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data"
    with pytest.raises(ValueError, match="could not be fetched") as caught:
        cifar100.prepare(root, "train")
    text = str(caught.value)
    assert cifar100.URL in text
    assert "Connection refused" in text
    assert f"{root}/cifar-100-python" in text
    assert "train, test, meta" in text
    assert "--data-dir" in text
    assert "--data synthetic" in text
    assert "\n" not in text
    assert everything_below(root) == []
    assert capsys.readouterr() == ("", "")


def test_another_archive_upstream_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tiny / cifar100.ARCHIVE).write_bytes(b"something else")
    with serving(tiny) as address:
        cifar100.URL = f"{address}/{cifar100.ARCHIVE}"
        with pytest.raises(ValueError, match="is not the file it should be: its MD5 is"):
            cifar100.prepare(tmp_path / "data", "train")
    assert everything_below(tmp_path / "data") == []


def test_a_connection_that_breaks_off_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    class BreaksOff(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)

    with serving(tiny, BreaksOff) as address:
        cifar100.URL = f"{address}/{cifar100.ARCHIVE}"
        with pytest.raises(ValueError, match="the connection broke off"):
            cifar100.prepare(tmp_path / "data", "train")
    assert everything_below(tmp_path / "data") == []


@pytest.mark.timeout(20)
def test_a_server_that_says_nothing_is_given_up(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cifar100.URL = f"http://127.0.0.1:{silent.getsockname()[1]}/{cifar100.ARCHIVE}"
        with pytest.raises(ValueError, match=r"could not be fetched \(timed out\)"):
            cifar100.prepare(tmp_path / "data", "train")


def test_a_root_that_is_no_folder_is_said_in_a_sentence(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(ValueError, match=r"cannot be prepared in .*/data .*choose another --data-dir"):
        sources.prepare("cifar100", tmp_path / "data", "train")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_root_that_cannot_be_written_is_said_in_a_sentence(tiny: Path) -> None:
    tiny.chmod(0o555)
    try:
        with pytest.raises(ValueError, match=r"Permission denied.*choose another --data-dir"):
            sources.prepare("cifar100", tiny, "train")
    finally:
        tiny.chmod(0o755)
