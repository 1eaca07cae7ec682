"""The training loop: `fit` yields one EpochResult per epoch. Trials, the final training and the tests all use it."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tune.training import batches, host, mixing
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.evaluate import evaluate, mixed_precision
from tune.training.image_size import at_epoch, preprocessing_of
from tune.training.images import ImageSet
from tune.training.losses import training_loss
from tune.training.model import (
    build_model,
    build_optimizer,
    build_schedule,
    set_training_mode,
)
from tune.training.state import Training


@dataclass(frozen=True)
class EpochResult:
    """One epoch. Losses are mean cross-entropies (nats), accuracies percentages."""

    epoch: int
    """Counted from 1."""

    train_loss: float
    """Mean over the steps of the minimised loss, so with label smoothing, MixUp, CutMix and consistency loss."""

    train_acc: float
    """On the augmented images; a mixed image counts by the shares of its two labels."""

    val_loss: float | None
    val_acc: float | None
    """Like `val_loss`, None without validation images or if the training diverged."""

    val_robust_acc: float | None
    """On the corrupted validation images (`corruptions.py`); None after epochs not in `robust_at`."""

    lr: float
    """Learning rate of the last step, that of the classifier."""

    wall_s: float
    """Seconds that the epoch took, validation included."""

    images_per_s: float
    """Training images per second, validation not included."""

    peak_memory_mb: float
    """CUDA: the peak of allocated tensors in this training. CPU: the peak resident set of the process so far.

    Trials that follow one another in one process (Ray reuses it) each report at least what the largest before them
    needed on a CPU; on a GPU they do not.
    """

    micro_batches: int
    """Into how many parts each batch was split to fit into memory; 1 if not at all."""

    diverged: bool
    """Whether a loss or a weight is no longer finite. A finite loss at chance level is poor, but not a divergence."""

    batch_loss: tuple[float, ...] = field(repr=False)
    """The training loss of each step, for experiment trackers."""

    training: Training = field(repr=False, compare=False)
    """The live objects; they change as soon as the generator continues."""


def fit(
    config: TrainConfig,
    data: TrainingData,
    device: torch.device,
    start: dict[str, Any] | None = None,
    *,
    weights: Path | None = None,
    micro_batches: int = 1,
    robust_at: Collection[int] = (),
) -> Iterator[EpochResult]:
    """Trains, yielding after each epoch, for `config.epochs` or until the training diverges.

    `start` is a `Training.state_dict()` to resume from. What follows equals an uninterrupted training: on a CPU with
    the same number of threads, bit for bit. `weights` is a file with the initial state dict. Each batch is split into
    at least `micro_batches` parts, if each then has two images. After the epochs in `robust_at`, counted from 1, the
    model is also evaluated on the corrupted validation images. ValueError if `start` belongs to another configuration,
    or if the architecture cannot train at the configured image size.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)  # an earlier training in this process would count
    data = data.to(device)
    batch_size = min(config.batch_size, len(data.train))
    model = build_model(config, device, weights)
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, len(data.train) // batch_size)
    training = Training(config, preprocessing_of(config), model, optimizer, schedule)
    if start is not None:
        training.load_state_dict(start)
        start = None  # or it would keep a second copy of the weights alive
    # Batch norm needs two images in each part.
    training.micro_batches = max(training.micro_batches, min(micro_batches, max(1, batch_size // 2)))
    while training.epoch < config.epochs:
        with host.at_full_speed():
            result = _epoch(training, data, batch_size, robust=training.epoch + 1 in robust_at)
        yield result
        if result.diverged:
            return


def _epoch(training: Training, data: TrainingData, batch_size: int, *, robust: bool) -> EpochResult:
    """Trains for one epoch, then validates."""
    began = time.perf_counter()
    training.epoch += 1
    losses, train_acc, lr = _train_one_epoch(training, data.train, batch_size)
    train_loss = losses.mean().item()
    trained = time.perf_counter()
    val_loss = val_acc = val_robust_acc = None
    # The last step can ruin the weights after its loss was computed.
    diverged = not math.isfinite(train_loss) or not _all_finite(training.model)
    if data.val is not None and not diverged:
        val_loss, val_acc = _validate(training, data.val)
        if not math.isfinite(val_loss):
            diverged, val_loss, val_acc = True, None, None
        elif robust:
            _, val_robust_acc = _validate(training, data.corrupted_val)
    wall_s = time.perf_counter() - began
    training.wall_s += wall_s
    return EpochResult(
        epoch=training.epoch,
        train_loss=train_loss,
        train_acc=train_acc,
        val_loss=val_loss,
        val_acc=val_acc,
        val_robust_acc=val_robust_acc,
        lr=lr,
        wall_s=wall_s,
        images_per_s=len(losses) * batch_size / (trained - began),
        peak_memory_mb=host.peak_memory_mb(losses.device),
        micro_batches=training.micro_batches,
        diverged=diverged,
        batch_loss=tuple(losses.tolist()),
        training=training,
    )


def _validate(training: Training, images: ImageSet) -> tuple[float, float]:
    """Mean loss (nats) and accuracy (%)."""
    losses, correct = evaluate(training.eval_model, images, training.preprocessing)
    return losses.mean().item(), 100 * correct.double().mean().item()


def _train_one_epoch(training: Training, data: ImageSet, batch_size: int) -> tuple[Tensor, float, float]:
    """One pass over `data` -> the loss of each step, float32 (steps,), the accuracy (%), the last learning rate."""
    config, device = training.config, data.pixels.device
    lr = config.lr
    generator = _seed(config.seed, training.epoch, device)
    set_training_mode(training.model, config, training.epoch)
    # Nothing in the loop waits for the device: correct predictions are counted after the last step.
    losses, outcomes = [], []
    preprocessing = at_epoch(config, training.preprocessing, training.epoch)
    for images, labels in batches.shuffled(data, config, preprocessing, batch_size, generator):
        images, partner, share = mixing.mix(images, labels, config, generator)
        lr = float(training.optimizer.param_groups[0]["lr"])
        loss, predicted = step(training, images, labels, partner, share)
        if training.average is not None:
            training.average.update()
        training.schedule.step()
        losses.append(loss)
        outcomes.append((predicted, labels, partner, share))
    predicted, labels, partner, share = (torch.cat(parts) for parts in zip(*outcomes, strict=True))
    correct = share * (predicted == labels) + (1 - share) * (predicted == partner)
    return torch.stack(losses), 100 * correct.double().mean().item(), lr


def step(training: Training, images: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """One optimizer step on a batch from `mixing.mix` -> its loss, (), and the predicted classes, (B,).

    If memory runs out, this batch and all later ones are split into micro-batches. Their gradient is that of the whole
    batch, except that batch norm normalises each part by itself.
    """
    while True:
        try:
            loss, predicted = _backward(training, images, labels, partner, share)
            break
        except (RuntimeError, MemoryError) as error:
            if not host.out_of_memory(error) or len(images) < 4 * training.micro_batches:
                raise  # batch norm needs two images in each part
        # Outside the handler, whose traceback keeps the tensors of the failed attempt alive.
        training.micro_batches *= 2
        host.give_back_memory()
    training.optimizer.step()
    return loss, predicted


def _backward(
    training: Training, images: Tensor, labels: Tensor, partner: Tensor, share: Tensor
) -> tuple[Tensor, Tensor]:
    """Computes the gradient of a batch -> its loss, (), and the predicted classes, (B,)."""
    training.optimizer.zero_grad(set_to_none=True)
    losses, predicted = [], []
    parts = (torch.tensor_split(whole, training.micro_batches) for whole in (images, labels, partner, share))
    for some, own, other, own_share in zip(*parts, strict=True):
        with mixed_precision(images.device):
            out = training.model(some.flatten(0, -4))  # each view is an image to the network
        out = out.unflatten(0, some.shape[:-3])
        loss = training_loss(out.float(), own, other, own_share, training.config)
        if training.micro_batches > 1:
            loss = loss * (len(out) / len(images))
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        predicted.append(out.detach().argmax(-1).view(len(some), -1)[:, 0])
    return (losses[0], predicted[0]) if len(losses) == 1 else (torch.stack(losses).sum(), torch.cat(predicted))


def _all_finite(model: nn.Module) -> bool:
    """Whether all weights are finite. Waits for the device once, not once per parameter."""
    return bool(torch.stack([parameter.isfinite().all() for parameter in model.parameters()]).all())


def _seed(seed: int, epoch: int, device: torch.device) -> torch.Generator:
    """Seeds torch's global generator, for dropout, and returns one for the order of the images and augmentation."""
    mixed = seed * 1_000_003 + epoch
    torch.manual_seed(mixed)
    return torch.Generator(device).manual_seed(mixed)
