"""Hendrycks's corruptions at 32 px: what each does to an image, and the files and figures that follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from benchmarks import cifar100c
from benchmarks.cifar100c import FAMILIES, blur, corrupted, digital, noise, score, weather
from benchmarks.cifar100c.__main__ import write
from tune.training import checkpoint
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.images import ImageSet
from tune.training.loop import fit

N = 6


@pytest.fixture(scope="module")
def pictures() -> cifar100c.Pixels:
    """Smooth, coloured, with an edge: uint8 (N, 32, 32, 3)."""
    rng = np.random.default_rng(0)
    smooth = ndimage.zoom(rng.random((N, 4, 4, 3)), (1, 8, 8, 1), order=1) * 200
    smooth[:, 8:20, 10:16] += 40
    return smooth.astype(np.uint8)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_changes_images_at_each_severity_the_same_way_at_each_call(
    name: str, pictures: cifar100c.Pixels
) -> None:
    distances = []
    for severity in range(1, 6):
        found = corrupted(name, severity, pictures)
        assert (found.dtype, found.shape) == (np.uint8, pictures.shape)
        assert np.array_equal(found, corrupted(name, severity, pictures))
        distances.append(np.abs(found.astype(float) - pictures).mean())
    assert min(distances) > 0
    if name not in ("elastic_transform", "saturate"):  # whose constants are no ladder
        assert distances[0] < distances[-1]


def test_noises_are_as_strong_as_published() -> None:
    grey, rng = np.full((N, 32, 32, 3), 0.5, np.float32), np.random.default_rng(0)
    assert noise.gaussian_noise(grey, 3, rng).std() == pytest.approx(0.08, rel=0.02)
    assert noise.speckle_noise(grey, 5, rng).std() == pytest.approx(0.1, rel=0.02)
    assert noise.shot_noise(grey, 5, rng).var() == pytest.approx(0.5 / 50, rel=0.05)
    stuck = noise.impulse_noise(grey, 5, rng)
    assert [(stuck == value).mean() for value in (0, 1)] == pytest.approx([0.035, 0.035], rel=0.1)


def test_blurs_keep_the_light_and_spread_a_point_as_published() -> None:
    point = np.zeros((2, 32, 32, 3), np.float32)
    point[:, 16, 16] = 1
    for severity in range(1, 6):
        for operator in (blur.gaussian_blur, blur.defocus_blur, blur.motion_blur):
            spread = operator(point, severity, np.random.default_rng(1))
            assert spread.sum((1, 2)) == pytest.approx(1, rel=1e-3)
    plus = blur.defocus_blur(point, 4, np.random.default_rng(1))[0, :, :, 0]
    assert np.argwhere(plus > 0.1).tolist() == [[15, 16], [16, 15], [16, 16], [16, 17], [17, 16]]  # radius 1
    along = blur.moved(point, 6, 2.0, np.zeros(2))[0, :, :, 0]
    assert set(np.argwhere(along > 0.01)[:, 0]) == {16}, "an angle of 0 is a row"


@pytest.mark.parametrize("factor", [1.0, 1.03, 1.12, 1.25, 1.75, 2.25])
def test_a_zoom_is_scipys(factor: float, pictures: cifar100c.Pixels) -> None:
    image = pictures[:1].astype(np.float32)
    size = int(np.ceil(32 / factor))
    first = (32 - size) // 2
    crop = image[0, first : first + size, first : first + size]
    theirs = ndimage.zoom(crop, (factor, factor, 1), order=1)
    trim = (len(theirs) - 32) // 2
    assert np.allclose(blur.zoomed(image, factor)[0], theirs[trim : trim + 32, trim : trim + 32], atol=0.01)


def test_brightness_and_saturation_are_those_of_hsv() -> None:
    """By hand: (0.4, 0.2, 0.2) has value 0.4 and saturation 0.5."""
    colour, black = np.array([0.4, 0.2, 0.2]), np.zeros(3)
    image = np.stack([colour, black]).reshape(1, 1, 2, 3).astype(np.float32)
    rng = np.random.default_rng(0)
    brighter = digital.brightness(image, 2, rng)[0, 0]
    assert brighter == pytest.approx(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.1]]))
    assert digital.saturate(image, 3, rng)[0, 0, 0] == pytest.approx([0.4, 0.1, 0.1])  # 0.75
    white = np.ones((1, 1, 1, 3), np.float32)
    assert digital.saturate(white, 5, rng)[0, 0, 0] == pytest.approx([1.0, 0.8, 0.8]), "red, which hue 0 is"
    assert digital.contrast(image, 2, rng)[0, 0, 0] == pytest.approx([0.3, 0.15, 0.15])


def test_the_plasma_fills_its_range_and_is_smoother_the_faster_it_decays() -> None:
    rng = np.random.default_rng(0)
    rough, smooth = (weather.plasma(64, decay, rng) for decay in (1.75, 3.0))
    for height in (rough, smooth):
        assert np.array_equal(height.min((1, 2)), np.zeros(64))
        assert np.array_equal(height.max((1, 2)), np.ones(64))
    assert np.abs(np.diff(smooth, 2)).mean() < 0.7 * np.abs(np.diff(rough, 2)).mean()


def test_files_are_written_and_scored(
    tmp_path: Path, pictures: cifar100c.Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = torch.arange(N) % 100
    table = ImageSet(torch.from_numpy(pictures), labels, torch.arange(N), tuple(f"class {n}" for n in range(100)), "")
    images = table.select(torch.arange(4))
    write(images, tmp_path / "set")
    fog = np.load(tmp_path / "set" / "fog.npy")
    assert np.array_equal(fog[4:8], corrupted("fog", 2, pictures[:4]))
    config = TrainConfig(model="simple_cnn", lr=0.002, batch_size=4, epochs=8, optimizer="adamw", augmentation="none")
    *_, last = fit(config, TrainingData(images, None), torch.device("cpu"))
    checkpoint.save_model(tmp_path / "model.pt", last.training, images.class_names)
    out = tmp_path / "score.json"
    assert score.main([str(tmp_path / "model.pt"), "--set", str(tmp_path / "set"), "--out", str(out)]) == 0
    assert "fog" in capsys.readouterr().out
    classifier = checkpoint.load_model(tmp_path / "model.pt", torch.device("cpu"))
    found = score.score(classifier, tmp_path / "set", torch.device("cpu"))
    hits = classifier.log_probabilities(torch.from_numpy(fog[4:8])).argmax(1) == images.labels[:4]
    assert found["families"]["fog"][1] == pytest.approx(100 * hits.double().mean().item())
    assert found["mean"] == pytest.approx(np.mean([np.mean(five) for five in found["families"].values()]))
    assert found["mean"] > 25, "it knows its four images by heart"


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks gaussian_noise\.npy; python -m benchmarks\.cifar100c"):
        score.check(tmp_path)
