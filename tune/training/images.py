"""Images as uint8 in one Arrow IPC file, which all trials memory-map instead of each holding a copy.

Only `read` imports torch, so whether a file exists and how it was made can be checked without it.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tune.files import atomic_path

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Split = Literal["train", "test"]

SIDE = 32
PIXELS = SIDE * SIDE * 3


@dataclass(frozen=True)
class ImageSet:
    """Rows `index` of a table of images. Several sets can share the memory of one table."""

    pixels: Tensor
    """uint8 (N, 32, 32, 3), channels R, G, B."""

    labels: Tensor
    """int64 (N,)."""

    index: Tensor
    """int64 (n,): the rows of the table that belong to this set."""

    class_names: tuple[str, ...]

    fingerprint: str
    """SHA-256 of the pixels and labels of the whole table."""

    def __len__(self) -> int:
        return len(self.index)

    def select(self, rows: Tensor) -> ImageSet:
        """The subset at these positions in this set, int64 (m,)."""
        return replace(self, index=self.index[rows])

    def to(self, device: torch.device) -> ImageSet:
        """The same images on `device`. On the CPU they remain a view of the memory map."""
        return replace(self, pixels=self.pixels.to(device), labels=self.labels.to(device), index=self.index.to(device))


def write(path: Path, pixels: NDArray[np.uint8], labels: NDArray[Any], metadata: dict[str, Any]) -> None:
    """Writes images uint8 (N, 32, 32, 3) and labels (N,) to `path`, atomically.

    `metadata` must contain `class_names`. It is stored as JSON in the schema, with a fingerprint of the content.
    """
    assert pixels.dtype == np.uint8
    assert pixels.shape[1:] == (SIDE, SIDE, 3)
    pixels = np.ascontiguousarray(pixels)
    labels = np.ascontiguousarray(labels, dtype=np.int64)
    digest = hashlib.sha256(pixels.data)
    digest.update(labels.data)
    image = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), PIXELS)
    batch = pa.record_batch({"image": image, "label": pa.array(labels)})
    about = json.dumps(metadata | {"fingerprint": digest.hexdigest()})
    batch = batch.replace_schema_metadata({"about": about})
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_path(path) as unfinished,
        pa.OSFile(str(unfinished), "wb") as sink,
        pa.ipc.new_file(sink, batch.schema) as writer,
    ):
        writer.write_batch(batch)


def read_metadata(arrow: Path | NDArray[np.uint8]) -> dict[str, Any]:
    """The metadata given to `write`, plus `fingerprint`. ValueError if the file is damaged."""
    try:
        with _opened(arrow) as source:
            schema = pa.ipc.open_file(source).schema
            about: dict[str, Any] = json.loads(schema.metadata[b"about"])
            if missing := {"image", "label"} - {*schema.names} | {"fingerprint", "class_names"} - about.keys():
                raise KeyError(*sorted(missing))
            return about
    except (pa.ArrowInvalid, KeyError, TypeError, json.JSONDecodeError) as error:
        if isinstance(arrow, Path):
            raise ValueError(f"{arrow} is damaged ({error}); delete it, and it is made anew.") from error
        raise ValueError(f"The images sent to this process are damaged ({error}).") from error


def _opened(arrow: Path | NDArray[np.uint8]) -> pa.NativeFile:
    return pa.memory_map(str(arrow)) if isinstance(arrow, Path) else pa.BufferReader(pa.py_buffer(arrow))


def read(arrow: Path | NDArray[np.uint8]) -> ImageSet:
    """All images of a file, memory-mapped, or of its bytes; only the labels are copied. ValueError if damaged."""
    import torch

    about = read_metadata(arrow)
    batch = pa.ipc.open_file(_opened(arrow)).get_batch(0)
    flat = batch.column("image").flatten().to_numpy(zero_copy_only=True)
    with warnings.catch_warnings():
        # torch warns that the map is read-only. Nothing writes to it, and the system would not allow it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        pixels = torch.from_numpy(flat.reshape(-1, SIDE, SIDE, 3))
    labels = torch.tensor(batch.column("label").to_numpy(), dtype=torch.int64)
    return ImageSet(pixels, labels, torch.arange(len(labels)), tuple(about["class_names"]), str(about["fingerprint"]))
