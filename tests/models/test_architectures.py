"""The three networks and their preprocessing, against the original report and torchvision."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models as torchvision_models

import cifar_models
from cifar_models import Preprocessing

PRINTED_SIMPLE_CNN = """\
SimpleCNN(
  (conv1): Conv2d(3, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
  (conv2): Conv2d(32, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
  (fc1): Linear(in_features=4096, out_features=256, bias=True)
  (fc2): Linear(in_features=256, out_features=100, bias=True)
)"""

# What the report changes in torchvision's print, line by line.
CHANGED_LINES = {
    "resnet18": {
        "  (conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)": (
            "  (conv1): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)"
        ),
        "  (maxpool): MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)": (
            "  (maxpool): Identity()"
        ),
        "  (fc): Linear(in_features=512, out_features=1000, bias=True)": (
            "  (fc): Linear(in_features=512, out_features=100, bias=True)"
        ),
    },
    "resnet50": {
        "  (fc): Linear(in_features=2048, out_features=1000, bias=True)": (
            "  (fc): Linear(in_features=2048, out_features=100, bias=True)"
        ),
    },
}


def meta(name: str) -> nn.Module:
    """The network without memory: for its structure and shapes."""
    with torch.device("meta"):
        return cifar_models.load(name).build(None)


@cache
def torchvisions(name: str) -> nn.Module:
    """torchvision's own, likewise; only to be looked at."""
    with torch.device("meta"):
        model: nn.Module = getattr(torchvision_models, name)(weights=None)
        return model


# Structure


def test_simple_cnn_is_printed_as_in_the_report() -> None:
    assert str(meta("simple_cnn")) == PRINTED_SIMPLE_CNN


def test_simple_cnn_pools_first_and_is_to_the_bit_what_relu_first_gives() -> None:
    """ReLU after the pooling works on a quarter of the numbers; the report has it before."""
    torch.manual_seed(0)
    model: Any = cifar_models.load("simple_cnn").build(None)
    images = torch.randn(16, 3, 32, 32)

    def as_reported(x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(model.conv1(x)), 2)
        x = F.max_pool2d(F.relu(model.conv2(x)), 2)
        out: Tensor = model.fc2(F.relu(model.fc1(x.flatten(1))))
        return out

    found = []
    for forward in (model, as_reported):
        model.zero_grad()
        out = forward(images)
        out.square().sum().backward()
        found.append([out, *(parameter.grad for parameter in model.parameters())])
    assert all(torch.equal(ours, reported) for ours, reported in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_is_printed_as_torchvisions_with_the_reports_changes_only(name: str) -> None:
    changed = CHANGED_LINES[name]
    theirs = str(torchvisions(name)).split("\n")
    assert [theirs.count(line) for line in changed] == [1] * len(changed)
    assert str(meta(name)).split("\n") == [changed.get(line, line) for line in theirs]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_has_torchvisions_keys_in_torchvisions_order(name: str) -> None:
    assert list(meta(name).state_dict()) == list(torchvisions(name).state_dict())


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "simple_cnn",
            {
                "conv1.weight": (32, 3, 3, 3), "conv1.bias": (32,), "conv2.weight": (64, 32, 3, 3), "conv2.bias": (64,),
                "fc1.weight": (256, 4096), "fc1.bias": (256,), "fc2.weight": (100, 256), "fc2.bias": (100,),
            },
        ),
        ("resnet18", {"conv1.weight": (64, 3, 3, 3), "fc.weight": (100, 512), "fc.bias": (100,)}),
        ("resnet50", {"conv1.weight": (64, 3, 7, 7), "fc.weight": (100, 2048), "fc.bias": (100,)}),
    ],
)  # fmt: skip
def test_the_layers_that_the_report_names_have_its_shapes(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    named = {key.split(".")[0] for key in shapes}
    own = {key: tuple(value.shape) for key, value in meta(name).named_parameters() if key.split(".")[0] in named}
    assert own == shapes


@pytest.mark.parametrize(
    ("name", "count"), [("simple_cnn", 1_093_924), ("resnet18", 11_220_132), ("resnet50", 23_712_932)]
)
def test_the_number_of_parameters(name: str, count: int) -> None:
    assert sum(parameter.numel() for parameter in meta(name).parameters()) == count


@pytest.mark.parametrize(
    ("name", "side", "before_pooling"),
    [("resnet18", 32, 4), ("resnet18", 64, 8), ("resnet50", 224, 7), ("resnet50", 96, 3)],
)
def test_a_resnet_sees_images_at_the_resolution_meant(name: str, side: int, before_pooling: int) -> None:
    """ResNet-18 shrinks them 8 times (its stem not at all), ResNet-50 32 times."""
    model, seen = meta(name), []
    model.get_submodule("layer4").register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape[2:])))
    assert model(torch.empty(2, 3, side, side, device="meta")).shape == (2, 100)
    assert seen == [(before_pooling, before_pooling)]


@pytest.mark.parametrize("name", cifar_models.NAMES)
def test_the_head_classifies_and_the_early_modules_come_first(name: str) -> None:
    """What dropout and freeze_epochs take hold of."""
    architecture, model = cifar_models.load(name), meta(name)
    assert model.get_submodule(architecture.head) is list(model.children())[-1]
    children = [child for child, module in model.named_children() if any(True for _ in module.parameters())]
    assert tuple(children[: len(architecture.early)]) == architecture.early


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match=r"no model 'vgg16'; choose one of simple_cnn, resnet18, resnet50\.$"):
        cifar_models.load("vgg16")


# Preprocessing

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("name", "preprocessing"),
    [
        ("simple_cnn", Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), image_size=32, standard="none")),
        ("resnet18", Preprocessing((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), 32, "crop_flip")),
        ("resnet50", Preprocessing(*IMAGENET, 224, "resized_crop_flip", resize=256)),
    ],
)
def test_the_preprocessing_is_the_reports(name: str, preprocessing: Preprocessing) -> None:
    assert cifar_models.load(name).preprocessing == preprocessing


def test_another_image_size_keeps_the_margin_of_the_centre_crop() -> None:
    own = cifar_models.load("resnet50").preprocessing
    assert own.at(112) == Preprocessing(*IMAGENET, 112, "resized_crop_flip", resize=128)
    assert own.at(224) == own


def test_another_image_size_without_a_centre_crop_stays_without() -> None:
    resized = cifar_models.load("resnet18").preprocessing.at(64)
    assert (resized.image_size, resized.resize) == (64, None)
