"""The whole transform: against torchvision one image at a time, and its draws against their distributions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from scipy import stats
from torchvision import transforms as v1
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from cifar_models.architecture import Preprocessing
from tests.training.pictures import LARGE, RAW, SMALL, config, each, noise, pictures, seeded
from tune.training import augment, augmix, distortions, mixing, operators
from tune.training.config import Augmentation

# --- the whole transform -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", get_args(Augmentation))
@pytest.mark.parametrize("preprocessing", [SMALL, LARGE, LARGE.at(48), replace(SMALL, standard="none")])
@pytest.mark.parametrize("erasing", [0.0, 0.5])
def test_training_batch_keeps_its_contract(policy: str, preprocessing: Preprocessing, erasing: float) -> None:
    pixels = pictures()[:1].repeat(8, 1, 1, 1)
    before = pixels.clone()
    chosen = config(augmentation=policy, random_erasing=erasing)
    images = augment.training_batch(pixels, chosen, preprocessing, seeded(5))
    side = preprocessing.image_size
    assert images.shape == (8, 3, side, side)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.isfinite().all()
    assert torch.equal(pixels, before)
    torch.manual_seed(1)  # the global generator has no say
    assert torch.equal(images, augment.training_batch(pixels, chosen, preprocessing, seeded(5)))
    still = policy == "none" or (policy == "standard" and preprocessing.standard == "none")
    different = len(images.flatten(1).unique(dim=0))
    assert different == 1 if still and erasing == 0 else different >= 4
    other = augment.training_batch(pixels, chosen, preprocessing, seeded(6))
    assert torch.equal(images, other) == (still and erasing == 0)


@pytest.mark.parametrize(
    ("policy", "standard", "geometry"),
    [
        ("none", "crop_flip", "none"),
        ("standard", "none", "none"),
        ("standard", "crop_flip", "crop_flip"),
        ("standard", "resized_crop_flip", "resized_crop_flip"),
        ("crop_flip", "resized_crop_flip", "crop_flip"),
        ("trivialaugment", "none", "crop_flip"),
        ("trivialaugment", "resized_crop_flip", "resized_crop_flip"),
        ("randaugment", "none", "crop_flip"),
        ("randaugment", "crop_flip", "crop_flip"),
        ("augmix", "none", "crop_flip"),
        ("augmix", "resized_crop_flip", "resized_crop_flip"),
    ],
)
@pytest.mark.parametrize("distortion", [0.0, 0.7])
def test_policies_mean_what_the_architecture_says(policy: str, standard: str, geometry: str, distortion: float) -> None:
    """The result is put together here step by step, from the same draws."""
    pixels, generator = noise(6), seeded(8)
    preprocessing = replace(LARGE.at(64), standard=standard)
    expected = pixels
    if policy in ("trivialaugment", "randaugment"):
        expected = operators.draw_and_apply(expected, policy, generator)
    if policy == "augmix":
        expected = augmix.draw_and_apply(expected, generator)
    if geometry == "crop_flip":
        expected = augment._crop_flip(expected, generator)
    if distortion:
        expected = distortions.draw_and_apply(expected, distortion, generator)
    if geometry == "resized_crop_flip":
        normal = augment._normalised(expected, preprocessing)
        expected = augment._resized_crop_flip(normal, 64, generator).permute(0, 3, 1, 2)
    else:
        expected = augment.evaluation_batch(expected, preprocessing)
    chosen = config(augmentation=policy, distortion=distortion)
    result = augment.training_batch(pixels, chosen, preprocessing, seeded(8))
    assert torch.equal(result, expected)


# --- evaluation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (50, 37), (300, 410), (224, 224)])
@pytest.mark.parametrize("preprocessing", [LARGE, LARGE.at(96), SMALL, replace(SMALL, image_size=20)])
def test_evaluation_agrees_with_torchvision(size: tuple[int, int], preprocessing: Preprocessing) -> None:
    coarse = torch.rand(3, 3, 9, 9, generator=seeded(2))
    images = F.resize(coarse, list(size)).mul(255).to(torch.uint8)
    scale = v2.ToDtype(torch.float32, scale=True)
    fit = [v2.Resize(preprocessing.resize or preprocessing.image_size), v2.CenterCrop(preprocessing.image_size)]
    normalise = v2.Normalize(preprocessing.mean, preprocessing.std)
    result = augment.evaluation_batch(images.permute(0, 2, 3, 1).contiguous(), preprocessing)
    assert result.is_contiguous(memory_format=torch.channels_last)
    exact = each(images, v2.Compose([scale, *fit, normalise]))
    torch.testing.assert_close(result, exact, atol=1e-4, rtol=0, check_stride=False)
    rounded = each(images, v2.Compose([*fit, scale, normalise]))
    level = 1 / 255 / min(preprocessing.std)
    assert (result - rounded).abs().max() <= 1.5 * level


@pytest.mark.parametrize("preprocessing", [SMALL, LARGE])
def test_policy_none_is_the_evaluation_transform(preprocessing: Preprocessing) -> None:
    pixels = noise(4)
    result = augment.training_batch(pixels, config(augmentation="none"), preprocessing, seeded())
    assert torch.equal(result, augment.evaluation_batch(pixels, preprocessing))


# --- crop and flip -----------------------------------------------------------------------------------------------


def test_crop_flip_takes_every_crop_and_mirror_equally_often() -> None:
    batch = 4_000
    along = torch.arange(32, dtype=torch.uint8)
    picture = torch.stack([along[:, None].expand(32, 32), along.expand(32, 32), torch.full((32, 32), 9)], -1) + 1
    pixels = picture.to(torch.uint8).expand(batch, 32, 32, 3)
    images = augment.training_batch(pixels, config(augmentation="crop_flip"), RAW, seeded()).round().to(torch.uint8)
    # The pixel in the middle tells the offset, its neighbour the direction.
    flipped = images[:, 1, 16, 16] < images[:, 1, 16, 15]
    top = images[:, 0, 16, 16].long() + 4 - 1 - 16
    left = images[:, 1, 16, 16].long() + 4 - 1 - torch.where(flipped, 15, 16)
    padded = F.pad(picture.permute(2, 0, 1).to(torch.uint8), [4])
    crops = torch.stack([F.crop(padded, y, x, 32, 32) for y in range(9) for x in range(9)])
    candidates = torch.stack([crops, F.horizontal_flip(crops)])
    assert torch.equal(images, candidates[flipped.long(), top * 9 + left])
    assert stats.chisquare((top * 9 + left).bincount(minlength=81)).pvalue > 0.001
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=2 / math.sqrt(batch))


@pytest.mark.parametrize("size", [224, 48, 32, 12])
def test_resized_crop_is_torchvisions_for_the_same_box(size: int) -> None:
    images = noise(24).float() / 255
    top, left, height, width = augment._crop_boxes(24, 32, seeded(11))
    mirrored = torch.arange(24) % 2 == 0
    expected = torch.stack(
        [
            F.resized_crop(image, int(y), int(x), int(h), int(w), [size, size])
            for image, y, x, h, w in zip(images.permute(0, 3, 1, 2), top, left, height, width, strict=True)
        ]
    )
    rows, columns = augment._weights(top, height, 32, size), augment._weights(left, width, 32, size)
    torch.testing.assert_close(
        augment._resampled(images, rows, columns).permute(0, 3, 1, 2), expected, check_stride=False
    )

    # And with the draws of the whole step, mirrored ones included.
    result = augment._resized_crop_flip(images, size, seeded(11)).permute(0, 3, 1, 2)
    generator = seeded(11)
    augment._crop_boxes(24, 32, generator)
    mirrored = augment._flips(24, generator)[:, 0]
    assert 0 < mirrored.sum() < 24
    expected[mirrored] = expected[mirrored].flip(3)
    torch.testing.assert_close(result, expected, check_stride=False)


def test_resized_crop_boxes_are_distributed_as_torchvisions() -> None:
    count = 4_000
    top, left, height, width = augment._crop_boxes(count, 32, seeded())
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 32).all()
    assert (left + width <= 32).all()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.zeros(3, 32, 32)
        drawn = [v1.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(count)]
    y, x, h, w = torch.tensor(drawn, dtype=torch.float32).T
    for own, other in ((height * width, h * w), (width / height, w / h), (top, y), (left, x)):
        assert stats.ks_2samp(own, other).pvalue > 0.001


def test_resized_crop_mirrors_half_of_the_images() -> None:
    ramp = (torch.arange(32) * 8).to(torch.uint8)[None, None, :, None].expand(2_000, 32, 32, 3)
    preprocessing = Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 32, "resized_crop_flip")
    images = augment.training_batch(ramp, config(), preprocessing, seeded())
    mirrored = images[..., 0].mean((1, 2)) > images[..., -1].mean((1, 2))
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=2 / math.sqrt(2_000))


# --- random erasing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_erasing_is_distributed_as_torchvisions(probability: float) -> None:
    count = 4_000
    pixels = torch.full((count, 32, 32, 3), 200, dtype=torch.uint8)
    chosen = config(augmentation="none", random_erasing=probability)
    images = augment.training_batch(pixels, chosen, SMALL, seeded(1))
    gone = (images == 0).all(1)
    assert torch.equal(gone, (images == 0).any(1))
    assert torch.equal(images[:, :, ~gone.any(0)], augment.evaluation_batch(pixels, SMALL)[:, :, ~gone.any(0)])
    erased = gone.any((1, 2))
    assert erased.float().mean().item() == pytest.approx(probability, abs=2 / math.sqrt(count))
    gone = gone[erased]
    rows, columns = gone.any(2), gone.any(1)
    assert torch.equal(gone, rows[:, :, None] & columns[:, None, :])
    height, width = rows.sum(1), columns.sum(1)
    area = gone.float().mean((1, 2))
    assert 0.01 < area.min() < 0.03
    assert 0.30 < area.max() < 0.36
    assert height.max() <= 31
    assert width.max() <= 31
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.zeros(3, 32, 32)
        drawn = [v1.RandomErasing.get_params(image, (0.02, 0.33), (0.3, 3.3), [0.0])[:4] for _ in range(count)]
    y, x, h, w = torch.tensor(drawn, dtype=torch.float32).T
    top, left = rows.int().argmax(1), columns.int().argmax(1)
    for own, other in ((height, h), (width, w), (top, y), (left, x), (area * 32**2, h * w)):
        assert stats.ks_2samp(own, other).pvalue > 0.001


def test_where_no_box_fits_nothing_is_erased_and_the_crop_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "ERASED_AREA", (1.0, 1.0))
    monkeypatch.setattr(augment, "CROP_AREA", (2.0, 2.0))
    chosen = config(augmentation="none", random_erasing=1.0)
    result = augment.training_batch(noise(50), chosen, SMALL, seeded())
    assert torch.equal(result, augment.evaluation_batch(noise(50), SMALL))
    boxes = torch.stack(augment._crop_boxes(50, 32, seeded()))
    assert torch.equal(boxes, torch.tensor([0.0, 0.0, 32.0, 32.0])[:, None].expand(4, 50))


# --- CUDA --------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # torch calls it a prototype
def test_cuda_agrees_and_is_never_waited_for() -> None:
    device = torch.device("cuda")
    pixels = pictures().repeat(20, 1, 1, 1)
    operator, magnitude = operators.draw(len(pixels), 32, "trivialaugment", seeded())
    there = operators.apply(pixels.to(device), operator.to(device), magnitude.to(device)).cpu()
    assert (there == operators.apply(pixels, operator, magnitude)).float().mean() > 0.99
    labels, generator = torch.arange(len(pixels), device=device), torch.Generator(device).manual_seed(0)
    pixels = pixels.to(device)

    def every_policy() -> None:
        for policy in get_args(Augmentation):
            chosen = config(augmentation=policy, random_erasing=0.5, mixup=0.2, cutmix=1.0, distortion=0.5, jsd=12.0)
            for preprocessing in (SMALL, LARGE.at(64)):
                images = augment.training_batch(pixels, chosen, preprocessing, generator)
                mixing.mix(images, labels, chosen, generator)

    every_policy()  # brings the constants to the device
    torch.cuda.set_sync_debug_mode("error")
    try:
        every_policy()
    finally:
        torch.cuda.set_sync_debug_mode("default")
