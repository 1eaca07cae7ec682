"""Distortions: each against its definition, on its own images alone, as often as it is asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor

from tests.training.pictures import noise, pictures, seeded
from tune.training import distortions
from tune.training.distortions import DISTORTIONS


def under(name: str, pixels: Tensor, strength: float) -> Tensor:
    kind = torch.full((len(pixels),), DISTORTIONS.index(name))
    return distortions.apply(pixels, kind, torch.full((len(pixels),), strength), seeded())


def grey(count: int, level: int) -> Tensor:
    return torch.full((count, 32, 32, 3), level, dtype=torch.uint8)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_it_is_stronger_the_stronger_it_is(name: str) -> None:
    pixels = pictures()
    before = pixels.clone()
    changes = [(under(name, pixels, strength).int() - pixels.int()).abs().float().mean() for strength in (0, 0.5, 1)]
    assert torch.equal(pixels, before)
    assert changes[0] < 4
    assert changes[0] < changes[1] < changes[2]
    assert changes[2] > 6


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_uniform_noise_has_its_width_and_is_each_channels_own(strength: float) -> None:
    added = under("uniform_noise", grey(40, 128), strength).double() - 128
    most = 51 * strength
    assert added.abs().max() <= most + 0.5
    assert added.std().item() == pytest.approx(most / 3**0.5, rel=0.03)
    assert added.mean().abs() < 0.5
    assert np.abs(np.corrcoef(added.flatten(0, 2).T.numpy())[np.triu_indices(3, 1)]).max() < 0.02


def test_speckle_is_in_proportion_to_the_level() -> None:
    for level in (20, 100):
        added = under("speckle_noise", grey(40, level), 0.5).double() - level
        assert added.std().item() == pytest.approx(0.2 * level, rel=0.03)
    assert torch.equal(under("speckle_noise", grey(2, 0), 1.0), grey(2, 0))


def test_a_box_of_three_pixels_is_their_mean_and_half_a_pixel_counts_by_half() -> None:
    pixels = noise(3)
    planes = pixels.permute(0, 3, 1, 2).float()
    three = torch.nn.functional.avg_pool2d(planes, 3, 1, 1, count_include_pad=False).permute(0, 2, 3, 1)
    assert (under("box_blur", pixels, 2 / 3) - three).abs().max() <= 0.51
    line = torch.tensor([0.25, 0.5, 0.25])  # of a box of 2
    two = torch.nn.functional.conv2d(planes, (line[:, None] * line).expand(3, 1, 3, 3), groups=3).permute(0, 2, 3, 1)
    assert (under("box_blur", pixels, 1 / 3)[:, 1:-1, 1:-1] - two).abs().max() <= 0.51


def as_jpeg(image: Tensor, quality: int) -> Tensor:
    """Through a file of Pillow's and back, at full resolution of the chrominance: int32."""
    file = io.BytesIO()
    Image.fromarray(image.numpy()).save(file, "JPEG", quality=quality, subsampling=0)
    return torch.from_numpy(np.array(Image.open(file))).int()


@pytest.mark.parametrize("quality", [90, 60, 40, 15])
def test_quantisation_is_jpegs(quality: int) -> None:
    """Of grey images, which have luminance alone; but for coefficients half-way between two steps."""
    pixels = pictures()[..., :1].expand(-1, -1, -1, 3).contiguous()
    ours = under("dct_quantisation", pixels, (90 - quality) / 75)[..., 0].int()
    apart = (ours - torch.stack([as_jpeg(image, quality) for image in pixels[..., 0]])).abs().float()
    assert apart.mean() < 0.5
    assert (apart <= 1).float().mean() > 0.9


def test_quantisation_of_colours_is_nearly_jpegs() -> None:
    """Pillow rounds luminance and chrominance before and after, too."""
    pixels = pictures()[:6]
    theirs = torch.stack([as_jpeg(image, 50) for image in pixels])
    apart = (under("dct_quantisation", pixels, 40 / 75).int() - theirs).abs().float()
    assert apart.mean() < 1.2
    assert apart.mean() < 0.4 * (theirs - pixels.int()).abs().float().mean()


def test_each_image_has_its_own_and_others_are_left_alone() -> None:
    pixels = pictures()
    kind = torch.arange(len(pixels)) % (len(DISTORTIONS) + 1) - 1
    result = distortions.apply(pixels, kind, torch.ones(len(pixels)), seeded())
    for name in ("box_blur", "dct_quantisation"):
        mine = kind == DISTORTIONS.index(name)
        assert torch.equal(result[mine], under(name, pixels[mine], 1.0))
    assert torch.equal(result[kind == -1], pixels[kind == -1])
    assert not (result[kind >= 0] == pixels[kind >= 0]).all((1, 2, 3)).any()


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_so_many_are_distorted_each_way_equally_often(probability: float, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(distortions, "apply", lambda *given: drawn.append(given) or given[0])
    distortions.draw_and_apply(grey(6_000, 9)[:, :8, :8], probability, seeded())
    ((_, kind, strength, _),) = drawn
    assert (kind >= 0).double().mean().item() == pytest.approx(probability, abs=0.02)
    if probability:
        assert stats.chisquare(kind[kind >= 0].bincount(minlength=len(DISTORTIONS))).pvalue > 0.001
    assert stats.kstest(strength, "uniform").pvalue > 0.001


def test_the_draws_are_the_generators() -> None:
    pixels = pictures()
    once = distortions.draw_and_apply(pixels, 0.8, seeded(1))
    torch.manual_seed(1)
    assert torch.equal(distortions.draw_and_apply(pixels, 0.8, seeded(1)), once)
    assert not torch.equal(distortions.draw_and_apply(pixels, 0.8, seeded(2)), once)
