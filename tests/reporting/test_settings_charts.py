"""Which settings are said to matter, and when none is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial

from tests.reporting import a_run
from tune.reporting import settings_charts
from tune.reporting.chart import Chart
from tune.reporting.load import Run, load
from tune.reporting.settings_charts import _slices_in_words, _why_inconclusive


def trials(values: list[float], **params: list[float] | list[str]) -> list[FrozenTrial]:
    """Finished ones with these accuracies and settings."""
    kinds = {
        name: CategoricalDistribution(sorted(set(of))) if isinstance(of[0], str) else FloatDistribution(0, 1)
        for name, of in params.items()
    }
    return [
        optuna.trial.create_trial(
            value=value, params={name: of[place] for name, of in params.items()}, distributions=kinds
        )
        for place, value in enumerate(values)
    ]  # fmt: skip


def test_too_few_trials_tell_nothing() -> None:
    lr = [number / 30 for number in range(30)]
    apart = [float(number) for number in range(30)]
    assert _why_inconclusive(trials(apart[:10], lr=lr), 10_000) == ""
    assert "9 comparable results: too few" in _why_inconclusive(trials(apart[:9], lr=lr), 10_000)
    settings = {f"setting_{number}": lr for number in range(12)}
    assert "too few to tell which settings matter (it takes 12)" in _why_inconclusive(
        trials(apart[:11], **settings), 10_000
    )
    assert _why_inconclusive(trials(apart[:12], **settings), 10_000) == ""


@pytest.mark.parametrize("seed", range(5))
def test_trials_that_differ_by_chance_alone_tell_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.binomial(500, 0.3, 40) / 5
    lr = [*map(float, rng.random(40))]
    assert "differ no more than by chance" in _why_inconclusive(trials([*map(float, right)], lr=lr), 500)
    better = [float(value) + 20 * rate for value, rate in zip(right, lr, strict=True)]
    assert _why_inconclusive(trials(better, lr=lr), 500) == ""


def drawn(run: Run) -> list[str]:
    """The names of the section's charts."""
    return [item.name for item in settings_charts.section(run).items if isinstance(item, Chart)]


def test_a_run_at_chance_shows_no_importance(tmp_path: Path) -> None:
    folder = a_run.searched(tmp_path / "run", trials=16, horizon=4)
    run = load(folder)
    assert drawn(run)[:2] == ["importance", "parallel"]
    for place, row in enumerate(run.epochs):
        row["val_acc"] = row["val_acc"] and 1.0 + 0.1 * (place % 2)
    assert drawn(run) == ["history", "timeline"]


def test_the_best_are_said_to_agree_only_where_others_differ() -> None:
    value = [float(number) for number in range(20, 0, -1)]
    near = [0.5, 0.52, 0.51, *(number / 17 for number in range(17))]
    found = _slices_in_words(trials(value, lr=near), "lr")
    assert found == "The best 3 trials have lr between 0.5 and 0.52; 3 of all 20 trials lie in that range."
    far = [0.0, 0.5, 1.0, *(number / 17 for number in range(17))]
    assert "do not agree on lr" in _slices_in_words(trials(value, lr=far), "lr")
    words = ["step", "cosine", "cosine", *["cosine"] * 9, *["step"] * 8]
    found = _slices_in_words(trials(value, scheduler=words), "scheduler")
    assert found == "2 of the best 3 trials have scheduler cosine, compared with 11 of all 20."
