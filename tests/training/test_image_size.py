"""Which image sizes an architecture takes, and how they grow with progressive resizing."""

from __future__ import annotations

from typing import Any

import pytest

import cifar_models
from tune.training.config import TrainConfig
from tune.training.image_size import at_epoch, preprocessing_of


def config(**changes: Any) -> TrainConfig:
    return TrainConfig.from_dict({"model": "simple_cnn", "lr": 0.1, "batch_size": 20, "epochs": 5} | changes)


# Image sizes


@pytest.mark.parametrize("size", [31, 64, 224])
def test_simple_cnn_refuses_another_image_size(size: int) -> None:
    with pytest.raises(ValueError, match=rf"^image_size is {size}, but simple_cnn takes 32 px only; leave it at 0\.$"):
        preprocessing_of(config(image_size=size))


@pytest.mark.parametrize("size", [0, 32])
def test_simple_cnn_takes_its_own_image_size(size: int) -> None:
    assert preprocessing_of(config(image_size=size)) == cifar_models.load("simple_cnn").preprocessing


@pytest.mark.parametrize("size", [8, 16, 31])
def test_resnet50_refuses_an_image_that_its_last_stage_would_not_see(size: int) -> None:
    """At 16 px a stride of 2 meets a single pixel, where oneDNN's bf16 weight gradient is not finite."""
    with pytest.raises(ValueError, match=rf"^image_size is {size}, but resnet50 needs at least 32 px\.$"):
        preprocessing_of(config(model="resnet50", image_size=size))


@pytest.mark.parametrize(("size", "sees"), [(0, (224, 256)), (112, (112, 128)), (64, (64, 73)), (32, (32, 37))])
def test_resnet50_takes_any_other_image_size(size: int, sees: tuple[int, int]) -> None:
    preprocessing = preprocessing_of(config(model="resnet50", image_size=size))
    assert (preprocessing.image_size, preprocessing.resize) == sees


# Growing images


def sides(**changes: Any) -> list[int]:
    growing = config(**changes)
    own = preprocessing_of(growing)
    return [at_epoch(growing, own, epoch).image_size for epoch in range(1, growing.epochs + 1)]


def test_images_grow_linearly_over_four_fifths_of_the_epochs() -> None:
    growing = {"model": "resnet50", "image_size": 160, "initial_scale": 0.5}
    assert sides(epochs=10, **growing) == [80, 88, 96, 112, 120, 128, 144, 152, 160, 160]
    assert sides(epochs=5, **growing) == [80, 96, 120, 144, 160]  # stretched
    assert sides(epochs=1, **growing) == [80]


def test_the_evaluations_resize_shrinks_in_proportion() -> None:
    growing = config(model="resnet50", initial_scale=0.5)
    first = at_epoch(growing, preprocessing_of(growing), 1)
    assert (first.image_size, first.resize, first.standard) == (112, 128, "resized_crop_flip")


@pytest.mark.parametrize(("model", "size", "wanted"), [("resnet18", 32, 16), ("resnet50", 64, 40), ("resnet18", 8, 8)])
def test_the_smallest_images_leave_a_map_of_several_pixels(model: str, size: int, wanted: int) -> None:
    found = sides(model=model, image_size=size, initial_scale=0.25)
    assert (found[0], found[-1]) == (wanted, size)


@pytest.mark.parametrize("model", cifar_models.NAMES)
def test_without_a_scale_images_have_their_size_at_once(model: str) -> None:
    assert set(sides(model=model)) == {cifar_models.load(model).preprocessing.image_size}


def test_simple_cnn_refuses_growing_images() -> None:
    with pytest.raises(ValueError, match=r"^initial_scale is 0\.5, but simple_cnn takes 32 px only; leave it at 1\.$"):
        preprocessing_of(config(initial_scale=0.5))
