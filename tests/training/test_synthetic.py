"""The drawn data set: the same bytes everywhere, as hard as it was tuned to be, and laid out as CIFAR-100 is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

import cifar_models
from tune.training import images, synthetic, synthetic_ood
from tune.training.images import ImageSet, Split
from tune.training.synthetic import CLASS_NAMES
from tune.training.synthetic_ood import OOD_IMAGES

GROUPS = np.arange(100) // 5

# Of version 1. A change here is a change of the data: raise synthetic.VERSION, and measure the difficulty anew.
FINGERPRINTS: dict[Split, str] = {
    "train": "9d382b8e6ad46c40712b46e7f8861bfa9bb5e5960ef5ce30b1a2a28785dc0b78",
    "test": "72238ff0754ef8bb3f4a69d34c483e6763405615404340c1b93c255f9133a027",
}
OOD_FINGERPRINT = "eb83c75c02dcc1c2c3a80d37de04ae7e229ec47b514379dd0928f2a802f4dbb0"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synthetic.prepare(folder, "train")
    synthetic.prepare(folder, "test")
    synthetic_ood.prepare(folder)
    return folder


@pytest.fixture(scope="module")
def train(root: Path) -> ImageSet:
    return images.read(synthetic.prepare(root, "train"))


@pytest.fixture(scope="module")
def test(root: Path) -> ImageSet:
    return images.read(synthetic.prepare(root, "test"))


def ood_files(root: Path) -> list[Path]:
    return sorted((root / f"synthetic-v{synthetic.VERSION}-ood").iterdir())


# The images


def test_the_pixels_are_those_of_this_version(train: ImageSet, test: ImageSet) -> None:
    assert synthetic.VERSION == 1
    assert train.fingerprint == FINGERPRINTS["train"]
    assert test.fingerprint == FINGERPRINTS["test"]


def test_two_draws_are_equal(test: ImageSet) -> None:
    pixels, labels = synthetic.draw("test")
    assert np.array_equal(pixels, test.pixels.numpy())
    assert np.array_equal(labels, test.labels.numpy())


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_are_balanced_in_every_hundred(split: Split, request: pytest.FixtureRequest) -> None:
    labels = request.getfixturevalue(split).labels
    assert len(labels) == {"train": synthetic.TRAIN_IMAGES, "test": synthetic.TEST_IMAGES}[split]
    assert torch.equal(labels.reshape(-1, 100), torch.arange(100).expand(len(labels) // 100, 100))


def test_no_image_occurs_twice(train: ImageSet, test: ImageSet) -> None:
    pictures = {image.tobytes() for part in (train, test) for image in part.pixels.numpy()}
    assert len(pictures) == len(train) + len(test)


def test_a_hundred_names_in_twenty_groups_of_five(train: ImageSet) -> None:
    assert train.class_names == CLASS_NAMES
    assert len(set(CLASS_NAMES)) == 100
    shapes = [name.split(maxsplit=1)[1] for name in CLASS_NAMES]
    assert len(set(shapes)) == 20
    assert all(len(set(shapes[first : first + 5])) == 1 for first in range(0, 100, 5))


def test_classes_of_one_group_look_alike(train: ImageSet) -> None:
    middle = train.pixels[:, 10:22, 10:22].double().mean(dim=(1, 2))  # colour: the group's hue, loosely
    mean = torch.stack([middle[train.labels == label].mean(dim=0) for label in range(100)])
    distance = torch.cdist(mean, mean).numpy()
    kin = GROUPS[:, None] == GROUPS
    assert distance[~kin].mean() > 2 * distance[kin & ~np.eye(100, dtype=bool)].mean()


def test_colour_alone_does_not_tell_the_class(train: ImageSet, test: ImageSet) -> None:
    """Else a network would not need to look: the nearest mean colour is right for 10 %, SimpleCNN for 60 %."""
    seen, asked = (part.pixels[:, 10:22, 10:22].double().mean(dim=(1, 2)) for part in (train, test))
    mean = torch.stack([seen[train.labels == label].mean(dim=0) for label in range(100)])
    guess = torch.cdist(asked, mean).argmin(dim=1)
    assert (guess == test.labels).double().mean() < 0.15


# Preparing


def test_what_is_there_and_whole_stays(root: Path) -> None:
    files = [*(root / "arrow").iterdir(), *ood_files(root)]
    before = [path.stat().st_mtime_ns for path in files]
    synthetic.prepare(root, "train")
    synthetic.prepare(root, "test")
    synthetic_ood.prepare(root)
    assert [path.stat().st_mtime_ns for path in files] == before
    assert len(files) == 2 + 19, "nothing unfinished is left behind"


@pytest.mark.parametrize("keep", [0, 100, 1_000_000])
def test_a_damaged_file_is_named_and_drawn_anew(keep: int, test: ImageSet, tmp_path: Path) -> None:
    path = synthetic.prepare(tmp_path, "test")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=path.name):
        images.read_metadata(path)
    synthetic.prepare(tmp_path, "test")
    assert images.read_metadata(path)["fingerprint"] == test.fingerprint


def test_a_table_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.arrow"
    table = pa.table({"a": [1]}).replace_schema_metadata({"about": '{"class_names": [], "fingerprint": ""}'})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(ValueError, match=r"other\.arrow is damaged"):
        images.read_metadata(path)


def test_the_file_tells_its_source_and_version(root: Path) -> None:
    about = images.read_metadata(root / "arrow" / "synthetic-v1-test.arrow")
    assert about["source"] == "synthetic"
    assert about["version"] == synthetic.VERSION


# Out of distribution


def test_the_corruptions_are_those_of_this_version(root: Path) -> None:
    content = b"".join(np.load(path).tobytes() for path in ood_files(root))
    assert hashlib.sha256(content).hexdigest() == OOD_FINGERPRINT


def severities(path: Path) -> NDArray[np.uint8]:
    """(5, n, 32, 32, 3)"""
    stacked: NDArray[np.uint8] = np.load(path).reshape(5, OOD_IMAGES, 32, 32, 3)
    return stacked


def test_ood_layout_is_the_challenge_s(root: Path) -> None:
    assert [path.name for path in ood_files(root)] == [f"distortion{number:02d}.npy" for number in range(19)]
    for path in ood_files(root):
        stored = np.load(path)
        assert stored.dtype == np.uint8
        assert stored.shape == (5 * OOD_IMAGES, 32, 32, 3)


def test_each_corruption_grows_with_its_severity(root: Path, test: ImageSet) -> None:
    clean = test.pixels[:OOD_IMAGES].numpy().astype(np.float64)
    for path in ood_files(root):
        change = [np.abs(images_ - clean).mean() for images_ in severities(path)]
        assert all(np.diff(change) > 0), (path.name, change)
        assert change[0] > 1, path.name


def test_the_nineteen_corruptions_differ(root: Path) -> None:
    strongest = [severities(path)[4].astype(np.float64) for path in ood_files(root)]
    for number, one in enumerate(strongest):
        assert all(np.abs(one - other).mean() > 5 for other in strongest[:number])


def test_a_damaged_ood_file_is_drawn_anew(root: Path, tmp_path: Path) -> None:
    folder = synthetic_ood.prepare(tmp_path)
    damaged, wrong = folder / "distortion03.npy", folder / "distortion07.npy"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    np.save(wrong, np.zeros((5, 32, 32, 3), np.uint8))
    synthetic_ood.prepare(tmp_path)
    for path in ood_files(root):
        assert path.read_bytes() == (folder / path.name).read_bytes()


# Difficulty


def accuracy(train: ImageSet, test: ImageSet, lr: float, epochs: int) -> float:
    """Test accuracy in per cent after a plain one-cycle SGD on 80 % of the training images, batch 64."""
    torch.manual_seed(0)
    model = cifar_models.load("simple_cnn").build(None).to(memory_format=torch.channels_last)
    images_ = (train.pixels[:9600].permute(0, 3, 1, 2).float() - 127.5) / 127.5
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * 150)
    for _ in range(epochs):
        for rows in torch.randperm(9600).split(64):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(model(images_[rows]), train.labels[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        guess = model((test.pixels.permute(0, 3, 1, 2).float() - 127.5) / 127.5).argmax(dim=1)
    return 100 * float((guess == test.labels).double().mean())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_simple_cnn_tells_a_good_learning_rate_from_a_bad_one(train: ImageSet, test: ImageSet) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        good, poor, bad = (accuracy(train, test, lr, epochs=4) for lr in (0.15, 0.03, 0.0001))
    finally:
        torch.set_num_threads(threads)
    assert 40 < good < 75
    assert 10 < poor < good - 10
    assert bad < 5
