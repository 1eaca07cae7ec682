"""Trains the final model in `final/`: one configuration for its full number of epochs, on one seed or several."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tune.results import EPOCHS, Row
from tune.training import checkpoint, data, sources
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.final_folder import FinalFolder
from tune.training.loop import EpochResult, fit
from tune.training.request import Request

FINAL_COLUMNS = EPOCHS.append(pa.field("seed", pa.int64()))
"""The columns of epochs.parquet in `final/`: one row per epoch and seed."""


class Diverged(Exception):
    """The loss of the final training is no longer a finite number."""


@dataclass
class _Progress:
    """How far the training has come, as kept in its checkpoint."""

    training_id: str = field(default_factory=lambda: secrets.token_hex(8))
    seeds_done: int = 0
    state: dict[str, Any] | None = None
    """The `Training.state_dict()` of the seed in progress."""

    rows: list[Row] = field(default_factory=list)
    """The rows of epochs.parquet up to the checkpoint."""


def train(final: FinalFolder, request: Request) -> Iterator[EpochResult]:
    """Trains on each seed, yields each epoch, and writes model.pt. Resumes from the checkpoint if there is one.

    At each yield the checkpoint and epochs.parquet are up to date. Diverged if the loss is no longer finite.
    """
    arrow = sources.prepare(request.data, request.data_dir, "train")
    fraction = 0.0 if request.train_on == "all" else request.val_fraction
    images = data.load_training(arrow, fraction, request.split_seed)
    final.folder.path.mkdir(parents=True, exist_ok=True)
    progress = _resumed(final, request) if final.checkpoint.is_file() else _Progress()
    for config in request.configs()[progress.seeds_done :]:
        yield from _train_seed(final, request, config, images, progress)
        progress.state = None
        progress.seeds_done += 1


def _resumed(final: FinalFolder, request: Request) -> _Progress:
    kept = checkpoint.load(final.checkpoint)
    done, state = kept["seeds_done"], kept["training"]
    trained = [config.seed for config in request.configs()[:done]]
    rows = [
        row
        for row in final.folder.read_rows("epochs.parquet")
        if row["seed"] in trained or (row["seed"] == state["config"]["seed"] and row["epoch"] <= state["epoch"])
    ]
    return _Progress(kept["training_id"], done, state, rows)


def _train_seed(
    final: FinalFolder, request: Request, config: TrainConfig, images: TrainingData, progress: _Progress
) -> Iterator[EpochResult]:
    for result in fit(config, images, final.device, progress.state, weights=request.weights):
        if result.diverged:
            seed = f" on seed {config.seed}" if request.seeds > 1 else ""
            raise Diverged(f"the loss is not finite after epoch {result.epoch} of {config.epochs}{seed}")
        if result.epoch == config.epochs:
            # Before the checkpoint: once that says the training is over, there must be a model.
            _save_model(final, request, result, images.train.class_names, progress)
        progress.rows.append(_row(result, request.trial_id, config.seed))
        # Also before the checkpoint: resuming drops surplus rows, but could not make up for a missing one.
        final.folder.write_table("epochs.parquet", progress.rows, FINAL_COLUMNS)
        about = {"request": request.to_dict(), "training_id": progress.training_id, "seeds_done": progress.seeds_done}
        checkpoint.save(final.checkpoint, about | {"training": result.training.state_dict()})
        yield result


def _save_model(
    final: FinalFolder, request: Request, result: EpochResult, class_names: tuple[str, ...], progress: _Progress
) -> None:
    """Writes the model of one seed; after the last of several seeds, model.pt with the weights of all."""
    seed = result.training.config.seed
    path = final.model if request.seeds == 1 else final.model_of_seed(seed)
    checkpoint.save_model(path, result.training, class_names, progress.training_id, tta=request.tta)
    if progress.seeds_done + 1 == request.seeds > 1:
        first, *others = (checkpoint.load(final.model_of_seed(config.seed)) for config in request.configs())
        checkpoint.save(final.model, first | {"others": {other["config"]["seed"]: other["model"] for other in others}})


def _row(result: EpochResult, trial_id: str, seed: int) -> Row:
    own = {"trial_id": trial_id, "seed": seed}
    return own | {name: getattr(result, name) for name in EPOCHS.names if name != "trial_id"}


def kept_request(final: FinalFolder) -> dict[str, Any]:
    """The request that the checkpoint was written for. KeyError if another version wrote it."""
    kept = checkpoint.load(final.checkpoint)
    request, *_ = (kept[name] for name in ("request", "training_id", "seeds_done", "training"))
    return dict(request)
