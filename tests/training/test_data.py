"""The split of the training part, its subsets, and the one table of images that all trials share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tune.training import data, images, sources
from tune.training.data import load_training, stratified_split

EACH = 15
LABELS = torch.from_numpy(np.random.default_rng(0).permutation(np.arange(100 * EACH) % 100))


def per_class(labels: Tensor) -> Tensor:
    return torch.bincount(labels, minlength=100)


def index_of(subset: int, path: Path) -> list[int]:
    return load_training(path, 0.2, 0, subset).train.index.tolist()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,500 images of the 100 classes in no order, each telling its row and label in its first bytes."""
    pixels = np.zeros((len(LABELS), 32, 32, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(len(LABELS)) % 256
    pixels[:, 0, 0, 1] = np.arange(len(LABELS)) // 256
    pixels[:, 0, 0, 2] = LABELS.numpy()
    path = tmp_path_factory.mktemp("data") / "images.arrow"
    images.write(path, pixels, LABELS.numpy(), {"class_names": [f"class {label}" for label in range(100)]})
    return path


# The split


def test_a_fifth_of_each_class_is_for_validation() -> None:
    train, val = stratified_split(LABELS, 0.2, seed=0)
    assert per_class(LABELS[val]).tolist() == [EACH // 5] * 100
    assert per_class(LABELS[train]).tolist() == [EACH - EACH // 5] * 100


def test_classes_of_unequal_size_give_a_fifth_each_as_nearly_as_can_be() -> None:
    counts = torch.arange(1, 101)
    labels = torch.repeat_interleave(torch.arange(100), counts)
    _, val = stratified_split(labels, 0.2, seed=0)
    assert (per_class(labels[val]) - counts * 0.2).abs().max() <= 0.5


def test_each_row_lies_on_exactly_one_side() -> None:
    train, val = stratified_split(LABELS, 0.2, seed=0)
    assert sorted(torch.cat([train, val]).tolist()) == list(range(len(LABELS)))


def test_the_seed_decides_the_split() -> None:
    first, again, other = (stratified_split(LABELS, 0.2, seed) for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    shared = set(first[1].tolist()) & set(other[1].tolist())
    assert len(shared) < len(first[1]) / 2  # a fifth is what chance gives


def test_the_split_is_the_same_whatever_ran_before() -> None:
    torch.manual_seed(1)
    first = stratified_split(LABELS, 0.2, seed=0)
    np.random.default_rng().random()
    torch.manual_seed(2)
    assert torch.equal(stratified_split(LABELS, 0.2, seed=0)[0], first[0])


def test_without_a_validation_share_everything_is_for_training(path: Path) -> None:
    everything = load_training(path, 0.0, seed=0)
    assert everything.val is None
    assert sorted(everything.train.index.tolist()) == list(range(len(LABELS)))


def test_the_classes_do_not_come_in_order() -> None:
    """A beginning of the rows is a random sample of each class, and no run of equal labels."""
    train, _ = stratified_split(LABELS, 0.2, seed=0)
    hundred = LABELS[train[:100]]
    assert not torch.equal(hundred, hundred.sort().values)
    assert not torch.equal(train, train.sort().values)


# Subsets


@pytest.mark.parametrize("size", [100, 101, 250, 999, 1199, 1200])
def test_a_subset_takes_as_many_of_each_class_give_or_take_one(size: int, path: Path) -> None:
    subset = load_training(path, 0.2, 0, size).train
    assert len(subset) == len(set(subset.index.tolist())) == size
    counts = per_class(subset.labels[subset.index])
    assert counts.max() - counts.min() == (size % 100 != 0)


def test_a_smaller_subset_is_the_beginning_of_a_larger_one(path: Path) -> None:
    larger = index_of(1200, path)
    for size in (100, 333, 1199):
        assert index_of(size, path) == larger[:size]


def test_validation_stays_whole_and_apart_from_every_subset(path: Path) -> None:
    whole, part = load_training(path, 0.2, 0), load_training(path, 0.2, 0, 100)
    assert whole.val is not None
    assert part.val is not None
    assert part.val.index.tolist() == whole.val.index.tolist()
    assert len(part.val) == 300
    assert not set(part.train.index.tolist()) & set(part.val.index.tolist())


@pytest.mark.parametrize("size", [0, -5, 99, 1201, 50_000])
def test_a_subset_too_small_or_too_large_is_refused_with_the_bounds(size: int, path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^--train-subset is {size}; it must lie between 100 .* and 1200, .*\.$"):
        load_training(path, 0.2, 0, size)


def test_without_validation_a_subset_may_be_everything(path: Path) -> None:
    assert len(load_training(path, 0.0, 0, 1500).train) == 1500


# The table


def test_what_was_written_is_read_row_by_row(path: Path) -> None:
    table = images.read(path)
    first = table.pixels[:, 0, 0].long()
    assert table.pixels.shape == (1500, 32, 32, 3)
    assert (first[:, 0] + 256 * first[:, 1]).tolist() == table.index.tolist() == list(range(1500))
    assert torch.equal(first[:, 2], LABELS)
    assert torch.equal(table.labels, LABELS)
    assert table.class_names[99] == "class 99"


def test_a_set_selected_from_a_set_keeps_to_its_rows(path: Path) -> None:
    table = images.read(path)
    assert table.select(torch.arange(100, 200)).select(torch.tensor([0, 5])).index.tolist() == [100, 105]


def test_the_fingerprint_is_of_the_content_alone(path: Path, tmp_path: Path) -> None:
    table = images.read(path)
    pixels, labels = table.pixels.numpy().copy(), table.labels.numpy().copy()
    images.write(tmp_path / "same.arrow", pixels, labels.astype(np.int32), {"class_names": ["another"]})
    pixels[700, 31, 31, 2] += 1
    images.write(tmp_path / "pixel.arrow", pixels, labels, {"class_names": []})
    pixels[700, 31, 31, 2] -= 1
    labels[0] += 1
    images.write(tmp_path / "label.arrow", pixels, labels, {"class_names": []})
    assert images.read(tmp_path / "same.arrow").fingerprint == table.fingerprint
    others = {images.read(tmp_path / name).fingerprint for name in ("pixel.arrow", "label.arrow")}
    assert len(others | {table.fingerprint}) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"<html>Not found</html>",
        lambda content: content.replace(b"about", b"other"),
    ],
    ids=["empty", "cut off", "another kind", "no metadata"],
)
def test_a_damaged_file_is_named_with_the_mend(damage: Callable[[bytes], bytes], path: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "images.arrow"
    damaged.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"images\.arrow is damaged .*; delete it, and it is made anew\.$"):
        images.read(damaged)
    with pytest.raises(ValueError, match=r"^The images sent to this process are damaged \("):
        images.read(np.fromfile(damaged, np.uint8))


def test_a_failing_write_leaves_the_old_file_and_nothing_else(path: Path, tmp_path: Path) -> None:
    images.write(tmp_path / "a.arrow", np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1), {"class_names": ["old"]})
    with pytest.raises(ValueError, match="length"):
        images.write(tmp_path / "a.arrow", np.zeros((2, 32, 32, 3), np.uint8), np.zeros(3), {"class_names": ["new"]})
    assert [file.name for file in tmp_path.iterdir()] == ["a.arrow"]
    assert images.read(tmp_path / "a.arrow").class_names == ("old",)


# Sharing


def test_both_sides_of_the_split_and_every_subset_view_one_table(path: Path) -> None:
    training = load_training(path, 0.2, 0, 500)
    assert training.val is not None
    views = [
        training.train,
        training.val,
        training.train.select(torch.arange(5)),
        training.train.to(torch.device("cpu")),
    ]
    assert len({view.pixels.data_ptr() for view in views}) == 1


def test_a_device_is_sent_the_table_once(path: Path) -> None:
    moved = load_training(path, 0.2, 0).to(torch.device("meta"))
    assert moved.val is not None
    assert moved.train.pixels is moved.val.pixels
    assert moved.train.labels is moved.val.labels
    assert {moved.train.pixels.device.type, moved.train.index.device.type, moved.val.index.device.type} == {"meta"}


def test_moving_keeps_rows_names_and_fingerprint(path: Path) -> None:
    training = load_training(path, 0.2, 0, 100)
    moved = training.to(torch.device("cpu"))
    assert torch.equal(moved.train.index, training.train.index)
    assert moved.train.class_names == training.train.class_names
    assert moved.train.fingerprint == training.train.fingerprint
    assert load_training(path, 0.0, 0).to(torch.device("cpu")).val is None


@pytest.mark.skipif(sys.platform != "linux", reason="the maps of a process are Linux's")
def test_the_pixels_lie_in_a_map_of_the_file_that_nobody_can_write(path: Path) -> None:
    table = images.read(path)  # its map ends with it
    address = table.pixels.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights, _, _, _, *name = line.split(maxsplit=5)
        first, last = (int(end, 16) for end in span.split("-"))
        if first <= address < last:
            assert name == [str(path)]
            assert rights.startswith("r--")
            return
    pytest.fail("no map holds the pixels")


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process by kind is Linux's")
def test_reading_a_file_twice_takes_no_memory_of_ones_own(tmp_path: Path) -> None:
    """Of 30 MB a copy would show, in the memory that no file backs."""
    path, count = tmp_path / "large.arrow", 10_000
    images.write(path, np.ones((count, 32, 32, 3), np.uint8), np.arange(count) % 100, {"class_names": []})
    before = own_memory()
    sets = [data.load_training(path, 0.2, seed) for seed in (0, 1)]
    touched = [int(part.train.to(torch.device("cpu")).pixels.amax()) for part in sets]
    assert touched == [1, 1]
    assert own_memory() - before < 8 * 2**20


def own_memory() -> int:
    """Bytes of this process that no file backs."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def test_data_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(ValueError, match=r"cannot be prepared in .*/data .*another --data-dir"):
        sources.prepare("synthetic", tmp_path / "data", "test")
