"""An epoch's batches: each image once, every batch full, and small ones as good as large ones."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from tune.training import batches
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.image_size import preprocessing_of
from tune.training.images import ImageSet

CPU = torch.device("cpu")


def config(batch_size: int, augmentation: str = "none", image_size: int = 0) -> TrainConfig:
    model = "resnet18" if image_size else "simple_cnn"
    return TrainConfig.from_dict(
        {"model": model, "lr": 0.1, "batch_size": batch_size, "epochs": 1}
        | {"augmentation": augmentation, "image_size": image_size}
    )


def epoch(data: ImageSet, of: TrainConfig, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    generator = Generator().manual_seed(seed)
    return list(batches.shuffled(data, of, preprocessing_of(of), of.batch_size, generator))


def numbered(count: int) -> ImageSet:
    """Images of one grey each, so that a batch tells which rows it holds."""
    grey = torch.arange(count, dtype=torch.uint8)
    pixels = grey[:, None, None, None].expand(count, 32, 32, 3).contiguous()
    return ImageSet(pixels, torch.arange(count), torch.arange(count), ("a",) * 100, "")


@pytest.mark.parametrize("batch_size", [1, 7, 8, 64, 100, 200])
def test_an_image_comes_once_and_every_batch_is_full(batch_size: int) -> None:
    found = epoch(numbered(200), config(batch_size))
    assert [len(labels) for _, labels in found] == [batch_size] * (200 // batch_size)
    rows = torch.cat([labels for _, labels in found]).tolist()
    assert len(set(rows)) == len(rows) == 200 // batch_size * batch_size


@pytest.mark.parametrize("batch_size", [8, 64])
def test_images_keep_their_labels(batch_size: int) -> None:
    for images, labels in epoch(numbered(200), config(batch_size)):
        assert torch.equal((images[:, 0, 0, 0] * 127.5 + 127.5).round().long(), labels)


def test_the_order_is_the_generators() -> None:
    orders = [torch.cat([labels for _, labels in epoch(numbered(200), config(8), seed)]).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("batch_size", [4, 8, 64])
@pytest.mark.parametrize("augmentation", ["none", "crop_flip", "trivialaugment"])
def test_batches_are_channels_last_whatever_they_are_cut_from(
    batch_size: int, augmentation: str, tiny: TrainingData
) -> None:
    """Another layout would make each convolution copy its input."""
    for images, _ in epoch(tiny.train, config(batch_size, augmentation)):
        assert images.shape == (batch_size, 3, 32, 32)
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_images_of_small_batches_have_draws_of_their_own() -> None:
    """Sixteen copies of one image, cropped in batches of 4 that are drawn together: about 16 different results."""
    pixels = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8, generator=Generator().manual_seed(0))
    copies = ImageSet(pixels.repeat(16, 1, 1, 1), torch.zeros(16).long(), torch.arange(16), ("a",) * 100, "")
    images = torch.cat([images for images, _ in epoch(copies, config(4, "crop_flip"))])
    assert len(images.flatten(1).unique(dim=0)) >= 13


def test_large_images_are_not_drawn_by_the_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 224 px a step's images fill a cache by themselves: one batch at a time."""
    drawn = []
    whole = batches.augment.training_batch

    def watched(pixels: Tensor, *rest: object) -> Tensor:
        drawn.append(len(pixels))
        return whole(pixels, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(batches.augment, "training_batch", watched)
    epoch(numbered(32), config(16, "crop_flip", 224))
    epoch(numbered(128), config(8))
    assert drawn == [16, 16, 64, 64]
