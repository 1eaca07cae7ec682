"""What is known of the data sets before they are opened, against what is found in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tune.settings import Source
from tune.training import cifar100, data, images, sources, synthetic


@pytest.mark.parametrize("source", ["cifar100", "synthetic"])
@pytest.mark.parametrize("fraction", [0.2, 0.0, 0.001, 0.125, 0.251, 1 / 3, 0.999])
def test_the_sizes_are_those_of_the_split(source: Source, fraction: float) -> None:
    labels = torch.arange(sources.DATA_SETS[source].train_images) % sources.CLASSES
    parts = data.stratified_split(labels, fraction, seed=0)
    assert sources.split_sizes(source, fraction, None) == tuple(len(part) for part in parts)


def test_the_drawn_images_are_as_many_as_that() -> None:
    assert sources.DATA_SETS["synthetic"].train_images == synthetic.TRAIN_IMAGES


def test_a_subset_is_of_the_training_side() -> None:
    assert sources.split_sizes("cifar100", 0.2, 40_000) == (40_000, 10_000)
    assert sources.split_sizes("synthetic", 0.2, 100) == (100, 2_400)
    with pytest.raises(ValueError, match=r"^--train-subset is 40001; it must lie between 100 .* and 40000, "):
        sources.split_sizes("cifar100", 0.2, 40_001)


def test_what_is_still_to_do_is_told(tmp_path: Path) -> None:
    def told() -> str:
        return sources.still_to_do("cifar100", tmp_path)

    assert told() == "it will be downloaded"
    (tmp_path / cifar100.ARCHIVE).touch()
    assert told() == "it will be unpacked from the archive there"
    (tmp_path / cifar100.FOLDER).mkdir()
    (tmp_path / cifar100.FOLDER / "train").touch()
    assert told() == "it will be unpacked from the archive there"  # meta is missing
    (tmp_path / cifar100.FOLDER / "meta").touch()
    assert told() == "it will be made from the files there"
    assert sources.still_to_do("synthetic", tmp_path) == "it will be drawn"
    (tmp_path / "arrow").mkdir()
    for name in ("cifar100-train", f"synthetic-v{synthetic.VERSION}-train"):
        (tmp_path / "arrow" / f"{name}.arrow").touch()
    assert told() == sources.still_to_do("synthetic", tmp_path) == ""


def test_the_fingerprint_is_known_where_the_images_lie_ready(tmp_path: Path) -> None:
    assert sources.fingerprint("cifar100", tmp_path) is None
    pixels, labels = np.zeros((2, images.SIDE, images.SIDE, 3), np.uint8), np.arange(2)
    sets: list[tuple[Source, Path]] = [
        ("cifar100", cifar100.arrow_file(tmp_path, "train")),
        ("synthetic", synthetic.arrow_file(tmp_path, "train")),
    ]
    for source, arrow in sets:
        images.write(arrow, pixels, labels, {"class_names": []})
        assert sources.fingerprint(source, tmp_path) == images.read(arrow).fingerprint
        arrow.write_bytes(b"damaged")
        assert sources.fingerprint(source, tmp_path) is None
