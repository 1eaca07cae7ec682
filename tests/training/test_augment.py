"""Augmentation: against torchvision one image at a time, and its draws against their distributions."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision import transforms as v1
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from cifar_models.architecture import Preprocessing
from tune.training import augment, operators
from tune.training.config import TrainConfig
from tune.training.operators import OPERATORS, SIGNED

CPU = torch.device("cpu")
# With these, a normalised value is the pixel's own, 0 to 255.
RAW = Preprocessing((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), 32, "crop_flip")
SMALL = Preprocessing((0.5, 0.4, 0.3), (0.25, 0.2, 0.3), 32, "crop_flip")
LARGE = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224, "resized_crop_flip", 256)
POLICIES = ("none", "standard", "crop_flip", "randaugment", "trivialaugment")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config(**changes: object) -> TrainConfig:
    return TrainConfig.from_dict({"model": "resnet18", "lr": 0.1, "batch_size": 8, "epochs": 1} | changes)


def noise(batch: int, height: int = 32, width: int = 32) -> Tensor:
    return torch.randint(256, (batch, height, width, 3), dtype=torch.uint8, generator=seeded(99))


def pictures() -> Tensor:
    """Smooth, noisy and dark images, and the corner cases: one level, two levels, a nearly uniform one."""
    coarse = (
        torch.rand(6, 3, 6, 6, generator=seeded(1)) * torch.tensor([1.0, 1.0, 0.4, 0.1, 0.6, 1.0])[:, None, None, None]
    )
    smooth = F.resize(coarse, [32, 32]).mul(255).to(torch.uint8).permute(0, 2, 3, 1)
    flat = torch.full((1, 32, 32, 3), 77, dtype=torch.uint8)
    halves = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    halves[:, :, 16:] = 255
    spot = torch.full((1, 32, 32, 3), 200, dtype=torch.uint8)
    spot[:, 3, 5] = torch.tensor([10, 20, 30], dtype=torch.uint8)
    return torch.cat([smooth, noise(4), flat, halves, spot])


def each(images: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """torchvision's transform on one image (3, H, W) at a time."""
    return torch.stack([transform(image) for image in images])


def torchvision_operator(name: str, m: float) -> Callable[[Tensor], Tensor]:
    """The operator as torchvision's own RandAugment and TrivialAugmentWide call it."""

    def affine(translate: list[int], shear: list[float], center: list[float] | None) -> Callable[[Tensor], Tensor]:
        return lambda image: F.affine(image, angle=0.0, translate=translate, scale=1.0, shear=shear, center=center)

    slope = math.degrees(math.atan(m))
    table: dict[str, Callable[[Tensor], Tensor]] = {
        "identity": lambda image: image,
        "shear_x": affine([0, 0], [slope, 0.0], [0.0, 0.0]),
        "shear_y": affine([0, 0], [0.0, slope], [0.0, 0.0]),
        "translate_x": affine([int(m), 0], [0.0, 0.0], None),
        "translate_y": affine([0, int(m)], [0.0, 0.0], None),
        "rotate": lambda image: F.rotate(image, angle=m),
        "brightness": lambda image: F.adjust_brightness(image, 1.0 + m),
        "color": lambda image: F.adjust_saturation(image, 1.0 + m),
        "contrast": lambda image: F.adjust_contrast(image, 1.0 + m),
        "sharpness": lambda image: F.adjust_sharpness(image, 1.0 + m),
        "posterize": lambda image: F.posterize(image, int(m)),
        "solarize": lambda image: F.solarize(image, 255.0 * m),
        "autocontrast": F.autocontrast,
        "equalize": F.equalize,
    }
    return table[name]


# --- operators ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
@pytest.mark.parametrize("name", OPERATORS)
def test_operator_agrees_with_torchvision(name: str, policy: operators.Policy) -> None:
    pixels = pictures()
    images = pixels.permute(0, 3, 1, 2).contiguous()
    operator = torch.full((len(pixels),), OPERATORS.index(name))
    for level in operators.magnitudes(policy, 32, CPU)[OPERATORS.index(name), ::3].tolist():
        for magnitude in {level, -level if name in SIGNED else level}:
            expected = each(images, torchvision_operator(name, magnitude)).permute(0, 2, 3, 1)
            result = operators.apply(pixels, operator, torch.full((len(pixels),), magnitude))
            assert result.dtype == torch.uint8
            if name in operators.MOVES:
                assert (result == expected).all(-1).float().mean() > 0.99
            elif name in ("identity", "posterize", "solarize", "equalize"):  # whole-number arithmetic
                assert torch.equal(result, expected)
            else:
                assert (result.int() - expected.int()).abs().max() <= 1
    if name != "identity":
        assert not torch.equal(expected, pixels)  # the strongest must do something, or nothing was compared


@pytest.mark.parametrize(
    ("policy", "reference"), [("randaugment", v2.RandAugment), ("trivialaugment", v2.TrivialAugmentWide)]
)
def test_magnitudes_are_torchvisions(policy: operators.Policy, reference: type) -> None:
    table = operators.magnitudes(policy, 32, CPU)
    space = reference._AUGMENTATION_SPACE
    assert len(space) == len(OPERATORS)
    for name, (magnitudes, signed) in space.items():
        row = next(row for row, own in enumerate(OPERATORS) if own.replace("_", "") == name.lower())
        expected = magnitudes(operators.BINS, 32, 32)
        assert torch.equal(table[row], torch.zeros(operators.BINS) if expected is None else expected.float())
        assert signed == (OPERATORS[row] in SIGNED)


def test_every_image_has_its_own_operator_in_one_batch() -> None:
    """A mixed batch is each image under its own operator; and CUDA's way, all stages for all, is the same."""
    pixels = pictures().repeat(40, 1, 1, 1)
    operator, magnitude = operators.draw(len(pixels), 32, "trivialaugment", seeded())
    assert len(operator.unique()) == len(OPERATORS)
    mixed = operators.apply(pixels, operator, magnitude)
    staged = pixels
    for stage in (operators.move, operators.blend, operators.remap):
        staged = stage(staged, operator, magnitude)
    assert torch.equal(mixed, staged)
    for row in range(0, len(pixels), 7):
        one = slice(row, row + 1)
        assert torch.equal(mixed[one], operators.apply(pixels[one], operator[one], magnitude[one]))


def test_trivialaugment_draws_uniformly() -> None:
    operator, magnitude = operators.draw(60_000, 32, "trivialaugment", seeded())
    assert stats.chisquare(operator.bincount(minlength=len(OPERATORS))).pvalue > 0.001
    table = operators.magnitudes("trivialaugment", 32, CPU)
    for name in ("rotate", "solarize", "color"):
        drawn = magnitude[operator == OPERATORS.index(name)]
        bins = (drawn.abs()[:, None] - table[OPERATORS.index(name)]).abs().argmin(1)
        assert stats.chisquare(bins.bincount(minlength=operators.BINS)).pvalue > 0.001
    signed = torch.tensor([name in SIGNED for name in OPERATORS])[operator]
    negative = (magnitude < 0)[signed & (magnitude != 0)].float()
    assert negative.mean().item() == pytest.approx(0.5, abs=2 / math.sqrt(len(negative)))
    assert (magnitude[~signed] >= 0).all()


def test_randaugment_applies_two_operators_of_magnitude_nine() -> None:
    operator, magnitude = operators.draw(5_000, 32, "randaugment", seeded(3))
    assert torch.equal(magnitude.abs(), operators.magnitudes("randaugment", 32, CPU)[operator, 9])
    assert stats.chisquare(operator.bincount(minlength=len(OPERATORS))).pvalue > 0.001
    pixels, generator = pictures(), seeded(4)
    expected = pixels
    for _ in range(2):
        expected = operators.apply(expected, *operators.draw(len(pixels), 32, "randaugment", generator))
    assert torch.equal(operators.draw_and_apply(pixels, "randaugment", seeded(4)), expected)


# --- the whole transform -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
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
    ],
)
def test_policies_mean_what_the_architecture_says(policy: str, standard: str, geometry: str) -> None:
    """The result is put together here step by step, from the same draws."""
    pixels, generator = noise(6), seeded(8)
    preprocessing = replace(LARGE.at(64), standard=standard)
    expected = pixels
    if policy in ("trivialaugment", "randaugment"):
        expected = operators.draw_and_apply(expected, policy, generator)
    if geometry == "crop_flip":
        expected = augment._crop_flip(expected, generator)
    if geometry == "resized_crop_flip":
        normal = augment._normalised(expected, preprocessing)
        expected = augment._resized_crop_flip(normal, 64, generator).permute(0, 3, 1, 2)
    else:
        expected = augment.evaluation_batch(expected, preprocessing)
    result = augment.training_batch(pixels, config(augmentation=policy), preprocessing, seeded(8))
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


# --- MixUp and CutMix --------------------------------------------------------------------------------------------


def numbered(batch: int, side: int = 8) -> tuple[Tensor, Tensor]:
    """Image i is full of the number i, channels last; its label is i."""
    labels = torch.arange(batch)
    images = labels.float()[:, None, None, None].expand(batch, 3, side, side)
    return images.contiguous(memory_format=torch.channels_last), labels


def test_mix_off_changes_nothing() -> None:
    images, labels = numbered(6)
    mixed, partners, share = augment.mix(images, labels, config(), seeded())
    assert mixed is images
    assert torch.equal(partners, labels)
    assert torch.equal(share, torch.ones(6))


@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mix_keeps_its_contract(changes: dict[str, float]) -> None:
    images, labels = numbered(64)
    before = images.clone()
    mixed, partners, share = augment.mix(images, labels, config(**changes), seeded(2))
    assert torch.equal(images, before)
    assert mixed.shape == images.shape
    assert mixed.dtype == share.dtype == torch.float32
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert share.shape == (64,)
    assert torch.equal(partners.sort().values, labels)
    assert not torch.equal(partners, labels)
    torch.manual_seed(1)
    again = augment.mix(images, labels, config(**changes), seeded(2))
    assert all(torch.equal(one, other) for one, other in zip((mixed, partners, share), again, strict=True))
    assert not torch.equal(share, augment.mix(images, labels, config(**changes), seeded(3))[2])


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_the_smallest_alpha_leaves_images_whole(mixing: str) -> None:
    images, labels = numbered(64, 2)
    mixed, _, share = augment.mix(images, labels, config(**{mixing: 1e-300}), seeded(1))
    assert share.isfinite().all()
    assert mixed.isfinite().all()


@pytest.mark.parametrize("alpha", [0.001, 0.2, 1.0, 8.0])
def test_mixup_shares_follow_the_beta_distribution(alpha: float) -> None:
    batch = 10_000
    images, labels = numbered(batch, 2)
    mixed, partners, share = augment.mix(images, labels, config(mixup=alpha), seeded())
    expected = share.double() * labels + (1 - share.double()) * partners
    torch.testing.assert_close(mixed.double(), expected[:, None, None, None].expand_as(mixed), rtol=1e-5, atol=1e-2)
    variance = 1 / (4 * (2 * alpha + 1))
    assert share.mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(variance / batch))
    assert share.var().item() == pytest.approx(variance, rel=0.05)
    # The lower half only, as float32 rounds draws near 1 to 1; for the smallest alpha it rounds most to 0 or 1.
    if alpha > 0.1:
        lower = share[share < 0.5].double().numpy()
        assert stats.kstest(lower, lambda x: 2 * stats.beta(alpha, alpha).cdf(x)).pvalue > 0.001


def test_cutmix_share_is_exactly_the_pixels_share() -> None:
    batch, side = 4_000, 32
    images, labels = numbered(batch, side)
    mixed, partners, share = augment.mix(images, labels, config(cutmix=1.0), seeded())
    own = (mixed == labels[:, None, None, None]).all(1)
    other = (mixed == partners[:, None, None, None]).all(1)
    apart = labels != partners
    assert (own | other).all()
    assert torch.equal(own[apart].sum((1, 2)) / side**2, share[apart])
    rows, columns = other[apart].any(2), other[apart].any(1)
    assert torch.equal(other[apart], rows[:, :, None] & columns[:, None, :])
    # The paper's algorithm, once more, in NumPy.
    random = np.random.default_rng(0)
    half = (0.5 * np.sqrt(1 - random.beta(1.0, 1.0, batch)) * side).astype(int)
    y, x = random.integers(side, size=(2, batch))
    height = np.minimum(y + half, side) - np.maximum(y - half, 0)
    width = np.minimum(x + half, side) - np.maximum(x - half, 0)
    assert stats.ks_2samp(share.numpy(), 1 - height * width / side**2).pvalue > 0.001


def test_with_both_on_each_image_draws_one() -> None:
    batch = 4_000
    images, labels = numbered(batch, 16)
    mixed, partners, share = augment.mix(images, labels, config(mixup=1.0, cutmix=1.0), seeded())
    whole = (mixed == mixed[:, :1, :1, :1]).all((1, 2, 3))
    pure = ((mixed == labels[:, None, None, None]) | (mixed == partners[:, None, None, None])).all((1, 2, 3))
    assert (whole | pure).all()  # a MixUp image has one value, a CutMix image the two numbers only
    assert (~pure).float().mean().item() == pytest.approx(0.5, abs=0.04)
    expected = share * labels + (1 - share) * partners
    torch.testing.assert_close(mixed.mean((1, 2, 3)), expected, rtol=1e-5, atol=1e-2)


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
        for policy in POLICIES:
            chosen = config(augmentation=policy, random_erasing=0.5, mixup=0.2, cutmix=1.0)
            for preprocessing in (SMALL, LARGE.at(64)):
                images = augment.training_batch(pixels, chosen, preprocessing, generator)
                augment.mix(images, labels, chosen, generator)

    every_policy()  # brings the constants to the device
    torch.cuda.set_sync_debug_mode("error")
    try:
        every_policy()
    finally:
        torch.cuda.set_sync_debug_mode("default")
