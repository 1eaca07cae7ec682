"""The final model: one configuration trained for its whole horizon, tested once, and used on the OOD files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from scipy.stats import binomtest, norm
from torch import Tensor

from tune import results
from tune.files import Claim
from tune.results import EPOCHS, Row, RunFolder
from tune.settings import Source
from tune.training import checkpoint, data, ood
from tune.training.checkpoint import Classifier
from tune.training.config import TrainConfig
from tune.training.evaluate import batch_size_at, evaluate
from tune.training.images import ImageSet
from tune.training.loop import EpochResult, fit

TrainOn = Literal["all", "train"]


class Diverged(Exception):
    """The loss of the final training stopped being a finite number."""


@dataclass(frozen=True)
class Request:
    """What to make."""

    config: TrainConfig
    trial_id: str
    train_on: TrainOn
    """`all`: the validation images too, so that nothing is validated; `train`: the whole training side."""

    data: Source
    data_dir: Path
    val_fraction: float
    split_seed: int
    weights: Path | None

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint remembers of it."""
        return {"trial_id": self.trial_id, "train_on": self.train_on, "config": self.config.to_dict()}

    def resumed(self, kept: dict[str, Any]) -> Request:
        """The same data, with what a checkpoint remembers."""
        config = TrainConfig.from_dict(kept["config"])
        return replace(self, trial_id=kept["trial_id"], train_on=kept["train_on"], config=config)


class Final:
    """The folder `final/` of a run."""

    def __init__(self, folder: RunFolder, device: torch.device) -> None:
        self.run = folder
        self.folder = RunFolder(folder.final, None if folder.remote is None else folder.remote.inside("final"))
        self.device = device
        self.model = folder.final / "model.pt"
        self.checkpoint = folder.final / "checkpoint.pt"
        self.submission = folder.final / "submission_ood.csv"

    def claim(self) -> Claim:
        """Makes the folder, and keeps other processes out of it. ValueError if one is at work there already."""
        try:
            self.folder.path.mkdir(exist_ok=True)
        except OSError as error:
            raise ValueError(f"{self.folder.path} can not be made ({error.strerror}).") from error
        return results.claim(self.folder)

    def clear(self) -> None:
        """Removes what lies there. The folder itself stays: it is claimed."""
        for path in self.folder.path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def train(self, request: Request) -> Iterator[EpochResult]:
        """Trains and yields each epoch; goes on from the checkpoint if there is one. Ends with model.pt.

        After each epoch the checkpoint and epochs.parquet are whole. Diverged if the loss is no longer finite.
        """
        arrow = data.prepare(request.data, request.data_dir, "train")
        fraction = 0.0 if request.train_on == "all" else request.val_fraction
        images = data.load_training(arrow, fraction, request.split_seed)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        start, rows = None, []
        if self.checkpoint.is_file():
            start = checkpoint.load(self.checkpoint)["training"]
            rows = [row for row in self.folder.read_rows("epochs.parquet") if row["epoch"] <= start["epoch"]]
        for result in fit(request.config, images, self.device, start, weights=request.weights):
            if result.diverged:
                raise Diverged(f"the loss is not finite after epoch {result.epoch} of {request.config.epochs}")
            if result.epoch == request.config.epochs:
                # Before the checkpoint: where that says that all is trained, there is a model too.
                checkpoint.save_model(self.model, result.training, images.train.class_names)
            rows.append(_row(result, request.trial_id))
            # The rows first: a row too many is cut off on resuming, a missing one would be lost.
            self.folder.write_table("epochs.parquet", rows, EPOCHS)
            state = {"request": request.to_dict(), "training": result.training.state_dict()}
            checkpoint.save(self.checkpoint, state)
            yield result

    def kept_request(self) -> dict[str, Any]:
        """What the checkpoint that is there was asked for."""
        kept: dict[str, Any] = checkpoint.load(self.checkpoint)["request"]
        return kept

    def test(self, request: Request) -> dict[str, Any]:
        """Opens the test images, once, and writes metrics.json."""
        classifier = checkpoint.load_model(self.model, self.device)
        images = data.load_test(data.prepare(request.data, request.data_dir, "test"))
        epochs = self.folder.read_rows("epochs.parquet")
        content = {
            **tested(classifier, images.to(self.device)),
            "trial_id": request.trial_id,
            "seeds": [request.config.seed],
            "epochs": request.config.epochs,
            "train_on": request.train_on,
            "train_s": sum(row["wall_s"] for row in epochs),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU",
            "data": request.data,
            "finished": results.now(),
            "config": request.config.to_dict(),
        }
        self.folder.write_json("metrics.json", content)
        self.checkpoint.unlink(missing_ok=True)
        return content

    def predictions(self, files: list[Path]) -> Iterator[ood.Prediction]:
        """What the model says of the OOD files, through its own evaluation transform."""
        classifier = checkpoint.load_model(self.model, self.device)

        def logits_of(pixels: Tensor) -> Tensor:
            return classifier.logits(pixels.to(self.device))

        batch_size = batch_size_at(classifier.preprocessing.image_size, self.device)
        return ood.predict(files, logits_of, batch_size)


def tested(classifier: Classifier, images: ImageSet) -> dict[str, Any]:
    """Accuracy (%) and loss on the test images, each with its 95 % interval (Wilson's; the normal one for the mean)."""
    losses, correct = evaluate(classifier.model, images, classifier.preprocessing)
    hits, n = int(correct.sum()), len(images)
    interval = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    loss, spread = losses.mean().item(), float(norm.ppf(0.975)) * losses.std().item() / n**0.5
    return {
        "test_acc": 100 * hits / n,
        "test_acc_interval95": [100 * float(interval.low), 100 * float(interval.high)],
        "test_loss": loss,
        "test_loss_interval95": [loss - spread, loss + spread],
        "test_images": n,
    }


def at_horizon(config: TrainConfig, epochs: int) -> TrainConfig:
    """The configuration for another number of epochs: the schedule is stretched, as warm-up is a share of all steps."""
    return replace(config, epochs=epochs)


def _row(result: EpochResult, trial_id: str) -> Row:
    return {"trial_id": trial_id} | {name: getattr(result, name, None) for name in EPOCHS.names if name != "trial_id"}
