"""The views of an image for the consistency loss: a clean one and others, all cut alike, and mixed alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cifar_models.architecture import Preprocessing
from tests.training.pictures import LARGE, SMALL, config, noise, numbered, pictures, seeded
from tune.training import augment, batches, mixing
from tune.training.images import ImageSet


def views(pixels: Tensor, preprocessing: Preprocessing, **changes: Any) -> Tensor:
    return augment.training_batch(pixels, config(jsd=12.0, **changes), preprocessing, seeded(3))


@pytest.mark.parametrize("preprocessing", [SMALL, LARGE.at(64)])
@pytest.mark.parametrize("policy", augment.POLICIES)
def test_the_first_view_is_the_standard_augmentation(policy: str, preprocessing: Preprocessing) -> None:
    images = views(pictures(), preprocessing, augmentation=policy, distortion=0.5, random_erasing=0.5)
    side = preprocessing.image_size
    assert images.shape == (13, 3, 3, side, side)
    assert images.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    plain = config(augmentation="standard", random_erasing=0.5)
    assert torch.equal(images[:, 0], augment.training_batch(pictures(), plain, preprocessing, seeded(3)))


@pytest.mark.parametrize("preprocessing", [SMALL, LARGE.at(64)])
def test_views_are_cut_flipped_and_erased_alike(preprocessing: Preprocessing) -> None:
    """Distortions that spare nearly all images leave three equal views of these."""
    images = views(noise(64), preprocessing, distortion=1e-9, random_erasing=0.5)
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])
    assert len(images[:, 0].flatten(1).unique(dim=0)) == 64


def test_the_other_views_have_draws_of_their_own() -> None:
    images = views(pictures(), SMALL, augmentation="augmix")
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not (images[:6, one] == images[:6, other]).all((1, 2, 3)).any()
    distorted = views(noise(64), SMALL, distortion=0.5)
    changed = [(distorted[:, 0] != distorted[:, view]).any(1).any(1).any(1) for view in (1, 2)]
    assert 0.3 < torch.stack(changed).float().mean() < 0.7
    assert not torch.equal(*changed)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"augmentation": "augmix"}, True),
        ({"augmentation": "trivialaugment"}, True),
        ({"augmentation": "crop_flip", "distortion": 0.1}, True),
        ({"augmentation": "crop_flip", "random_erasing": 0.5}, False),
        ({"augmentation": "none"}, False),
    ],
)
def test_there_are_views_where_they_can_differ(changes: dict[str, Any], wanted: bool) -> None:
    assert augment.has_views(config(jsd=1.0, **changes)) is wanted
    assert not augment.has_views(config(**changes))
    assert augment.training_batch(noise(4), config(jsd=1.0, **changes), SMALL, seeded()).dim() == (5 if wanted else 4)


@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_views_are_mixed_as_each_would_be_alone(changes: dict[str, float]) -> None:
    images, labels = numbered(32)
    three = torch.stack([images, images + 100, images + 200], 1)
    mixed, partner, share = mixing.mix(three, labels, config(**changes), seeded(2))
    for view in range(3):
        alone = mixing.mix(images + 100 * view, labels, config(**changes), seeded(2))
        assert torch.equal(mixed[:, view], alone[0])
        assert torch.equal(partner, alone[1])
        assert torch.equal(share, alone[2])


@pytest.mark.parametrize("batch_size", [4, 32])
def test_batches_hand_views_over_with_their_labels(batch_size: int) -> None:
    grey = torch.arange(64, dtype=torch.uint8)[:, None, None, None].expand(64, 32, 32, 3).contiguous()
    data = ImageSet(grey, torch.arange(64), torch.arange(64), ("a",) * 100, "")
    chosen = config(jsd=1.0, augmentation="none", distortion=0.5, batch_size=batch_size)
    for images, labels in batches.shuffled(data, chosen, SMALL, batch_size, seeded()):
        assert images.shape == (batch_size, 3, 3, 32, 32)
        level = images[:, 0, 0, 0, 0] * SMALL.std[0] + SMALL.mean[0]
        assert torch.equal((level * 255).round().long(), labels)
