"""The engine's arithmetic against plain torch: the same batches, the same losses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator

import cifar_models
from tune.training import batches, loop
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.image_size import preprocessing_of
from tune.training.loop import fit

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CONFIGS: dict[str, dict[str, Any]] = {
    "simple_cnn": {"lr": 0.02, "batch_size": 20, "augmentation": "crop_flip"},
    "resnet18": {"lr": 0.002, "batch_size": 8, "augmentation": "crop_flip"},
    "resnet50": {"lr": 2e-5, "batch_size": 16, "augmentation": "none", "image_size": 64},
}


# A fresh ResNet's batch statistics blow rounding up with every step, the more the deeper it is.
STEPS = {"simple_cnn": 8, "resnet18": 3, "resnet50": 2}


def config_of(model: str) -> TrainConfig:
    return TrainConfig.from_dict({"model": model, "epochs": 1, "weight_decay": 5e-4, **CONFIGS[model]})


def images_for(config: TrainConfig, data: TrainingData) -> TrainingData:
    return TrainingData(data.train.select(torch.arange(STEPS[config.model] * config.batch_size)), None)


def plain_losses(
    config: TrainConfig, data: TrainingData, layout: torch.memory_format = torch.contiguous_format
) -> Iterator[float]:
    """Float32, unfused SGD: what a tutorial would do with the engine's batches, in its layout or in torch's own."""
    torch.manual_seed(config.seed)
    model = cifar_models.load(config.model).build(None).train()
    model.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, foreach=False
    )
    generator = Generator().manual_seed(config.seed * 1_000_003 + 1)  # the first epoch's
    for images, labels in batches.shuffled(data.train, config, preprocessing_of(config), config.batch_size, generator):
        loss = F.cross_entropy(model(images.contiguous(memory_format=layout)), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield loss.item()


def engine_losses(config: TrainConfig, data: TrainingData) -> list[float]:
    (result,) = fit(config, data, CPU)
    return list(result.batch_loss)


@pytest.mark.parametrize("model", CONFIGS)
def test_in_float32_the_losses_are_those_of_the_plain_loop(
    model: str, tiny: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "mixed_precision", lambda device: nullcontext())
    config = config_of(model)
    images = images_for(config, tiny)
    engine = engine_losses(config, images)
    assert len(engine) == STEPS[model]
    assert engine == pytest.approx(list(plain_losses(config, images, torch.channels_last)), rel=1e-5)
    # In the other layout torch sums in another order. The first loss shows it, before the steps amplify it.
    assert engine[0] == pytest.approx(next(plain_losses(config, images)), rel=1e-5)


@pytest.mark.parametrize("model", CONFIGS)
def test_in_mixed_precision_they_stay_close(model: str, tiny: TrainingData) -> None:
    """bfloat16 keeps 8 bits: two to three digits at first, and a training that goes the same way."""
    config = config_of(model)
    images = images_for(config, tiny)
    plain, engine = list(plain_losses(config, images)), engine_losses(config, images)
    assert engine[0] == pytest.approx(plain[0], rel=1e-2)
    assert engine == pytest.approx(plain, rel=3e-2)
