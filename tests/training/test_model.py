"""Schedules, optimisers, dropout and freezing: a configuration made into what torch trains with."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW

import cifar_models
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import fit
from tune.training.model import (
    build_model,
    build_optimizer,
    build_schedule,
    set_training_mode,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
LR, GAMMA, STEPS = 0.4, 0.7, 6


def config(**changes: Any) -> TrainConfig:
    return TrainConfig.from_dict({"model": "simple_cnn", "lr": LR, "batch_size": 20, "epochs": 5} | changes)


def images(count: int, side: int = 32) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


# Schedules


def rates(schedule: TrainConfig, steps_per_epoch: int = STEPS) -> list[float]:
    """The learning rate of each step of the horizon, and at last the one that a further step would have."""
    optimizer = build_optimizer(nn.Linear(2, 2), schedule)
    stepped = build_schedule(optimizer, schedule, steps_per_epoch)
    seen = []
    for _ in range(schedule.epochs * steps_per_epoch):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        stepped.step()
    return [*seen, optimizer.param_groups[0]["lr"]]


def cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


AFTER_WARMUP: dict[str, Callable[[int, int], float]] = {
    "constant": lambda step, total: LR,
    "step": lambda step, total: LR * GAMMA ** (step // STEPS),
    "cosine": lambda step, total: cosine(LR, 0, step / total),
}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", AFTER_WARMUP)
def test_the_rate_of_every_step(name: str, share: float) -> None:
    """Up along a line that reaches lr with the first step after the warm-up, then the schedule over what is left."""
    total, warmup = 5 * STEPS, round(share * 5 * STEPS)
    rise = [LR * (step + 1) / (warmup + 1) for step in range(warmup)]
    rest = [AFTER_WARMUP[name](step, total - warmup) for step in range(total - warmup + 1)]
    assert rates(config(scheduler=name, gamma=GAMMA, warmup=share)) == pytest.approx(rise + rest, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.3, 0.6])
def test_one_cycle_rises_over_the_warmup_share_and_falls_to_nothing(share: float) -> None:
    """From lr / 25 to lr, then to a ten-thousandth of where it began, both along a cosine; no share is torch's 0.3."""
    total = 5 * STEPS
    peak = (share or 0.3) * (total + 1) - 1
    wanted = [
        cosine(LR / 25, LR, step / peak) if step <= peak else cosine(LR, LR / 25e4, (step - peak) / (total - peak))
        for step in range(total + 1)
    ]
    assert rates(config(scheduler="one_cycle", warmup=share)) == pytest.approx(wanted, rel=1e-9)


def test_one_cycle_peaks_at_lr() -> None:
    seen = rates(config(scheduler="one_cycle", warmup=0.25, epochs=100), steps_per_epoch=10)
    assert max(seen) == pytest.approx(LR, rel=1e-4)
    assert seen.index(max(seen)) == pytest.approx(250, abs=1)


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_the_horizon_ends_near_zero_and_the_last_step_still_learns(name: str) -> None:
    *_, last, beyond = rates(config(scheduler=name, epochs=50, warmup=0.1))
    assert beyond < LR * 1e-5 < last < LR * 1e-3


def test_step_multiplies_by_gamma_after_each_epoch_and_not_before() -> None:
    seen = rates(config(scheduler="step", gamma=0.5, epochs=3), steps_per_epoch=2)
    assert seen == pytest.approx([LR, LR, LR / 2, LR / 2, LR / 4, LR / 4, LR / 8])


def test_a_longer_horizon_stretches_warmup_and_cosine_alike() -> None:
    short, long = (rates(config(scheduler="cosine", warmup=0.2, epochs=epochs), 100) for epochs in (5, 50))
    assert long[::10][:-1] == pytest.approx(short[:-1], abs=LR * 0.01)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("name", [*AFTER_WARMUP, "one_cycle"])
def test_a_horizon_of_a_single_step_has_a_rate(name: str, share: float) -> None:
    only, _ = rates(config(scheduler=name, warmup=share, epochs=1), steps_per_epoch=1)
    assert 0 < only <= LR


@pytest.mark.parametrize(("share", "total"), [(0.5, 1), (0.25, 3), (0.2, 4), (0.1, 9)])
def test_one_cycle_of_few_steps_has_a_rate(share: float, total: int) -> None:
    """A rise of one step, over which torch alone would divide by zero."""
    seen = rates(config(scheduler="one_cycle", warmup=share, epochs=1), steps_per_epoch=total)
    assert all(0 < rate <= LR for rate in seen)


# Optimisers


def test_sgd_is_given_its_settings() -> None:
    optimizer = build_optimizer(nn.Linear(2, 2), config(momentum=0.8, nesterov=True, weight_decay=0.01))
    assert isinstance(optimizer, SGD)
    (group,) = optimizer.param_groups
    assert {name: group[name] for name in ("lr", "momentum", "nesterov", "weight_decay")} == {
        "lr": LR, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01,
    }  # fmt: skip


def test_adamw_is_given_its_settings() -> None:
    optimizer = build_optimizer(nn.Linear(2, 2), config(optimizer="adamw", weight_decay=0.01))
    assert isinstance(optimizer, AdamW)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (LR, 0.01)


def test_nesterov_without_momentum_is_plain_sgd() -> None:
    """A searcher may draw both; torch alone would refuse them."""
    optimizer = build_optimizer(nn.Linear(2, 2), config(momentum=0.0, nesterov=True))
    assert optimizer.param_groups[0]["nesterov"] is False


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        # Of a weight 1 and a gradient 1, twice.
        ({"momentum": 0.0}, 1 - 0.1 - 0.1),
        ({"momentum": 0.5}, 1 - 0.1 - 0.15),
        ({"momentum": 0.5, "nesterov": True}, 1 - 0.15 - 0.175),
        ({"momentum": 0.0, "weight_decay": 1.0}, 1 - 0.2 - 0.18),
        ({"optimizer": "adamw"}, 1 - 0.1 - 0.1),
        ({"optimizer": "adamw", "weight_decay": 1.0}, (1 * 0.9 - 0.1) * 0.9 - 0.1),
    ],
)
def test_two_steps_by_hand(changes: dict[str, Any], wanted: float) -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = build_optimizer(model, config(lr=0.1, **changes))
    for _ in range(2):
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()
    assert model.weight.item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("name", cifar_models.NAMES)
def test_every_parameter_is_optimised(name: str) -> None:
    with torch.device("meta"):
        model = cifar_models.load(name).build(None)
    (group,) = build_optimizer(model, config(model=name)).param_groups
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in model.parameters()]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", cifar_models.NAMES)
def test_the_backbone_has_its_share_of_the_rate(name: str, optimizer: str) -> None:
    with torch.device("meta"):
        model = cifar_models.load(name).build(None)
    head, backbone = build_optimizer(model, config(model=name, backbone_lr=0.1, optimizer=optimizer)).param_groups
    assert (head["lr"], backbone["lr"]) == (LR, pytest.approx(LR / 10))
    of_head = {id(parameter) for parameter in model.get_submodule(cifar_models.load(name).head).parameters()}
    assert {id(parameter) for parameter in head["params"]} == of_head
    assert len(of_head) == 2
    grouped = [id(parameter) for parameter in head["params"] + backbone["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("name", [*AFTER_WARMUP, "one_cycle"])
def test_the_schedule_multiplies_both_rates(name: str, share: float) -> None:
    both = config(scheduler=name, gamma=GAMMA, warmup=share, backbone_lr=0.1)
    optimizer = build_optimizer(build_model(both, CPU), both)
    schedule = build_schedule(optimizer, both, STEPS)
    seen = []
    for _ in range(5 * STEPS):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    alone = rates(config(scheduler=name, gamma=GAMMA, warmup=share))[:-1]
    assert [head for head, _ in seen] == pytest.approx(alone, rel=1e-9)
    assert [backbone for _, backbone in seen] == pytest.approx([rate / 10 for rate in alone], rel=1e-9)


# The network


def test_the_seed_decides_the_first_weights() -> None:
    first, again, other = (build_model(config(seed=seed), CPU).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ["simple_cnn", "resnet18"])
def test_dropout_changes_neither_print_nor_keys_nor_first_weights(name: str) -> None:
    plain, dropping = (build_model(config(model=name, dropout=dropout), CPU) for dropout in (0.0, 0.5))
    assert str(dropping) == str(plain)
    assert list(dropping.state_dict()) == list(plain.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), dropping.parameters(), strict=True))


def test_dropout_is_off_in_evaluation() -> None:
    plain, dropping = (build_model(config(dropout=dropout), CPU).eval() for dropout in (0.0, 0.5))
    assert torch.equal(dropping(images(4)), plain(images(4)))


@pytest.mark.parametrize("name", ["simple_cnn", "resnet18"])
def test_dropout_drops_what_the_classifier_sees_and_scales_the_rest(name: str) -> None:
    seen = []
    for dropout in (0.0, 0.25):
        model = build_model(config(model=name, dropout=dropout), CPU).train()
        head = model.get_submodule(cifar_models.load(name).head)
        head.register_forward_hook(lambda module, args, out: seen.append(args[0]))
        model(images(16))
    plain, dropped = seen
    there = plain != 0  # ReLU leaves zeros of its own
    assert there.sum() > 1000
    assert (dropped[there] == 0).float().mean().item() == pytest.approx(0.25, abs=0.05)
    kept = there & (dropped != 0)
    torch.testing.assert_close(dropped[kept], plain[kept] / 0.75)


def test_dropout_draws_anew_at_each_step() -> None:
    model = build_model(config(dropout=0.5), CPU).train()
    assert not torch.equal(model(images(4)), model(images(4)))


# Freezing


def test_early_layers_are_frozen_for_so_many_epochs_and_free_afterwards() -> None:
    freezing = config(model="resnet18", freeze_epochs=2)
    model = build_model(freezing, CPU)
    early = cifar_models.load("resnet18").early
    for epoch in (1, 2, 3):
        model.eval()  # as validation leaves it
        set_training_mode(model, freezing, epoch)
        for name, module in model.named_modules():
            held = epoch <= 2 and name.split(".")[0] in early
            assert module.training is not held, name
        for name, parameter in model.named_parameters():
            assert parameter.requires_grad is not (epoch <= 2 and name.split(".")[0] in early), name


@pytest.mark.parametrize(
    "optimizer",
    [
        {"optimizer": "adamw", "lr": 0.001, "weight_decay": 0.1},
        {"momentum": 0.0, "lr": 0.01, "weight_decay": 0.1},
        {"momentum": 0.9, "lr": 0.01, "weight_decay": 0.1},
    ],
    ids=["adamw", "sgd without momentum", "sgd"],
)
def test_frozen_layers_and_their_statistics_stay_then_learn(optimizer: dict[str, Any], tiny: TrainingData) -> None:
    freezing = config(model="resnet18", image_size=8, freeze_epochs=1, epochs=2, batch_size=16, **optimizer)
    few = TrainingData(tiny.train.select(torch.arange(32)), None)
    early = cifar_models.load("resnet18").early
    states = [build_model(freezing, CPU).state_dict()]
    states += [copy.deepcopy(result.training.model.state_dict()) for result in fit(freezing, few, CPU)]
    for epoch, (before, after) in enumerate(pairwise(states), start=1):
        for key in before:
            held = epoch == 1 and key.split(".")[0] in early
            assert torch.equal(before[key], after[key]) is held, f"{key} in epoch {epoch}"
