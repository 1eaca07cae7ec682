"""The plain loop on the GPU, for `benchmarks.gpu`: torch's defaults, float32 with TF32 convolutions, and a loss that is
read in each step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import cifar_models
from benchmarks.gpu.session import Session
from benchmarks.peers import plain_loop
from tune.training.images import ImageSet

Batches = Iterable[tuple[Tensor, Tensor]]

SPEED_UP_GOALS = {("simple_cnn", 8): 3.0}
"""Speed-up over the plain loop in images per second."""


def measure_plain(session: Session) -> None:
    for batch_size in session.batch_sizes():
        name = f"batch {batch_size}"
        if session.model == "simple_cnn":
            best = max(loop_speed(session, name, batch_size, workers) for workers in session.size((0, 4, 8), (0,)))
        else:
            best = step_speed(session, name, batch_size)
        for variant in ("engine", "graph"):
            ours = session.report.find("epoch", f"{name}: {variant}", "images/s")
            if ours is not None:
                goal = session.goal(">=", SPEED_UP_GOALS, batch_size)
                session.report.add("plain", f"{name}: {variant} / plain", ours / best, "times", goal)


def loop_speed(session: Session, name: str, batch_size: int, workers: int) -> float:
    """Images per second within an epoch, not counting the first steps, whose batches were prefetched."""
    config = session.config(batch_size=batch_size).to_dict()
    pictures = Pictures(session.data.train, plain_loop.train_transform(config))
    loader = DataLoader(pictures, batch_size, shuffle=True, drop_last=True, num_workers=workers)
    train, drawn = trainer(session, plain_loop.SimpleCNN(), config), iter(loader)
    train(Some(drawn, session.size(17, 1)))
    steps = session.size(60 if batch_size >= 128 else 1000, 2)
    images_per_s = batch_size * steps / session.seconds(lambda: train(Some(drawn, steps)))
    session.report.add("plain", f"{name}: {workers} workers", images_per_s, "images/s")
    return images_per_s


def step_speed(session: Session, name: str, batch_size: int) -> float:
    """Images per second with a batch that is already on the device, augmented and normalised."""
    training, (images, labels, *_) = session.ready(batch_size)
    model = cifar_models.load(session.model).build(None)
    train = trainer(session, model, training.config.to_dict())
    batch = (images.contiguous(), labels)
    train(Some(iter([batch] * 5), session.size(5, 1)))
    steps = session.size(30, 1)
    images_per_s = batch_size * steps / session.seconds(lambda: train(Some(iter([batch] * steps), steps)))
    session.report.add("plain", f"{name}: step", images_per_s, "images/s", note="data ready on the device")
    return images_per_s


def trainer(session: Session, model: nn.Module, config: dict[str, Any]) -> Callable[[Batches], float]:
    """A function that trains a new model with the plain loop."""
    model = model.to(session.device)
    given = {name: config[name] for name in ("lr", "momentum", "nesterov", "weight_decay")}
    optimizer = torch.optim.SGD(model.parameters(), **given)
    schedule = plain_loop.make_schedule(optimizer, config | {"epochs": 1}, 10_000)
    criterion = nn.CrossEntropyLoss()

    def train(given: Batches) -> float:
        # The loop only takes the length and iterates, so any batches will do.
        loader: Any = given
        return plain_loop.train_one_epoch(model, loader, criterion, optimizer, schedule, None, session.device)

    return train


@dataclass(frozen=True)
class Some:
    """The next `count` batches of an iterator, with a length."""

    drawn: Iterator[tuple[Tensor, Tensor]]
    count: int

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return islice(self.drawn, self.count)

    def __len__(self) -> int:
        return self.count


class Pictures(Dataset[tuple[Tensor, int]]):
    """The images as torchvision's CIFAR100 serves them: one at a time, through PIL."""

    def __init__(self, images: ImageSet, transform: Callable[[Image.Image], Tensor]) -> None:
        self._pixels = images.pixels[images.index].cpu().numpy()
        self._labels: list[int] = images.labels[images.index].tolist()
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[row])), self._labels[row]
