"""The plain training loop: torchvision's dataset and transforms in a DataLoader, float32, SGD.

It trains what `tune.training.loop.fit` trains: the same network, images, optimizer, schedules and augmentation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
    StepLR,
)
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import CIFAR100
from torchvision.transforms import v2

from tune.training.data import stratified_split  # so that both sides train and validate on the same images


class SimpleCNN(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(64 * 8 * 8, 256)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(256, 100)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        out: Tensor = self.fc2(self.dropout(x))
        return out


MEAN = STD = (0.5, 0.5, 0.5)


def train_transform(config: dict[str, Any]) -> transforms.Compose:
    steps: list[Any] = []
    if config.get("model") == "resnet50":
        steps += [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    elif config.get("augmentation", "none") != "none":
        steps += [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    if config.get("augmentation") == "trivialaugment":
        steps += [transforms.TrivialAugmentWide()]
    steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    if config.get("random_erasing"):
        steps += [transforms.RandomErasing(config["random_erasing"])]
    return transforms.Compose(steps)


def make_loaders(
    config: dict[str, Any], data_dir: Path, subset: int | None, seed: int
) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """80 % of the images to train on, or `subset` of these, and 20 % to validate on."""
    train_set = CIFAR100(data_dir, train=True, transform=train_transform(config))
    val_set = copy.copy(train_set)  # shares the images instead of reading them again
    val_set.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    train_rows, val_rows = stratified_split(torch.tensor(train_set.targets), 0.2, seed)
    if subset is not None:
        train_rows = train_rows[:subset]
    train_loader = DataLoader(
        Subset(train_set, train_rows.tolist()),
        batch_size=config["batch_size"],
        shuffle=True,
        drop_last=True,
    )
    val_loader = DataLoader(Subset(val_set, val_rows.tolist()), batch_size=config["batch_size"])
    return train_loader, val_loader


def make_schedule(optimizer: Optimizer, config: dict[str, Any], steps_per_epoch: int) -> LRScheduler:
    """The schedule, to be stepped after each batch."""
    total = config["epochs"] * steps_per_epoch
    warmup = round(config.get("warmup", 0.0) * total)
    kind = config.get("scheduler", "cosine")
    if kind == "one_cycle":
        share = config.get("warmup") or 0.3
        return OneCycleLR(optimizer, config["lr"], total_steps=total + 1, pct_start=share, cycle_momentum=False)
    schedule: LRScheduler
    if kind == "step":
        schedule = StepLR(optimizer, step_size=steps_per_epoch, gamma=config.get("gamma", 0.9))
    else:
        schedule = CosineAnnealingLR(optimizer, T_max=total - warmup)
    if not warmup:
        return schedule
    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rise, schedule], milestones=[warmup])


def make_mixing(config: dict[str, Any]) -> nn.Module | None:
    chosen: list[nn.Module] = []
    if config.get("mixup"):
        chosen.append(v2.MixUp(alpha=config["mixup"], num_classes=100))
    if config.get("cutmix"):
        chosen.append(v2.CutMix(alpha=config["cutmix"], num_classes=100))
    return v2.RandomChoice(chosen) if chosen else None


def train_one_epoch(
    model: nn.Module,
    loader: DataLoader[Any],
    criterion: nn.Module,
    optimizer: Optimizer,
    schedule: LRScheduler,
    mixing: nn.Module | None,
    device: torch.device,
    bf16: bool = False,
) -> float:
    """Mean training loss. `bf16` adds the two lines that anyone could: autocast and channels-last images."""
    model.train()
    total = 0.0
    for images, labels in loader:
        if mixing is not None:
            images, labels = mixing(images, labels)
        images, labels = images.to(device), labels.to(device)
        if bf16:
            images = images.to(memory_format=torch.channels_last)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / len(loader)


def validate(model: nn.Module, loader: DataLoader[Any], device: torch.device, bf16: bool = False) -> float:
    """Accuracy (%)."""
    model.eval()
    correct = count = 0
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            correct += (model(images).argmax(1) == labels).sum().item()
            count += len(labels)
    return 100 * correct / count


def epochs(config: dict[str, Any], data_dir: Path, subset: int | None, seed: int) -> Iterator[dict[str, float]]:
    """Trains SimpleCNN as `config` says, and yields after each epoch."""
    device = torch.device("cpu")
    train_loader, val_loader = make_loaders(config, data_dir, subset, seed)
    torch.manual_seed(seed)
    model = SimpleCNN(config.get("dropout", 0.0)).to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=config.get("label_smoothing", 0.0))
    optimizer = SGD(
        model.parameters(),
        lr=config["lr"],
        momentum=config.get("momentum", 0.9),
        nesterov=config.get("nesterov", False),
        weight_decay=config.get("weight_decay", 0.0),
    )
    schedule = make_schedule(optimizer, config, len(train_loader))
    mixing = make_mixing(config)
    for epoch in range(1, config["epochs"] + 1):
        train_loss = train_one_epoch(model, train_loader, criterion, optimizer, schedule, mixing, device)
        yield {"epoch": epoch, "train_loss": train_loss, "val_acc": validate(model, val_loader, device)}
