"""A trial as Ray Tune runs it: one epoch of `fit` per step, in an actor that later trials reuse.

It writes its own checkpoint, one per trial. Ray's checkpoints can be found only through Ray's own state, which is lost
or outdated after a crash.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import _raylet, tune

from tune.files import Unwritable
from tune.remote import Unreachable
from tune.search.broadcast import Broadcast, images_of, weights_of
from tune.search.checkpoint_store import CheckpointStore
from tune.search.devices import Share
from tune.search.retrying_searcher import MICRO_BATCHES, train_config
from tune.tracking import BATCH_LOSS_POINTS, thinned
from tune.training import data, host
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import EpochResult, fit

CHECKPOINT_EVERY_S = 10.0
"""A checkpoint is written after the first epoch that ends this long after the previous one."""

TENSORS = 0.9
"""Fraction of a trial's share of GPU memory for tensors. The rest is for what each process needs besides, such as
CUDA's kernels."""


@dataclass(frozen=True)
class Task:
    """What all trials of a search share. Paths are absolute, as Ray starts trials in folders of its own."""

    arrow: Path
    """The Arrow file of the training images."""

    val_fraction: float
    split_seed: int
    train_subset: int | None
    weights: Path | None
    share: Share
    checkpoints: CheckpointStore
    """Where trials save their state and resume from."""

    checkpoint_every_s: float
    broadcast: Broadcast | None = None
    """On a cluster, the files for nodes other than the driver's."""

    robust_at: frozenset[int] = frozenset()
    """After these epochs val_robust_acc is measured, too."""

    def keeps(self) -> bool:
        """Whether trials on this node write checkpoints: on another than the driver's only if it sees the store."""
        return self.broadcast is None or self.checkpoints.has_place()


@functools.cache
def load_data(task: Task) -> TrainingData:
    """The images, on the device: loaded by an actor's first trial and reused by later ones."""
    arrow = images_of(task.arrow, task.broadcast)
    loaded = data.load_training(arrow, task.val_fraction, task.split_seed, task.train_subset)
    return loaded.to(task.share.device)


class Trial(tune.Trainable):  # type: ignore[misc]  # Ray ships no types for it
    """Trains one configuration. `fit` seeds everything, so a reused actor gives the same results as a new one."""

    def setup(self, config: dict[str, Any], task: Task) -> None:
        # Ray sets OMP_NUM_THREADS only if a trial asks for whole cores, and torch reads it only once.
        torch.set_num_threads(task.share.cpus)
        torch.set_flush_denormal(True)  # before torch starts threads, which inherit it; see host.at_full_speed
        if 0 < task.share.gpus < 1:  # Ray does not enforce shares, and others would run out of memory
            torch.cuda.set_per_process_memory_fraction(TENSORS * task.share.gpus)
        self._task = task
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        host.give_back_memory()
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        trained = train_config(config)
        self._horizon = trained.epochs
        self._trial_id = config["trial_id"]
        self._name = f"{trained.model}-{self._trial_id}"
        self._saved_at, self._due = time.monotonic(), False
        self._keeps = self._task.keeps()
        self._last: EpochResult | None = None
        self._epochs: Iterator[EpochResult] = fit(
            trained,
            load_data(self._task),
            self._task.share.device,
            _load(self._task.checkpoints, self._trial_id, trained),
            weights=weights_of(self._task.weights, self._task.broadcast),
            micro_batches=config.get(MICRO_BATCHES, 1),
            robust_at=self._task.robust_at,
        )

    def step(self) -> dict[str, Any]:
        """Trains an epoch and reports it.

        If a checkpoint is due, the report says so, but it is written only when Ray asks for the next epoch. By then the
        search has judged this epoch and recorded its decision. So no trial can resume past a rung at which it was not
        judged, and stopped trials are not saved.
        """
        errors = self._save() if self._due else {"checkpoint_error": "", "checkpoint_late": ""}
        # Names the current trial on the dashboard, in ps, top and nvidia-smi, as Ray names an actor only once. Ray
        # restores its own title after the step.
        _raylet.setproctitle(f"ray::Trial {self._name}")  # type: ignore[attr-defined]
        self._last = result = next(self._epochs)
        done = result.diverged or result.epoch == self._horizon
        self._due = not done and self._keeps and time.monotonic() - self._saved_at >= self._task.checkpoint_every_s
        return {**metrics(result), "done": done, "checkpoint_due": self._due, **errors}

    def _save(self) -> dict[str, str]:
        """Writes a checkpoint. Returns errors instead of raising them, as they are not the trial's fault.

        `checkpoint_error`, such as a full disk, must end the search. `checkpoint_late` is a network failure, which may
        be over by the next checkpoint.
        """
        assert self._last is not None
        error = late = ""
        try:
            self._task.checkpoints.save(self._trial_id, self._last.training.state_dict())
        except Unreachable as away:
            late = str(away)
        except Unwritable as full:
            error = str(full)
        self._saved_at = time.monotonic()
        return {"checkpoint_error": error, "checkpoint_late": late}

    def cleanup(self) -> None:
        del self._epochs, self._last


def _load(store: CheckpointStore, trial_id: str, config: TrainConfig) -> dict[str, Any] | None:
    """The state that a trial resumes from; None if it starts from scratch.

    It does so if the checkpoint is incomplete, that of another configuration, or unreachable: a failure here would
    only repeat itself in the second attempt.
    """
    try:
        state = store.load(trial_id)
    except (ValueError, Unreachable):
        return None
    return state if state is not None and state.get("config") == config.to_dict() else None


def metrics(result: EpochResult) -> dict[str, Any]:
    """The metrics of an epoch, as reported to Ray and the listeners."""
    return {
        "epoch": result.epoch,
        "train_loss": result.train_loss,
        "train_acc": result.train_acc,
        "val_loss": math.nan if result.val_loss is None else result.val_loss,
        # Searchers compare these. A diverged trial must be the worst, and NaN does not compare.
        "val_acc": 0.0 if result.val_acc is None else result.val_acc,
        "val_robust_acc": 0.0 if result.diverged else result.val_robust_acc,
        "lr": result.lr,
        "wall_s": result.wall_s,
        "trained_s": result.training.wall_s,
        "images_per_s": result.images_per_s,
        "peak_memory_mb": result.peak_memory_mb,
        "micro_batches": result.micro_batches,
        "diverged": result.diverged,
        "steps": len(result.batch_loss),
        "batch_loss": thinned(result.batch_loss, BATCH_LOSS_POINTS),
    }
