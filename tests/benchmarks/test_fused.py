"""Groups of trainings fused into one: each member learns what it would learn alone, and the script at a tiny size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.fused import __main__ as fused
from benchmarks.fused import check, group, table, ways
from benchmarks.fused.group import Group
from benchmarks.fused.networks import METHODS
from benchmarks.fused.ways import Job, Way
from tune.training.config import TrainConfig

CPU = torch.device("cpu")
JOB = Job(batch_size=8, device="cpu", data_dir=None, images=64, seconds=0)


@pytest.mark.parametrize("method", METHODS)
def test_members_learn_what_they_learn_alone_while_others_are_stopped(method: str) -> None:
    assert check.apart(CPU, method) < check.LIMIT / 10


def test_the_gpus_update_is_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "_update_on_cpu", Group._update)
    assert check.apart(CPU, "matmul") < check.LIMIT / 10


@pytest.mark.parametrize("wrong", ["_momentum", "_decay", "_nesterov", "_smoothing", "_rates"])
def test_what_belongs_to_another_member_fails_the_check(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Group._settle

    def mixed_up(self: Group) -> None:
        settle(self)
        setattr(self, wrong, getattr(self, wrong).roll(1, -1))

    monkeypatch.setattr(Group, "_update_on_cpu", Group._update)
    monkeypatch.setattr(Group, "_settle", mixed_up)
    assert check.apart(CPU, "matmul") > check.LIMIT


@pytest.mark.parametrize("method", METHODS)
def test_stopping_members_changes_nothing_for_the_others(method: str) -> None:
    _, stopped = check.together(CPU, method)
    _, whole = check.together(CPU, method, keep=[0, 1, 2, 3])
    torch.testing.assert_close(stopped, whole[:, check.KEPT], atol=1e-5, rtol=0)


def test_a_captured_step_is_the_eager_one(recorded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that Python would freeze into a graph is frozen here too."""
    monkeypatch.setattr(Group, "_update_on_cpu", Group._update)
    assert check.apart(CPU, "matmul", graph=True) < check.LIMIT / 10


@pytest.mark.gpu
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_members_learn_what_they_learn_alone_on_a_gpu(method: str, graph: bool) -> None:
    assert check.apart(torch.device("cuda"), method, graph) <= check.LIMIT


def test_members_that_cannot_share_a_step_are_refused() -> None:
    one = TrainConfig(model="simple_cnn", lr=0.1, batch_size=8, epochs=2)
    for other, answer in (
        (TrainConfig(model="simple_cnn", lr=0.1, batch_size=16, epochs=2), "batch_size"),
        (TrainConfig(model="simple_cnn", lr=0.1, batch_size=8, epochs=2, dropout=0.1), "dropout"),
    ):
        with pytest.raises(ValueError, match=answer):
            group.Group([one, other], check.noise(CPU), METHODS["vmap"])


@pytest.mark.parametrize("method", ["fit", "turns", *METHODS])
def test_every_way_trains_its_images(method: str) -> None:
    members = 1 if method == "fit" else 2
    epoch = ways.trainer(Way(method, 1, members, 1), JOB, 0)
    assert epoch() == epoch() == 64  # at least four batches a member
    assert ways.speed(epoch, 0) > 0


def test_turns_train_as_fit_does() -> None:
    """The interleaved step is the engine's own: the same first weights end at the same losses."""
    configs, data = ways.configurations(8, 2), ways.images_of(JOB, 32)
    turns = ways.Turns(configs, data, ways.eager_step)
    second = turns.epoch()
    for member, config in enumerate(configs):
        epochs = ways.fit(config, data, CPU)
        next(epochs)
        assert next(epochs).batch_loss == tuple(second[:, member].tolist())


def test_what_is_compared() -> None:
    on_cpu = [way.name for way in ways.ways("cpu", [2, 4], 2)]
    assert on_cpu[:3] == ["fit, 1 side by side", "fit, 2 side by side", "vmap, 2 members"]
    assert "matmul, 2 members x 2 processes" in on_cpu
    on_gpu = [way.name for way in ways.ways("cuda", [32], 16)]
    assert {"fit, 8 side by side", "turns, 32 members, graph", "vmap, 32 members, graph"} <= {*on_gpu}
    assert len(set(on_gpu)) == len(on_gpu)
    first, second = ways.configurations(8, 4), ways.configurations(8, 2, first=2)
    assert first[2:] == second
    assert len({config.lr for config in first}) == 4


def test_the_table_compares_with_the_best_packing_of_the_same_run() -> None:
    runs = [
        {"batch_size": 8, "images_per_s": {"fit, 1": 50.0, "fit, 2": 100.0, "vmap": 300.0}},
        {"batch_size": 8, "images_per_s": {"fit, 1": 50.0, "fit, 2": 200.0, "vmap": 200.0}},
        {"batch_size": 32, "images_per_s": {"vmap": 1000.0}},
    ]
    assert table.render(runs).splitlines()[2:] == [
        "| fit, 1 | 50 (0.38x) |  |",
        "| fit, 2 | 150 (1.00x) |  |",
        "| vmap | 250 (2.00x) | 1,000 |",
    ]


@pytest.mark.slow
def test_a_way_that_fails_costs_no_other_its_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One way for real, each process started as in a measurement."""
    monkeypatch.setattr(fused, "ways", lambda *given: [Way("fit", 1, 1, 1), Way("none", 1, 2, 1)])
    monkeypatch.setattr(fused, "check", lambda device: True)
    out = tmp_path / "fused.json"
    options = ["--tiny", "--synthetic", "--out", str(out)]
    assert fused.main(options) == 1
    monkeypatch.setattr(fused, "ways", lambda *given: [])
    assert fused.main(options) == 0
    first, second = json.loads(out.read_text())["runs"]
    assert first["images_per_s"]["fit, 1 side by side"] > 0
    assert second["images_per_s"] == {}
    assert first["command"].startswith("python -m benchmarks.fused --tiny --synthetic")
    assert "| fit, 1 side by side | " in capsys.readouterr().out
