"""The images in a report."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tune.reporting import pictures
from tune.training import images


def test_pictures_are_the_images_of_their_rows(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    path = tmp_path / "test.arrow"
    images.write(path, pixels, np.arange(5), {"class_names": ["a"]})
    found = pictures.data_uris(path, [3, 1], 5)
    assert found is not None
    for uri, row in zip(found, (3, 1), strict=True):
        content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels[row])
    assert pictures.data_uris(path, [3], 6) is None, "images of another data set"
    assert pictures.data_uris(tmp_path / "none.arrow", [3], 5) is None
    path.write_bytes(b"no Arrow")
    assert pictures.data_uris(path, [3], 5) is None
