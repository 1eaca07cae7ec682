"""Builds the network, the optimizer and the learning-rate schedule for a TrainConfig."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

import cifar_models
from tune.training.config import TrainConfig
from tune.training.optimizers import SGD, AdamW


def build_model(config: TrainConfig, device: torch.device, weights: Path | None = None) -> nn.Module:
    """The network on `device`, channels last, with its dropout, initialised from the seed or the file `weights`.

    It maps float32 (B, 3, S, S) to logits (B, 100). ValueError if the weights do not fit.
    """
    architecture = cifar_models.load(config.model)
    torch.manual_seed(config.seed)
    model = architecture.build(weights).to(device).to(memory_format=torch.channels_last)
    if config.dropout:
        # A hook, so that the modules and the keys of the state dict remain those of the architecture.
        def drop(module: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
            return F.dropout(args[0], config.dropout, module.training)

        model.get_submodule(architecture.head).register_forward_pre_hook(drop)
    return model


def set_training_mode(model: nn.Module, config: TrainConfig, epoch: int) -> None:
    """Switches to training mode; through epoch `freeze_epochs` the early layers are frozen, batch norm included."""
    model.train()
    frozen = epoch <= config.freeze_epochs
    for name in cifar_models.load(config.model).early:
        module = model.get_submodule(name)
        module.requires_grad_(not frozen)
        module.train(not frozen)


def build_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """SGD or AdamW over all parameters. It skips frozen ones, as they have no gradient."""
    groups = _parameter_groups(model, config)
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    optimizer = SGD(
        groups,
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov and config.momentum > 0,  # torch refuses Nesterov without momentum
        weight_decay=config.weight_decay,
        fused=True,
    )
    if config.momentum:
        # torch's fused SGD fails when a parameter gets its first gradient later than others, as after unfreezing. Its
        # momentum would start from zero, so all parameters get zeros now.
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Classifier and backbone as two groups with their own learning rates; a single group if `backbone_lr` is 1."""
    if config.backbone_lr == 1:
        return [{"params": list(model.parameters())}]
    head = list(model.get_submodule(cifar_models.load(config.model).head).parameters())
    others = [parameter for parameter in model.parameters() if not any(parameter is own for own in head)]
    return [{"params": head}, {"params": others, "lr": config.lr * config.backbone_lr}]


def build_schedule(optimizer: Optimizer, config: TrainConfig, steps_per_epoch: int) -> LRScheduler:
    """The learning-rate schedule over all `config.epochs`, to be stepped after each batch.

    It scales the learning rates of all parameter groups alike.
    """
    total = config.epochs * steps_per_epoch
    if config.scheduler == "one_cycle":
        share = max(config.warmup or 0.3, 2 / (total + 1))  # OneCycleLR divides by the number of rising steps - 1
        peaks = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, peaks, total_steps=total + 1, pct_start=share, cycle_momentum=False)
    warmup = min(round(config.warmup * total), total - 1)
    schedule: LRScheduler
    if config.scheduler == "cosine":
        schedule = CosineAnnealingLR(optimizer, T_max=total - warmup)
    elif config.scheduler == "step":
        schedule = StepLR(optimizer, step_size=steps_per_epoch, gamma=config.gamma)
    else:
        schedule = ConstantLR(optimizer, factor=1.0)
    if not warmup:
        return schedule
    with warnings.catch_warnings():
        # SequentialLR calls its schedules with an argument that torch has deprecated.
        warnings.filterwarnings("ignore", message="The epoch parameter in `scheduler.step")
        rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        return SequentialLR(optimizer, [rise, schedule], milestones=[warmup])
