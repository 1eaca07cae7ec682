"""The replay laboratory, and what the search's decisions are worth on it: crashes, divergence, workers, order."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks import searches
from benchmarks.replay import curves, methods, record
from benchmarks.replay.curves import Curve, Recorded
from benchmarks.replay.methods import PlainRayTune
from benchmarks.replay.mortal import Mortal
from benchmarks.replay.simulate import Replay, replay
from tests import ROOT
from tune import domains, space
from tune.results import RunFolder
from tune.search.asha import Asha, AshaScheduler
from tune.search.history import History
from tune.search.proposals import ProposalSearcher, Proposer
from tune.space import SearchSpace
from tune.training import sources
from tune.training.config import TrainConfig

HORIZON = 27


@functools.cache
def searched() -> SearchSpace:
    return space.load(searches.SPACE)[0]


def made_up(config: TrainConfig) -> Curve:
    """A smooth curve that is best at lr = batch size / 800, without dropout and mixing; far above it diverges."""
    off = math.log(config.lr / config.batch_size * 800)
    best = 30 * math.exp(-off * off / 6) - 8 * config.dropout - 4 * (config.cutmix > 0) - 2 * config.mixup
    best = max(best, 1.0)
    slow = 10 if config.scheduler == "one_cycle" else 6
    values: list[float | None] = [best * (1 - math.exp(-epoch / slow)) for epoch in range(1, config.epochs + 1)]
    diverges = off > 1.5
    if diverges:
        values = [*values[:1], None]
    seconds = 4.0 if config.batch_size == 8 else 1.0
    return Curve(config=config, diverged=diverges, val_acc=tuple(values), cpu_s=(seconds,) * len(values))


def best_of(found: Replay) -> float:
    return max(item.value for item in found.last().values() if item.status == "finished")


def known_to(found: Replay) -> set[tuple[str, int, float]]:
    return {(item.trial_id, item.epoch, item.value) for item in found.epochs}


# The simulator.


def test_a_worker_takes_the_next_trial_when_its_last_one_ends() -> None:
    found = replay(methods.random_whole(searched(), 3, 0), made_up, workers=2, trials=6)
    assert list(found.configs) == [f"{n:04d}" for n in range(6)]
    times = [item.time for item in found.epochs]
    assert times == sorted(times)
    ends = sorted(item.time for item in found.last().values())
    seconds = [sum(made_up(config).cpu_s) for config in found.configs.values()]
    assert ends[-1] >= sum(seconds) / 2, "two workers are at most twice as fast"
    for trial_id, last in found.last().items():
        curve = made_up(found.configs[trial_id])
        assert last.epoch == len(curve.val_acc)
        assert last.status == ("diverged" if curve.diverged else "finished")


def test_an_epoch_budget_cuts_what_runs() -> None:
    found = replay(methods.random_whole(searched(), HORIZON, 0), made_up, workers=4, epochs=40)
    assert len(found.epochs) == 40
    assert any(item.status == "running" for item in found.last().values())


def test_the_simulator_drives_ray_s_own_scheduler_and_searcher() -> None:
    found = replay(PlainRayTune(searched(), HORIZON, 0), made_up, workers=4, trials=30)
    ended = [item.epoch for item in found.last().values() if item.status == "stopped"]
    assert set(ended) <= {1, 4, 16}, "the rungs of Ray's defaults"
    assert ended


@pytest.mark.parametrize("method", [methods.optuna_halving, methods.optuna_hyperband])
def test_the_simulator_drives_optuna_s_own_pruners(method: methods.Maker) -> None:
    found = replay(method(searched(), HORIZON, 0), made_up, workers=4, trials=30)
    assert {"stopped", "finished"} <= {item.status for item in found.last().values()}
    first = list(found.configs.values())[:2]
    assert [config.lr for config in first] == [0.04, 0.1], "the reference and the baseline, as in ours"


# Decisions.


def mortal(seed: int, folder: Path, deaths: Iterable[int]) -> Mortal:
    proposer = Proposer(searched(), epochs=HORIZON, seed=seed)
    begun = History(asha=Asha(HORIZON))
    return Mortal(proposer, begun, RunFolder(folder), set(deaths))


@pytest.mark.parametrize("deaths", [[100], range(0, 1000, 9)], ids=["once", "every nine epochs"])
def test_a_search_whose_driver_dies_decides_as_one_that_lives(deaths: Iterable[int], tmp_path: Path) -> None:
    """Four workers, twenty trials, TPE and ASHA; all that the next driver knows is what lies in the folder."""
    whole = replay(methods.ours(searched(), HORIZON, 1), made_up, workers=4, trials=20)
    died = replay(mortal(1, tmp_path, deaths), made_up, workers=4, trials=20)
    assert len(whole.epochs) > 120
    assert died.configs == whole.configs
    assert died.epochs == whole.epochs


def test_rungs_that_are_lost_change_the_decisions() -> None:
    """What the test above would show if the rungs were not kept."""
    whole = replay(methods.ours(searched(), HORIZON, 1), made_up, workers=4, trials=20)
    forgetful = methods.ours(searched(), HORIZON, 1)
    report = forgetful.report
    count = iter(range(1000))

    def forget(trial_id: str, epoch: int, value: float) -> bool:
        if next(count) == 100:
            assert isinstance(forgetful.scheduler, AshaScheduler)
            forgetful.scheduler.asha = Asha(HORIZON)
        return report(trial_id, epoch, value)

    forgetful.report = forget  # type: ignore[method-assign]
    assert replay(forgetful, made_up, workers=4, trials=20).epochs != whole.epochs


def test_a_diverged_trial_ends_at_once_and_stands_below_all_others() -> None:
    diverged = 0
    for seed in range(3):
        method = methods.ours(searched(), HORIZON, seed)
        found = replay(method, made_up, workers=4, trials=40)
        assert isinstance(method.searcher, ProposalSearcher)
        scores = {f"{number:04d}": known.score for number, known in method.searcher.known.items()}
        worst = min(score for score in scores.values() if score is not None and math.isfinite(score))
        for trial_id, last in found.last().items():
            if made_up(found.configs[trial_id]).diverged and last.status != "stopped":
                assert (last.status, last.epoch) == ("diverged", 2)
                assert (scores[trial_id] or 0) < worst
                diverged += 1
    assert diverged >= 3


def test_no_configuration_is_trained_twice() -> None:
    found = replay(methods.ours(searched(), HORIZON, 0), made_up, workers=4, trials=80)
    assert len(set(found.configs.values())) == 80


def test_workers_do_not_change_the_reference_the_baseline_and_the_random_starts() -> None:
    first = [
        list(replay(methods.ours(searched(), HORIZON, 0), made_up, workers=workers, trials=12).configs.values())[:10]
        for workers in (1, 2, 7)
    ]
    assert first[0] == first[1] == first[2]


def test_one_slow_worker_does_not_spoil_the_search() -> None:
    """A worker at a tenth of the others' speed brings its trials to each rung last."""
    even, uneven = [], []
    for seed in range(5):
        even.append(best_of(replay(methods.ours(searched(), HORIZON, seed), made_up, workers=4, trials=32)))
        slow = replay(methods.ours(searched(), HORIZON, seed), made_up, workers=4, trials=32, speeds=(1, 1, 1, 0.1))
        uneven.append(best_of(slow))
    assert statistics.fmean(uneven) > statistics.fmean(even) - 1.5
    assert min(uneven) > 15


def test_the_best_survives_whatever_the_order_and_the_worst_order_costs_most() -> None:
    """The same 32 configurations, one worker. The first on a rung always goes on, so each of a rising row does."""
    drawn = replay(methods.random_whole(searched(), HORIZON, 3), made_up, trials=32).configs
    falling = sorted(drawn.values(), key=lambda config: -(made_up(config).val_acc[-1] or 0))
    best = made_up(falling[0]).val_acc[-1]
    cost = []
    for order in (falling, list(drawn.values()), falling[::-1]):
        found = replay(methods.Listed(order, Asha(HORIZON)), made_up)
        assert best_of(found) == best
        cost.append(len(found.epochs) / (32 * HORIZON))
    assert cost == sorted(cost)
    assert cost[0] < 0.35


# The recording.


def recorded(number: int, config: TrainConfig) -> Recorded:
    curve = made_up(config)
    losses = tuple(None if value is None else 4.0 for value in curve.val_acc)
    return Recorded(
        number=number, config=config, diverged=curve.diverged, val_acc=curve.val_acc, cpu_s=curve.cpu_s,
        val_loss=losses, train_loss=losses, train_acc=losses, lr=(0.1,) * len(losses),
    )  # fmt: skip


def test_curves_come_back_as_they_were_written(tmp_path: Path) -> None:
    drawn = record.draws(searched(), 12, HORIZON)
    written = [recorded(number, config) for number, config in enumerate(drawn)]
    curves.write(tmp_path / "curves.parquet", reversed(written))
    assert curves.read(tmp_path / "curves.parquet") == written


def test_the_draws_begin_with_the_space_s_own_points_and_do_not_depend_on_their_number() -> None:
    few, many = record.draws(searched(), 5, HORIZON), record.draws(searched(), 9, HORIZON)
    assert many[:5] == few
    assert few[0] == searched().config(searched().reference, epochs=HORIZON, seed=record.SEED)


@pytest.mark.slow
def test_a_recording_goes_on_where_it_was(
    cifar100_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "curves.parquet"
    arrow = sources.prepare("cifar100", cifar100_root, "train")
    first = record.record(0, record.draws(searched(), 1, 1)[0], arrow, 100)
    assert len(first.val_acc) == 1
    assert 0 < (first.val_acc[0] or 0) < 5
    curves.write(path, [first])
    small = ["--data-dir", str(cifar100_root), "--out", str(path), "--epochs", "1", "--train-subset", "100"]
    assert record.main([*small, "--configurations", "2", "--workers", "1"]) == 0
    assert curves.read(path)[0] == first
    assert [curve.number for curve in curves.read(path)] == [0, 1]
    assert "1 curves are in" in capsys.readouterr().out


def test_the_recorded_curves_are_of_the_benchmarks_space() -> None:
    found = curves.read(ROOT / "results" / "curves.parquet")
    assert len(found) >= 200
    drawn = record.draws(searched(), 20, HORIZON)
    for curve, config in zip(found, drawn, strict=False):
        for name, value in config.to_dict().items():
            then = getattr(curve.config, name)
            # Another processor's logarithms differ in their last digit.
            same = math.isclose(then, value, rel_tol=1e-12) if isinstance(value, float) else then == value
            assert same, "the space has changed since"
    for curve in found:
        domains.locate(searched().parameters, curve.config.to_dict())
        assert curve.diverged or len(curve.val_acc) == HORIZON
        assert all(value is None or 0 < value < 40 for value in curve.val_acc)
