"""The plain loop beside others, for `benchmarks.gpu.sharing`; it speaks the protocol of `tune.training.throughput`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import cifar_models
from benchmarks.gpu.plain import Pictures, Some
from benchmarks.peers import plain_loop
from tune.training.throughput import memory, noise

IMAGES = 10_000

WARM_STEPS = 3


class Plain:
    """A training with torchvision's transforms in a DataLoader, as in a plain Ray Tune script."""

    def __init__(self, config: dict[str, Any], device: torch.device) -> None:
        self.batch_size, self.device, self.config = config["batch_size"], device, config
        simple = config["model"] == "simple_cnn"
        self.model = (plain_loop.SimpleCNN() if simple else cifar_models.load(config["model"]).build(None)).to(device)
        given = {name: config[name] for name in ("lr", "momentum", "nesterov", "weight_decay")}
        self.optimizer = torch.optim.SGD(self.model.parameters(), **given)
        self.schedule = plain_loop.make_schedule(self.optimizer, config, IMAGES // self.batch_size)
        self.batches: Iterator[tuple[Tensor, Tensor]] = iter(())

    def get_ready(self, workers: int) -> None:
        pictures = Pictures(noise(IMAGES, torch.device("cpu")).train, plain_loop.train_transform(self.config))
        self.batches = endless(
            DataLoader(
                pictures, self.batch_size, shuffle=True, drop_last=True, num_workers=workers if workers > 1 else 0
            )
        )
        self.train(WARM_STEPS)

    def train(self, steps: int) -> None:
        loader: Any = Some(self.batches, steps)
        criterion = nn.CrossEntropyLoss()
        plain_loop.train_one_epoch(self.model, loader, criterion, self.optimizer, self.schedule, None, self.device)

    def run(self, seconds: float) -> dict[str, Any]:
        began, steps = time.monotonic(), 0
        while (took := time.monotonic() - began) < seconds or not steps:
            self.train(1)
            steps += 1
        return {"images_per_s": steps * self.batch_size / took, **memory(self.device)}


def endless(loader: DataLoader[tuple[Tensor, int]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def main(argument: str) -> None:
    asked = json.loads(argument)
    plain = Plain(asked["config"], torch.device(asked["device"]))
    for line in sys.stdin:
        request, answer = json.loads(line), {}
        if "threads" in request:
            plain.get_ready(request["threads"])
        else:
            answer = plain.run(request["seconds"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
