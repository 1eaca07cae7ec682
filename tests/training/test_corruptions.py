"""The corruptions that judge: what they do to an image, that each image has its own, and that training knows none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tune
from tune.training import corruptions, operators
from tune.training.corruptions import CORRUPTIONS, SEVERITIES, apply, corrupt, corrupted, draw
from tune.training.data import TrainingData
from tune.training.distortions import DISTORTIONS

COUNT = 66
IMAGE = torch.arange(1000, 1000 + COUNT)


def pictures() -> Tensor:
    """Smooth coloured images with an edge and some texture: uint8 (COUNT, 32, 32, 3)."""
    seeded = torch.Generator().manual_seed(0)
    coarse = torch.rand(COUNT, 3, 5, 5, generator=seeded)
    smooth = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear") * 200
    smooth[..., 10:20, 12:18] += 50
    return (smooth + 5 * torch.rand(smooth.shape, generator=seeded)).to(torch.uint8).permute(0, 2, 3, 1)


def grey(level: int = 128) -> Tensor:
    return torch.full((COUNT, 32, 32, 3), level, dtype=torch.uint8)


def changed(name: str, level: int, pixels: Tensor) -> Tensor:
    """What it adds to each value, in levels of 255."""
    return apply(name, level, pixels, IMAGE).float() - pixels.float()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_changes_every_image_and_more_so_the_stronger_it_is(name: str) -> None:
    pixels = pictures()
    found = [apply(name, level, pixels, IMAGE) for level in range(SEVERITIES)]
    assert all(each.dtype == torch.uint8 and each.shape == pixels.shape for each in found)
    distances = torch.stack([(each.float() - pixels.float()).abs().mean((1, 2, 3)) for each in found])
    assert distances.min() > 0
    assert distances.mean(1).tolist() == sorted(distances.mean(1).tolist())
    assert distances.mean(1)[0] > 1
    assert distances.mean(1)[-1] < 100, "nothing is left to recognise"


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alike_in_any_batch(name: str) -> None:
    pixels, some = pictures(), torch.tensor([9, 3, 50])
    whole = apply(name, 1, pixels, IMAGE)
    # The kernels of another batch size may round a value to the other side.
    assert (apply(name, 1, pixels[some], IMAGE[some]).float() - whole[some].float()).abs().max() <= 1


def test_two_images_differ_in_their_noise() -> None:
    noise = changed("gaussian_noise", 1, grey())
    assert not torch.equal(noise[0], noise[1])


@pytest.mark.parametrize("level", range(SEVERITIES))
def test_noises_are_as_strong_as_they_say(level: int) -> None:
    deviation, photons, share = (CORRUPTIONS[f"{name}_noise"][1][level] for name in ("gaussian", "shot", "impulse"))
    noise = changed("gaussian_noise", level, grey())
    assert noise.std().item() == pytest.approx(255 * deviation, rel=0.02)
    for brightness in (64, 128):
        noise = changed("shot_noise", level, grey(brightness)) / 255
        assert noise.var().item() == pytest.approx(brightness / 255 / photons, rel=0.05)
        assert noise.mean().item() == pytest.approx(0, abs=0.002)
    stuck = apply("impulse_noise", level, grey(), IMAGE)
    for value in (0, 255):
        assert (stuck == value).double().mean().item() == pytest.approx(share / 2, rel=0.1)
    assert ((stuck == 0) | (stuck == 255) | (stuck == 128)).all()


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "zoom_blur", "elastic", "pixelate"])
def test_what_only_moves_light_leaves_an_even_image_even(name: str) -> None:
    assert changed(name, 2, grey()).abs().max() <= 1


def test_a_blurred_point_is_a_disk_a_line_or_stays_where_it_is() -> None:
    point = grey(0)
    point[:, 16, 16] = 255
    disk = apply("defocus_blur", 2, point, IMAGE)[0, :, :, 0].float()
    assert disk.sum().item() == pytest.approx(255, rel=0.03)
    assert torch.equal(disk, disk.T)
    assert (disk > 0).sum() == 9 + 4, "radius 1.6"
    line = apply("motion_blur", 2, point, IMAGE)[..., 0].float()
    rows, columns = ((line.sum(axis) > 4).sum(1) for axis in (2, 1))
    assert (torch.maximum(rows, columns) >= 4).all()
    assert (rows != rows[0]).any(), "each image in a direction of its own"


def test_fog_takes_contrast_away() -> None:
    pixels = pictures()
    foggy = apply("fog", 2, pixels, IMAGE).float()
    contrast = [images[..., 10:20, 10:20, :].std((1, 2, 3)).mean() for images in (pixels.float(), foggy)]
    assert contrast[1] < 0.8 * contrast[0]


def test_pixels_of_a_coarser_sensor_repeat() -> None:
    coarse = apply("pixelate", 2, pictures(), IMAGE)  # 16 x 16
    assert torch.equal(coarse[:, ::2, ::2], coarse[:, 1::2, 1::2])


def test_each_corruption_and_strength_has_its_share_of_the_images() -> None:
    kind, strength = draw(torch.arange(50_000))
    count = torch.bincount(kind * SEVERITIES + strength, minlength=len(CORRUPTIONS) * SEVERITIES)
    assert count.sum() == 50_000
    assert (count.float() / 50_000 * len(count) - 1).abs().max() < 0.1


def test_a_set_is_corrupted_in_its_order_by_its_images_numbers(tiny: TrainingData) -> None:
    assert tiny.val is not None
    found = corrupted(tiny.val)
    assert torch.equal(found.labels[found.index], tiny.val.labels[tiny.val.index])
    for at in (0, len(found) - 1):
        row = tiny.val.index[at : at + 1]
        (kind,), (level,) = draw(row)
        alone = apply(list(CORRUPTIONS)[kind], int(level), tiny.val.pixels[row], row)
        assert (found.pixels[at].float() - alone[0].float()).abs().max() <= 1


def test_they_are_made_once_for_all_trials_of_a_process(tiny: TrainingData) -> None:
    assert tiny.to(torch.device("cpu")).corrupted_val is tiny.corrupted_val


def test_training_and_judging_share_no_operator_and_the_page_says_which_they_are() -> None:
    page = (Path(tune.__file__).parent.parent / "docs" / "robust.md").read_text()
    rows = re.findall(r"^\| (.*) \| (.*) \|$", page.partition("## What is measured")[0], re.MULTILINE)[1:]
    lists: dict[str, set[str]] = {"training": set(), "judging": set()}
    for title, names in rows:
        lists["training" if title.startswith("training") else "judging"] |= set(names.split(", "))
    assert lists["judging"] == set(CORRUPTIONS)
    assert lists["training"] == {*operators.OPERATORS, *DISTORTIONS}
    assert not lists["training"] & lists["judging"]


@pytest.mark.gpu
def test_cuda_agrees() -> None:
    pixels = pictures()
    there = corruptions.corrupt(pixels.cuda(), IMAGE.cuda()).cpu().float()
    difference = (there - corrupt(pixels, IMAGE).float()).abs()
    assert (difference > 1).double().mean() < 0.001  # where a threshold falls between two roundings
