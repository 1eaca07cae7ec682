"""The out-of-distribution challenge: finds, downloads, reads and classifies its 19 files of distorted images.

It knows no model: callers pass in a function from pixels to log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tune.training import images
from tune.training.download import DownloadFailed, fetch

SEVERITIES = 5
UPSTREAM = "https://media.githubusercontent.com/media/DL4DS/ood-test-files/main/ood-test/{name}.npy"
SHA256 = {
    "distortion00": "776391036473e944144809983ce9cb0c7831593e84a1be7cf29ccc72f194a120",
    "distortion01": "4d661214412045f79fdbc8a5095506e8682a883bcb61693dc17b48a9f7d7a51b",
    "distortion02": "7dcf455178224fb63c956d2f2bd50c1da71c57671ac7f7238610752f91a23e84",
    "distortion03": "134ab1cb3765e4551b7ee121f099c8dafb88c096f45deee5bee98e96a16c0d61",
    "distortion04": "4c612859c74e1cf1751763eddaaf55e742650f4f9c67b8321faf47e524707d5b",
    "distortion05": "cb2d7dc6dcbabf3f0ac198397186846ec57985a6c4f4dab10999f17835555233",
    "distortion06": "f0c746dec1c23438fa4e22a90e18eed7b6b96b71fd35776cad709b163bef0a56",
    "distortion07": "359b96dc23af57c3210fefbd37a007576e8190ac492881920d475517e0ee5647",
    "distortion08": "9ca999b14435f20b60412cdf9c4d054bad563d656d80cf71795f0a9a3d2271d2",
    "distortion09": "0a8c65f809028fd7867271988932477e3efb7d781a367927f28674076389bc20",
    "distortion10": "5a81b1cb9365e6ce853fca57740a4156c6b724e97d95b0673df3820ee2056ab9",
    "distortion11": "a838439f52a70006cf20825ef78c59b25574ff77689a97f69056df50e272dddb",
    "distortion12": "690437cd574582378fbd57b25923b87d39f7069166e7a319beec6e5b612e2aab",
    "distortion13": "4fa41f887ffeccc2ab0c3c235345c8dfd8e19d0fcb3cd104d5a274d5ba4d337d",
    "distortion14": "97d3e7fa79f231b4423901965a8f7a992e22831e99735e7cd3bb8bdfbd3ab892",
    "distortion15": "a2b4023cd3126fe90c2fca620f27314fcb1b82c88d16344c3a82345db27221ba",
    "distortion16": "3b86a720346874b218f2f06a3527b56039a4b9a55c624ea021d9efc78ab01a59",
    "distortion17": "73053d163a221d61f7c2840a11bad9ee001e256af5ce737a4a69e6551f2b7c1b",
    "distortion18": "8212ef47526c11d851f74eff306948e77dbca72b0229b8ba4d9890f40bf72c27",
}
"""Digests of the published files. Only downloads are checked, so users may provide other files under these names."""

NAMES = tuple(SHA256)


class OodMissing(Exception):
    """Files of the challenge are missing and cannot be downloaded."""


@dataclass(frozen=True)
class Prediction:
    """Predictions for the images of one file and severity."""

    name: str
    """`distortion00` to `distortion18`."""

    severity: int
    """1 to 5."""

    labels: NDArray[np.int64]
    """(n,), in the order of the images."""

    top5: NDArray[np.int64]
    """(n, 5), the most likely class first."""

    top5_probability: NDArray[np.float32]
    """(n, 5), the probabilities of these classes."""

    @property
    def probability(self) -> NDArray[np.float32]:
        """(n,), the probabilities of the labels."""
        return np.ascontiguousarray(self.top5_probability[:, 0])


def locate(folder: Path) -> list[Path]:
    """The 19 files of the challenge, in order. Missing ones are downloaded; other files in `folder` are ignored.

    Files may differ in their number of images. ValueError if one does not hold images, or `folder` cannot be written
    to; OodMissing if some are missing and cannot be downloaded. Those that were downloaded stay.
    """
    files = [folder / f"{name}.npy" for name in NAMES]
    missing = [path for path in files if not path.exists()]
    for path in files:
        if path not in missing:
            read(path)  # first, so that nothing is downloaded to complete a broken set
    for path in missing:
        _fetch(path, missing)
        read(path)
    return files


def _fetch(path: Path, missing: Sequence[Path]) -> None:
    try:
        fetch(UPSTREAM.format(name=path.stem), path, "sha256", SHA256[path.stem])
    except DownloadFailed as error:
        raise OodMissing(f"{error}. {_describe_missing([path for path in missing if not path.exists()])}") from error
    except OSError as error:
        raise ValueError(
            f"{path.absolute()} cannot be written ({error}). "
            "Make its folder writable, with 3 GB free, or choose another --ood-dir."
        ) from error


def _describe_missing(missing: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in missing)
    if len(missing) == len(NAMES):
        names = f"all {len(NAMES)}, {NAMES[0]}.npy to {NAMES[-1]}.npy"
    return (
        f"Out-of-distribution files are missing in {missing[0].parent.absolute()}: {names}. "
        f"Put them there (from {UPSTREAM.rpartition('/')[0]}/), or choose another --ood-dir (docs/data.md)."
    )


def read(path: Path) -> NDArray[np.uint8]:
    """The images of one file, uint8 (5 n, 32, 32, 3), sorted by severity, as a read-only memory map.

    ValueError if the file holds anything else.
    """
    remedy = (
        "Delete it to download the published one; "
        f"expected is uint8 ({SEVERITIES}*n, {images.SIDE}, {images.SIDE}, 3), n at least 1, in NumPy's .npy format."
    )
    try:
        # np.load would also accept archives of several arrays.
        pixels = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a damaged header can raise any error of Python's tokenizer or parser
        why = "is only a Git LFS pointer" if _is_lfs_pointer(path) else f"cannot be read ({error})"
        raise ValueError(f"{path.absolute()} {why}. {remedy}") from error
    rows, *shape = pixels.shape or (0,)
    if pixels.dtype != np.uint8 or shape != [images.SIDE, images.SIDE, 3] or rows == 0 or rows % SEVERITIES:
        raise ValueError(f"{path.absolute()} holds {pixels.dtype} {pixels.shape}. {remedy}")
    return pixels


def _is_lfs_pointer(path: Path) -> bool:
    """Whether the file is the placeholder left by a clone without Git LFS."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(64).startswith(b"version https://git-lfs")
    return False


def predict(path: Path, log_probabilities_of: Callable[[Tensor], Tensor], batch_size: int) -> Iterator[Prediction]:
    """Classifies the images of a file, and yields one Prediction per severity in the order of the submission.

    `log_probabilities_of` maps uint8 pixels (B, 32, 32, 3) on the CPU to log-probabilities (B, classes) on any device.
    The evaluation transform and disabling gradients are its job. At most one batch of pixels is in memory at a time.
    """
    pixels = read(path)
    n = len(pixels) // SEVERITIES
    for severity in range(1, SEVERITIES + 1):
        rows = pixels[(severity - 1) * n : severity * n]
        yield Prediction(path.stem, severity, *_classify(rows, log_probabilities_of, batch_size))


def _classify(
    pixels: NDArray[np.uint8], log_probabilities_of: Callable[[Tensor], Tensor], batch_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Labels (n,), the five most likely classes (n, 5) and their probabilities (n, 5)."""
    top, classes = [], []
    for start in range(0, len(pixels), batch_size):
        batch = torch.from_numpy(np.array(pixels[start : start + batch_size]))
        answer = log_probabilities_of(batch)
        assert answer.ndim == 2
        assert len(answer) == len(batch)
        ranked, which = answer.sort(dim=1, descending=True, stable=True)  # the order of ties is undefined in topk
        top.append(ranked[:, :5])
        classes.append(which[:, :5])
    # One copy at the end, as each copy from the device waits for it.
    top5: NDArray[np.int64] = torch.cat(classes).cpu().numpy()
    probability: NDArray[np.float32] = torch.cat(top).float().exp().cpu().numpy()
    return np.ascontiguousarray(top5[:, 0]), top5, probability
