"""The comparison of rankings: on made-up figures, and on two real models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks.robust import __main__ as command
from benchmarks.robust import configurations, ranking, train, truth
from tune.files import sha256
from tune.training import corruptions
from tune.training.images import ImageSet


def made_up(clean_noise: float, robust_noise: float, count: int = 40) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    true = rng.uniform(10, 40, count)
    clean, robust = (true + noise * rng.standard_normal(count) for noise in (clean_noise, robust_noise))
    return [
        {"val_acc": c, "val_robust_acc": r, "truth": t}
        for c, r, t in zip(clean.tolist(), robust.tolist(), true.tolist(), strict=True)
    ]


def test_correlations_are_scipys_and_the_better_figure_is_told() -> None:
    rows = made_up(8.0, 2.0)
    found = ranking.compare(rows)["all"]
    clean, true = ([row[name] for row in rows] for name in ("val_acc", "truth"))
    assert found["val_acc"]["spearman"] == pytest.approx(stats.spearmanr(clean, true).statistic)
    assert found["val_acc"]["kendall"] == pytest.approx(stats.kendalltau(clean, true).statistic)
    low, high = found["difference_interval95"]
    assert 0 < low < found["difference"] < high
    assert found["best_truth"] >= found["val_robust_acc"]["picked_truth"]


def test_equal_figures_do_not_differ() -> None:
    low, high = ranking.compare(made_up(4.0, 4.0))["all"]["difference_interval95"]
    assert low < 0 < high


def test_the_better_half_is_the_truly_better_one() -> None:
    rows = made_up(1.0, 1.0, count=7)
    half = ranking.compare(rows)["better_half"]
    assert half["configurations"] == 4
    assert half["best_truth"] == max(row["truth"] for row in rows)


def test_ties_share_their_mean_rank() -> None:
    a, b = np.array([[1.0, 1.0, 2.0, 5.0]]), np.array([[3.0, 4.0, 4.0, 9.0]])
    assert ranking.spearman(a, b)[0] == pytest.approx(stats.spearmanr(a[0], b[0]).statistic)


def test_configurations_are_different_and_do_not_depend_on_their_number() -> None:
    drawn = configurations.draws(32, 5)
    assert len(set(drawn)) == 32
    assert configurations.draws(5, 5) == drawn[:5]
    assert {config.augmentation for config in drawn} == set(configurations.AUGMENTATIONS)


def noise_images(count: int) -> ImageSet:
    pixels = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet(pixels, torch.arange(count) % 100, torch.arange(count), ("class",) * 100, "")


def test_models_are_trained_and_measured_and_those_measured_before_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = noise_images(176)
    held_out = table.select(torch.arange(160, 176))
    parts = configurations.Parts(table.select(torch.arange(128)), table.select(torch.arange(128, 160)), held_out)
    monkeypatch.setattr(command, "parts", lambda data_dir: parts)
    models, text, out = tmp_path / "models", tmp_path / "robust.md", tmp_path / "robust.json"
    models.mkdir()
    train.train([(10, configurations.draws(11, 1)[10])], parts.train, models)
    before = []
    for number, row in enumerate(made_up(8.0, 2.0, count=9)):
        (models / f"0{number}.pt").write_text(f"{number}: not looked into")
        before.append({"number": number, "model_sha256": sha256(models / f"0{number}.pt"), **row})
    out.write_text(json.dumps({"configurations": before}))
    text.write_text(f"before\n<!-- {command.COMMAND} -->\n\n<!-- end -->\nafter\n")
    assert command.main(["--models", str(models), "--out", str(out), "--text", str(text)]) == 0
    *others, mine = json.loads(out.read_text())["configurations"]
    assert others == before
    assert mine["number"] == 10
    assert mine["truth"] == pytest.approx(np.mean(list(mine["truth_by_family"].values())))
    assert set(mine["ours_by_family"]) == set(corruptions.CORRUPTIONS)
    assert "Spearman, all (10)" in text.read_text()


def test_each_corruption_sees_other_images_in_turn() -> None:
    images = noise_images(32)
    corrupted = truth.corrupted_truth(images)
    assert len(corrupted) == 19 * 5 * 2
    assert corrupted.labels[:4].tolist() == [0, 16, 1, 17]
    by_family = truth.of_each_family(torch.arange(190))
    assert by_family["shot_noise"].tolist() == list(range(10, 20))
