"""The files of a training in progress and of a finished model: whole, plain, and enough to predict with."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import cifar_models
from tests.intruder import Intruder
from tune.training import augment, checkpoint
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.image_size import preprocessing_of
from tune.training.loop import fit
from tune.training.model import build_model, build_optimizer, build_schedule
from tune.training.state import Training

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
NAMES = tuple(f"class {label}" for label in range(100))


def config(**changes: Any) -> TrainConfig:
    plain = {"model": "simple_cnn", "lr": 0.02, "batch_size": 40, "epochs": 2, "augmentation": "none"}
    return TrainConfig.from_dict(plain | changes)


def untrained(started: TrainConfig) -> Training:
    model = build_model(started, CPU)
    optimizer = build_optimizer(model, started)
    return Training(started, preprocessing_of(started), model, optimizer, build_schedule(optimizer, started, 1))


def pixels(count: int, height: int = 32, width: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    checkpoint.save_model(path, untrained(config()), NAMES)
    return path


# A finished model


@pytest.mark.parametrize(
    "changes",
    [{"dropout": 0.5}, {"model": "resnet18", "image_size": 16, "augmentation": "standard", "batch_size": 20}],
    ids=["simple_cnn", "resnet18"],
)
def test_a_model_comes_back_with_the_same_logits(changes: dict[str, Any], tiny: TrainingData, tmp_path: Path) -> None:
    """Trained, so that batch statistics and every weight have moved."""
    few = TrainingData(tiny.train.select(torch.arange(40)), None)
    *_, result = fit(config(**changes), few, CPU)
    checkpoint.save_model(tmp_path / "model.pt", result.training, tiny.train.class_names)
    classifier = checkpoint.load_model(tmp_path / "model.pt", CPU)
    own = checkpoint.Classifier(result.training.model.eval(), config(**changes), result.training.preprocessing, ())
    logits = classifier.log_probabilities(pixels(8))
    assert torch.equal(logits, own.log_probabilities(pixels(8)))
    assert torch.equal(logits, classifier.log_probabilities(pixels(8)))
    assert not classifier.model.training
    assert classifier.config == config(**changes)
    assert classifier.class_names == tiny.train.class_names


def test_the_file_is_plain_values_and_tensors(model_file: Path) -> None:
    content = torch.load(model_file, weights_only=True)
    assert set(content) == {"model", "config", "preprocessing", "class_names", "tta", "training_id"}
    assert TrainConfig.from_dict(content["config"]) == config()
    assert list(content["model"]) == list(cifar_models.load("simple_cnn").build(None).state_dict())
    assert content["class_names"] == list(NAMES)


def test_a_model_that_was_tested_with_views_answers_with_them(tmp_path: Path) -> None:
    training = untrained(config())
    for tta in (False, True):
        checkpoint.save_model(tmp_path / f"{tta}.pt", training, NAMES, tta=tta)
    plain, views = (checkpoint.load_model(tmp_path / f"{tta}.pt") for tta in (False, True))
    assert not torch.equal(views.probabilities(pixels(8)), plain.probabilities(pixels(8)))
    with torch.inference_mode():
        assert torch.equal(views.probabilities(pixels(8)), plain.predictor(tta=True)(pixels(8)).exp())
        assert torch.equal(plain.probabilities(pixels(8)), views.predictor(tta=False)(pixels(8)).exp())


def test_a_file_that_does_not_tell_of_views_has_none(model_file: Path) -> None:
    content = checkpoint.load(model_file)
    del content["tta"], content["training_id"]
    checkpoint.save(model_file, content)
    assert checkpoint.load_model(model_file).tta is False


@pytest.mark.parametrize(("name", "side", "resize"), [("simple_cnn", 32, None), ("resnet50", 224, 256)])
def test_the_preprocessing_travels_with_the_model(name: str, side: int, resize: int | None, tmp_path: Path) -> None:
    checkpoint.save_model(tmp_path / "model.pt", untrained(config(model=name)), NAMES)
    classifier = checkpoint.load_model(tmp_path / "model.pt", CPU)
    assert classifier.preprocessing == cifar_models.load(name).preprocessing
    assert (classifier.preprocessing.image_size, classifier.preprocessing.resize) == (side, resize)
    seen = []
    classifier.model.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    classifier.log_probabilities(pixels(2))
    assert torch.equal(seen[0], augment.evaluation_batch(pixels(2), cifar_models.load(name).preprocessing))
    assert seen[0].shape == (2, 3, side, side)


def test_the_files_own_preprocessing_counts_not_todays(model_file: Path) -> None:
    content = checkpoint.load(model_file)
    content["preprocessing"]["mean"] = (0.1, 0.2, 0.3)
    checkpoint.save(model_file, content)
    today = cifar_models.load("simple_cnn").preprocessing
    assert checkpoint.load_model(model_file, CPU).preprocessing == dataclasses.replace(today, mean=(0.1, 0.2, 0.3))


def test_images_of_another_size_are_classified_too(model_file: Path) -> None:
    classifier = checkpoint.load_model(model_file, CPU)
    out = classifier.log_probabilities(pixels(3, 48, 64))
    assert (out.shape, out.dtype) == ((3, 100), torch.float32)
    assert not torch.equal(out[0], out[1])


# Damaged and foreign files


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[: len(content) // 2], r"cannot be read: "),
        (lambda content: content[:100], r"cannot be read: "),
        (lambda content: b"", r"cannot be read: EOFError"),
        (lambda content: bytes(range(256)) * 16, r"is damaged, or holds more than tensors and plain values\.$"),
        (lambda content: b"<html>Not found</html>", r"is damaged, or holds more than tensors and plain values\.$"),
    ],
    ids=["half", "beginning", "empty", "other bytes", "text"],
)
def test_a_damaged_file_is_named(damage: Callable[[bytes], bytes], words: str, model_file: Path) -> None:
    model_file.write_bytes(damage(model_file.read_bytes()))
    for load in (checkpoint.load, lambda path: checkpoint.load_model(path, CPU)):
        with pytest.raises(ValueError, match=rf"model\.pt {words}") as caught:
            load(model_file)
        assert "\n" not in str(caught.value)


def test_a_model_of_a_newer_version_is_named(model_file: Path) -> None:
    content = checkpoint.load(model_file)
    checkpoint.save(model_file, content | {"config": content["config"] | {"lookahead": 5}})
    with pytest.raises(ValueError, match=r"model\.pt is not a model that .* wrote: .*no parameter lookahead"):
        checkpoint.load_model(model_file, CPU)


def test_a_full_gpu_is_no_damaged_model(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(checkpoint, "build_model", full)
    with pytest.raises(torch.OutOfMemoryError):
        checkpoint.load_model(model_file, CPU)


def test_a_bare_tensor_is_no_checkpoint(model_file: Path) -> None:
    torch.save(torch.zeros(3), model_file)
    with pytest.raises(ValueError, match=r"model\.pt is not a checkpoint: it does not hold a dict\.$"):
        checkpoint.load_model(model_file, CPU)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.pt does not exist\.$"):
        checkpoint.load_model(tmp_path / "model.pt", CPU)


@pytest.mark.parametrize("missing", ["model", "config", "preprocessing", "class_names"])
def test_a_file_without_one_of_its_parts_is_no_model(missing: str, model_file: Path) -> None:
    content = checkpoint.load(model_file)
    del content[missing]
    checkpoint.save(model_file, content)
    with pytest.raises(ValueError, match=rf"model\.pt is not a model that tune\.finalize wrote: '{missing}'"):
        checkpoint.load_model(model_file, CPU)


@pytest.mark.parametrize(
    ("part", "content"),
    [("model", {}), ("model", 3), ("preprocessing", {"mean": (0, 0, 0)}), ("preprocessing", []), ("class_names", 5)],
)
def test_a_file_with_another_kind_of_part_is_no_model(part: str, content: Any, model_file: Path) -> None:
    checkpoint.save(model_file, checkpoint.load(model_file) | {part: content})
    with pytest.raises(ValueError, match=r"is not a model that tune\.finalize wrote"):
        checkpoint.load_model(model_file, CPU)


def test_weights_of_another_network_are_refused(model_file: Path) -> None:
    other = config(model="resnet18").to_dict()
    checkpoint.save(model_file, checkpoint.load(model_file) | {"config": other})
    with pytest.raises(ValueError, match=r"is not a model that tune\.finalize wrote"):
        checkpoint.load_model(model_file, CPU)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    intruder = Intruder(tmp_path / "was here")
    torch.save({"model": intruder}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt is damaged, or holds more than tensors and plain values\.$"):
        checkpoint.load_model(tmp_path / "model.pt", CPU)
    assert not intruder.folder.exists()
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert intruder.folder.is_dir(), "loaded carelessly it does nothing either, so this test shows nothing"


# Writing


def test_a_failing_save_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        checkpoint.save(tmp_path / "state.pt", {"tensor": torch.zeros(9), "code": lambda: None})
    assert list(tmp_path.iterdir()) == []


def test_a_failing_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    checkpoint.save(path, {"epoch": 1})
    with pytest.raises((AttributeError, pickle.PicklingError)):
        checkpoint.save(path, {"epoch": 2, "code": lambda: None})
    assert list(tmp_path.iterdir()) == [path]
    assert checkpoint.load(path) == {"epoch": 1}


def test_a_save_into_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises((OSError, RuntimeError), match="nowhere"):
        checkpoint.save(tmp_path / "nowhere" / "state.pt", {})


def test_a_save_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    for epoch in (1, 2):
        checkpoint.save(path, {"epoch": epoch, "tensor": torch.full((3,), float(epoch))})
    assert checkpoint.load(path)["tensor"].tolist() == [2, 2, 2]
    assert list(tmp_path.iterdir()) == [path]
