"""The out-of-distribution challenge: which files are taken, how they are fetched, and what is submitted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.a_web_server import NOBODY, serving
from tune.training import ood

NAMES = [f"distortion{number:02d}" for number in range(19)]


def marked(n: int, first: int) -> NDArray[np.uint8]:
    """5 n images; the first red value tells which label `by_first_value` gives, from `first` on, row by row."""
    pixels = np.zeros((5 * n, 32, 32, 3), np.uint8)
    pixels[:, 0, 0, 0] = (first + np.arange(5 * n)) % 100
    return pixels


def by_first_value(pixels: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(pixels[:, 0, 0, 0].long(), 100).float().log_softmax(1)


def fill(folder: Path, n: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(NAMES):
        np.save(folder / f"{name}.npy", marked(n, number))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that wants one sets UPSTREAM."""
    monkeypatch.setattr(ood, "UPSTREAM", f"{NOBODY}/{{name}}.npy")


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What upstream would serve, its checksums in force."""
    home = fill(tmp_path / "upstream")
    sums = {name: hashlib.sha256((home / f"{name}.npy").read_bytes()).hexdigest() for name in NAMES}
    monkeypatch.setattr(ood, "SHA256", sums)
    return home


def test_names_and_checksums_are_complete() -> None:
    assert list(ood.NAMES) == NAMES
    assert len(set(ood.SHA256.values())) == 19
    assert all(len(bytes.fromhex(digest)) == 32 for digest in ood.SHA256.values())


def test_finds_the_19_files_in_order_and_no_others(tmp_path: Path) -> None:
    folder = fill(tmp_path / "ood")
    for other in ("labels.npy", "distortion19.npy", "distortion00.npy.77.tmp", "README"):
        (folder / other).write_text("no image at all")
    assert ood.locate(folder) == [folder / f"{name}.npy" for name in NAMES]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (np.zeros((5, 32, 32, 3), np.float32), "holds float32 (5, 32, 32, 3)"),
        (np.zeros((5, 32, 32, 3), np.int8), "holds int8 (5, 32, 32, 3)"),
        (np.zeros((6, 32, 32, 3), np.uint8), "holds uint8 (6, 32, 32, 3)"),
        (np.zeros((5, 3, 32, 32), np.uint8), "holds uint8 (5, 3, 32, 32)"),
        (np.zeros((5, 64, 64, 3), np.uint8), "holds uint8 (5, 64, 64, 3)"),
        (np.zeros((5, 3072), np.uint8), "holds uint8 (5, 3072)"),
        (np.zeros((), np.uint8), "holds uint8 ()"),
        (np.zeros((0, 32, 32, 3), np.uint8), "distortion03.npy"),
        (np.array([{"a": 1}], object), "cannot be read"),
    ],
)
def test_a_wrong_array_is_named(tmp_path: Path, content: NDArray[Any], told: str) -> None:
    folder = fill(tmp_path / "ood")
    np.save(folder / "distortion03.npy", content)
    with pytest.raises(ValueError, match="distortion03") as caught:
        ood.locate(folder)
    assert told in str(caught.value)
    assert "Delete it to download the published one; expected is uint8 (5*n, 32, 32, 3)" in str(caught.value)


def test_a_folder_in_a_files_place_is_named(tmp_path: Path) -> None:
    folder = fill(tmp_path / "ood")
    (folder / "distortion07.npy").unlink()
    (folder / "distortion07.npy").mkdir()
    with pytest.raises(ValueError, match=r"distortion07\.npy cannot be read"):
        ood.locate(folder)


@pytest.mark.parametrize("keep", [0, 20, 1000])
def test_a_cut_file_is_named(tmp_path: Path, keep: int) -> None:
    folder = fill(tmp_path / "ood")
    cut = folder / "distortion18.npy"
    cut.write_bytes(cut.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"distortion18\.npy cannot be read"):
        ood.locate(folder)


@pytest.mark.parametrize(
    ("old", "new"), [(b"32, 3)", b"32, 3;"), (b"(5, 32,", b"(-5,32,"), (b"|u1", b"|01"), (b"False", b"'a' b")]
)
def test_a_damaged_header_is_named(tmp_path: Path, old: bytes, new: bytes) -> None:
    folder = fill(tmp_path / "ood")
    damaged = folder / "distortion01.npy"
    damaged.write_bytes(damaged.read_bytes().replace(old, new))
    with pytest.raises(ValueError, match=r"distortion01\.npy cannot be read"):
        ood.locate(folder)


def test_an_archive_of_arrays_is_no_array(tmp_path: Path) -> None:
    folder = fill(tmp_path / "ood")
    with (folder / "distortion00.npy").open("wb") as file:
        np.savez(file, marked(1, 0))
    with pytest.raises(ValueError, match=r"distortion00\.npy cannot be read"):
        ood.locate(folder)


def test_a_git_lfs_pointer_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    folder = fill(tmp_path / "ood")
    (folder / "distortion00.npy").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:77\nsize 153600128\n"
    )
    with pytest.raises(ValueError, match="is only a Git LFS pointer"):
        ood.locate(folder)


def test_downloads_what_is_missing_and_only_that(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "deep", n=2)
    missing = ["distortion05.npy", "distortion18.npy"]
    for name in missing:
        (folder / name).unlink()
    with serving(upstream) as address:
        monkeypatch.setattr(ood, "UPSTREAM", f"{address}/{{name}}.npy")
        files = ood.locate(folder)
    assert [len(np.load(path)) for path in files] == [5 if path.name in missing else 10 for path in files]
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.npy" for name in NAMES]


def test_downloads_into_a_new_folder(upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(upstream) as address:
        monkeypatch.setattr(ood, "UPSTREAM", f"{address}/{{name}}.npy")
        files = ood.locate(tmp_path / "data" / "ood-test")
    assert [path.read_bytes() for path in files] == [(upstream / path.name).read_bytes() for path in files]


def test_a_download_with_another_checksum_is_refused(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(upstream / "distortion01.npy", marked(1, 50))
    with serving(upstream) as address:
        monkeypatch.setattr(ood, "UPSTREAM", f"{address}/{{name}}.npy")
        with pytest.raises(ValueError, match=r"distortion01\.npy is not the file it should be: its SHA256 is"):
            ood.locate(tmp_path / "ood")
    assert [path.name for path in (tmp_path / "ood").iterdir()] == ["distortion00.npy"]


def test_a_file_that_upstream_lacks_is_missing(upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (upstream / "distortion17.npy").unlink()
    with serving(upstream) as address:
        monkeypatch.setattr(ood, "UPSTREAM", f"{address}/{{name}}.npy")
        with pytest.raises(ood.OodMissing, match=r"HTTP Error 404.*: distortion17\.npy, distortion18\.npy\."):
            ood.locate(tmp_path / "ood")


def test_no_network_is_told_from_bad_files(upstream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fill(tmp_path / "ood")
    (folder / "distortion02.npy").unlink()
    (folder / "distortion11.npy").unlink()
    with pytest.raises(
        ood.OodMissing, match=r"could not be fetched .*: distortion02\.npy, distortion11\.npy\."
    ) as caught:
        ood.locate(folder)
    assert not isinstance(caught.value, ValueError | OSError)
    assert str(folder) in str(caught.value)
    assert ood.UPSTREAM.removesuffix("{name}.npy") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")
    assert len(list(folder.iterdir())) == 17


def test_a_bad_file_is_told_before_anything_is_fetched(upstream: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ood"
    folder.mkdir()
    np.save(folder / "distortion18.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"distortion18\.npy holds float64"):
        ood.locate(folder)


def test_a_folder_that_is_a_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ood").write_text("in the way")
    with pytest.raises(ValueError, match=r"distortion00\.npy cannot be written .*choose another --ood-dir"):
        ood.locate(tmp_path / "ood")


@pytest.mark.parametrize("batch_size", [1, 7, 400, 4096])
def test_batches_hold_every_image_once_in_order(tmp_path: Path, batch_size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "distortion04.npy", pixels)
    seen: list[Tensor] = []

    def look(batch: Tensor) -> Tensor:
        assert batch.dtype == torch.uint8
        assert 1 <= len(batch) <= batch_size
        seen.append(batch)
        return torch.nn.functional.one_hot((batch.long().sum(dim=(1, 2, 3)) % 100), 100)

    answers = list(ood.predict(tmp_path / "distortion04.npy", look, batch_size))
    assert [(answer.name, answer.severity, len(answer.labels)) for answer in answers] == [
        ("distortion04", severity, 400) for severity in range(1, 6)
    ]
    assert np.array_equal(torch.cat(seen).numpy(), pixels)
    expected = pixels.astype(np.int64).sum(axis=(1, 2, 3)) % 100
    assert np.array_equal(np.concatenate([answer.labels for answer in answers]), expected)


def test_a_file_larger_than_memory_is_read_by_the_batch(tmp_path: Path) -> None:
    """A terabyte with holes: who loads it whole, or one severity of it, gets a MemoryError."""
    n = 2**40 // 5 // 3072
    path = tmp_path / "distortion00.npy"
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (5 * n, 32, 32, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 5 * n * 3072)
    sizes: list[int] = []

    def three_batches(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if len(sizes) == 3:
            raise KeyboardInterrupt
        return by_first_value(batch)

    with pytest.raises(KeyboardInterrupt):
        next(ood.predict(path, three_batches, 64))
    assert sizes == [64, 64, 64]
