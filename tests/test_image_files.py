"""Pictures as people have them: any size, any mode, turned, transparent, damaged, and not pictures at all."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tune import image_files

RED, BLUE = (250, 10, 10), (10, 10, 250)


def halves(width: int, height: int) -> Image.Image:
    """Red above, blue below."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (0, height // 2, width, height))
    return picture


def near(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:  # type: ignore[type-arg]
    return bool(np.abs(pixel.astype(int) - colour).max() < 12)


def test_an_image_of_cifar_stays_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(image_files.read(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("size", [(1, 1), (7, 500), (16, 16), (640, 480), (1200, 800)])
@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_any_size_becomes_the_middle_square(size: tuple[int, int], kind: str, tmp_path: Path) -> None:
    halves(*size).save(tmp_path / f"a.{kind}")
    seen = image_files.read(tmp_path / f"a.{kind}")
    assert (seen.shape, seen.dtype) == ((32, 32, 3), np.uint8)
    if min(size) > 7:
        assert near(seen[2, 16], RED)
        assert near(seen[29, 16], BLUE)


def test_a_picture_is_turned_as_the_camera_was(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    halves(64, 64).save(tmp_path / "a.jpg", exif=exif)
    seen = image_files.read(tmp_path / "a.jpg")
    assert near(seen[16, 29], RED)
    assert near(seen[16, 2], BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LA", "RGBA", "HSV"])
def test_any_mode_becomes_colours(mode: str, tmp_path: Path) -> None:
    kind = {"CMYK": "tiff", "YCbCr": "jpg"}.get(mode, "png")
    if mode == "HSV":
        halves(64, 64).convert(mode).convert("RGB").save(tmp_path / "a.png")
    else:
        halves(64, 64).convert(mode).save(tmp_path / f"a.{kind}")
    seen = image_files.read(tmp_path / f"a.{kind}")
    assert seen.shape == (32, 32, 3)
    if mode not in ("1", "L", "LA"):
        assert near(seen[2, 16], RED)


SIXTEEN_BITS = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 64
"""A ramp from black to nearly white."""


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm", "a.jp2", "big-endian.tiff"])
def test_sixteen_bits_of_grey_become_the_nearest_of_eight(name: str, tmp_path: Path) -> None:
    kind = ">u2" if name.startswith("big") else "<u2"
    Image.fromarray(SIXTEEN_BITS.astype(kind)).save(tmp_path / name)
    expected = np.rint(SIXTEEN_BITS * (255 / 65535)).astype(np.uint8)
    assert np.array_equal(image_files.read(tmp_path / name), np.stack([expected] * 3, axis=2))


def tiff_of_12_bits(levels: NDArray[np.int64]) -> bytes:
    """A little-endian TIFF that packs two 12-bit levels into three bytes. Pillow cannot write one."""
    height, width = levels.shape
    first, second = levels.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8).tobytes()
    entries = {
        256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(packed),
    }  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    header = struct.pack("<2sHI", b"II", 42, 8 + len(packed))
    return header + packed + struct.pack("<H", len(entries)) + directory + bytes(4)


def test_twelve_bits_of_grey_become_the_nearest_of_eight(tmp_path: Path) -> None:
    levels = np.linspace(0, 4095, 1024).round().astype(np.int64).reshape(32, 32)
    (tmp_path / "a.tiff").write_bytes(tiff_of_12_bits(levels))
    expected = np.rint(levels * (255 / 4095)).astype(np.uint8)
    assert np.array_equal(image_files.read(tmp_path / "a.tiff"), np.stack([expected] * 3, axis=2))


def test_the_brightest_level_of_a_dark_tiff_is_not_its_white(tmp_path: Path) -> None:
    levels = np.full((32, 32), 4095, np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.tiff", tiffinfo={281: 4095})  # MaxSampleValue
    assert np.all(image_files.read(tmp_path / "a.tiff") == 16)


@pytest.mark.parametrize(
    ("values", "kind"),
    [(np.linspace(0, 1, 1024, dtype=np.float32), "floats"), (np.arange(1024, dtype=np.int32), "integers")],
)
def test_levels_without_a_known_white_are_refused(values: NDArray[Any], kind: str, tmp_path: Path) -> None:
    Image.fromarray(values.reshape(32, 32)).save(tmp_path / "a.tiff")
    with pytest.raises(
        image_files.UnreadableImage, match=rf"a\.tiff holds 32-bit {kind}, whose white is unknown; save it with"
    ):
        image_files.read(tmp_path / "a.tiff")


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (*RED, 0)).save(tmp_path / "a.png")
    assert near(image_files.read(tmp_path / "a.png")[5, 5], (255, 255, 255))


def test_a_large_picture_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow's own are 90 million; twice as many it refuses
    Image.new("L", (40, 40), 77).save(tmp_path / "a.png")
    assert near(image_files.read(tmp_path / "a.png")[5, 5], (77, 77, 77))


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "is not an image"), (b"text", "is not an image"), (None, "cannot be read: ")]
)
def test_what_is_none_is_told(content: bytes | None, told: str, tmp_path: Path) -> None:
    halves(640, 480).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(image_files.UnreadableImage, match=rf"a\.png {told}"):
        image_files.read(tmp_path / "a.png")


def test_a_folder_is_read_with_its_subfolders_but_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("folder/b.png", "folder/a.png", "folder/inner/deep/c.png", "folder/notes.txt", "folder/.DS_Store",
                 "folder/.cache/d.png", "one.png", ".named/e.png"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = image_files.find([tmp_path / "one.png", tmp_path / "folder", tmp_path / ".named"])
    assert [(path.relative_to(tmp_path).as_posix(), named) for path, named in found] == [
        ("one.png", True), ("folder/a.png", False), ("folder/b.png", False), ("folder/inner/deep/c.png", False),
        ("folder/notes.txt", False), (".named/e.png", False),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="nowhere is not there"):
        image_files.find([tmp_path / "nowhere"])
