"""Test images from this machine's Arrow file, as PNG data URIs for the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from tune.training.images import SIDE


def data_uris(path: Path, rows: Sequence[int], images: int) -> list[str] | None:
    """The images in `rows`; None if the file is missing, damaged, or does not hold exactly `images` images."""
    try:
        with pa.memory_map(str(path)) as source:
            column = pa.ipc.open_file(source).get_batch(0).column("image")
            if len(column) != images:
                return None
            pixels = [np.asarray(column[row].values, dtype=np.uint8).reshape(SIDE, SIDE, 3) for row in rows]
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    return [_png(image) for image in pixels]


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> str:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(sink.getvalue()).decode()}"
