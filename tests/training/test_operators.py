"""The policies' operators: against torchvision one image at a time, and their draws against their distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tests.training.pictures import each, pictures, seeded
from tune.training import operators
from tune.training.operators import OPERATORS, SIGNED

CPU = torch.device("cpu")


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
            if name in operators.GEOMETRIC:
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
    for stage in (operators.warp, operators.blend, operators.remap):
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
