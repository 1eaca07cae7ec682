"""The final model: one configuration trained for its whole horizon, tested once, and used on the OOD files."""

from __future__ import annotations

import math
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from tune import results
from tune.files import Claim
from tune.results import EPOCHS, Row, RunFolder
from tune.training import batch_norm, checkpoint, data, figures, looks, ood, predictions
from tune.training.checkpoint import Classifier
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.evaluate import batch_size_at
from tune.training.figures import Judged
from tune.training.images import ImageSet
from tune.training.loop import EpochResult, fit
from tune.training.predictor import Predictor
from tune.training.request import Request

FINAL_EPOCHS = EPOCHS.append(pa.field("seed", pa.int64()))
"""One row an epoch of each training."""

Done = Callable[[int, int], None]
"""Hears how many more images were judged, and of how many in all."""


def silent(count: int, total: int) -> None:
    pass


class Diverged(Exception):
    """The loss of the final training stopped being a finite number."""


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
        """Removes what lies there, save the count of looks at the test set. The folder itself stays: it is claimed."""
        for path in self.folder.path.iterdir():
            if path.name != looks.NAME:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    # Training

    def train(self, request: Request) -> Iterator[EpochResult]:
        """Trains on each seed and yields each epoch; goes on from the checkpoint if there is one. Ends with model.pt.

        After each epoch the checkpoint and epochs.parquet are whole. Diverged if the loss is no longer finite.
        """
        arrow = data.prepare(request.data, request.data_dir, "train")
        fraction = 0.0 if request.train_on == "all" else request.val_fraction
        images = data.load_training(arrow, fraction, request.split_seed)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        training_id, number, start, rows = secrets.token_hex(8), 0, None, []
        if self.checkpoint.is_file():
            kept = checkpoint.load(self.checkpoint)
            training_id, number, start = kept["training_id"], kept["number"], kept["training"]
            behind = [config.seed for config in request.configs()[:number]]
            rows = [
                row for row in self.folder.read_rows("epochs.parquet")
                if row["seed"] in behind or (row["seed"] == start["config"]["seed"] and row["epoch"] <= start["epoch"])
            ]  # fmt: skip
        for at, config in enumerate(request.configs()[number:], number):
            yield from self._train_one(request, training_id, config, at, images, start, rows)
            start = None

    def _train_one(
        self,
        request: Request,
        training_id: str,
        config: TrainConfig,
        number: int,
        images: TrainingData,
        start: dict[str, Any] | None,
        rows: list[Row],
    ) -> Iterator[EpochResult]:
        for result in fit(config, images, self.device, start, weights=request.weights):
            if result.diverged:
                seed = f" on seed {config.seed}" if request.seeds > 1 else ""
                raise Diverged(f"the loss is not finite after epoch {result.epoch} of {config.epochs}{seed}")
            if result.epoch == config.epochs:
                # Before the checkpoint: where that says that all is trained, there is a model too.
                path = self.model if request.seeds == 1 else self._member(config.seed)
                checkpoint.save_model(path, result.training, images.train.class_names, training_id, tta=request.tta)
                if number + 1 == request.seeds > 1:
                    self._gather(request)
            rows.append(_row(result, request.trial_id, config.seed))
            # The rows first: a row too many is cut off on resuming, a missing one would be lost.
            self.folder.write_table("epochs.parquet", rows, FINAL_EPOCHS)
            state = {"request": request.to_dict(), "training_id": training_id, "number": number}
            checkpoint.save(self.checkpoint, state | {"training": result.training.state_dict()})
            yield result

    def _member(self, seed: int) -> Path:
        """Where the model of one seed waits for the others."""
        return self.folder.path / f"seed-{seed}.pt"

    def _gather(self, request: Request) -> None:
        """One model.pt of the models of all seeds: that of the first, and the weights of the others."""
        first, *others = (checkpoint.load(self._member(config.seed)) for config in request.configs())
        checkpoint.save(self.model, first | {"others": {other["config"]["seed"]: other["model"] for other in others}})

    def kept_request(self) -> dict[str, Any]:
        """What the checkpoint that is there was asked for. KeyError if it is another version's."""
        kept = checkpoint.load(self.checkpoint)
        request, *_ = (kept[name] for name in ("request", "training_id", "number", "training"))
        return dict(request)

    # Test

    def validate(self, classifier: Classifier, request: Request) -> dict[str, Any] | None:
        """Validation accuracy (%) of the model to be tested, with and without views; None without such images."""
        if request.train_on == "all":
            return None
        arrow = data.prepare(request.data, request.data_dir, "train")
        images = data.load_training(arrow, request.val_fraction, request.split_seed).val
        assert images is not None
        asked = {"val_acc": False, "val_acc_tta": True} if request.tta else {"val_acc": False}
        images = images.to(self.device)
        return {name: figures.judge(classifier.predictor(tta=tta), images).accuracy for name, tta in asked.items()}

    def test(self, request: Request, done: Done = silent) -> dict[str, Any]:
        """Opens the test images, once, and writes metrics.json and test_predictions.parquet.

        Nothing is decided by what they tell: what answers is the one training, or of several the mean.
        """
        classifier = checkpoint.load_model(self.model, self.device)
        validation = self.validate(classifier, request)
        opened = looks.look(self.folder, classifier.training_id, request.to_dict())
        images = data.load_test(data.prepare(request.data, request.data_dir, "test")).to(self.device)
        each = _judged_by_each(classifier, images, request.tta, done)
        judged = figures.mean_of(each)
        epochs = self.folder.read_rows("epochs.parquet")
        about = {"seeds": [config.seed for config in request.configs()], "tta": request.tta}
        content = {
            **judged.figures(),
            "trial_id": request.trial_id,
            **about,
            **_seed_figures(request, each),
            "submitted": "the one training" if request.seeds == 1 else "the mean of the seeds' probabilities",
            "epochs": request.config.epochs,
            "train_on": request.train_on,
            "validation": validation,
            "test_opened": len(opened),
            "test_opened_at": opened[-1]["at"],
            "fixed_before": ["trial_id", "config", "epochs", "seeds", "train_on", "tta", "submitted"],
            "train_s": sum(row["wall_s"] for row in epochs),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU",
            "data": request.data,
            "finished": results.now(),
            "config": request.config.to_dict(),
        }
        predictions.write_test(self.folder.path / "test_predictions.parquet", judged, classifier.class_names, about)
        self.folder.write_json("metrics.json", content)
        self.checkpoint.unlink(missing_ok=True)
        for config in request.configs():
            self._member(config.seed).unlink(missing_ok=True)
        return content

    # Out of distribution

    def predict(self, files: list[Path], *, tta: bool, adapt: bool, done: Done = silent) -> int:
        """Writes what the model says of the OOD files, as CSV and as Parquet; returns the number of images.

        `adapt`: batch normalisation's statistics are taken from each file anew.
        """
        classifier = checkpoint.load_model(self.model, self.device)
        about = {"seeds": classifier.seeds, "tta": tta, "adapt_batch_norm": adapt}
        table = self.folder.path / "ood_predictions.parquet"
        rows = predictions.write_ood(
            self.submission,
            table,
            self._predictions(classifier, files, tta, adapt, done),
            classifier.class_names,
            about,
        )
        if (self.folder.path / "metrics.json").is_file():
            metrics = self.folder.read_json("metrics.json")
            self.folder.write_json("metrics.json", metrics | {"ood": {"images": rows, **about}})
        return rows

    def _predictions(
        self, classifier: Classifier, files: list[Path], tta: bool, adapt: bool, done: Done
    ) -> Iterator[ood.Prediction]:
        predictor = classifier.predictor(tta=tta)
        total = sum(len(ood.read(path)) for path in files)
        batch_size = batch_size_at(classifier.preprocessing.image_size, self.device)

        @torch.inference_mode()
        def answers(pixels: Tensor) -> Tensor:
            out: Tensor = predictor(pixels.to(self.device))
            done(len(pixels), total)
            return out

        for path in files:
            own = batch_norm.adapted(predictor, ood.read(path), batch_size, self.device) if adapt else nullcontext()
            with own:
                yield from ood.predict(path, answers, batch_size)


def _judged_by_each(classifier: Classifier, images: ImageSet, tta: bool, done: Done) -> list[Judged]:
    return [
        figures.judge(
            Predictor([network], classifier.preprocessing, tta=tta).eval(),
            images,
            lambda count: done(count, len(classifier.networks) * len(images)),
        )
        for network in classifier.networks
    ]


def _seed_figures(request: Request, each: list[Judged]) -> dict[str, Any]:
    """Of several trainings: the figures of each, and what they tell of the seed's part."""
    if request.seeds == 1:
        return {}
    single = [{"test_acc": one.accuracy, "test_loss": one.losses.double().mean().item()} for one in each]
    most = {"test_acc": 100.0, "test_loss": math.inf}
    spread = {name: figures.over_seeds([one[name] for one in single], limit) for name, limit in most.items()}
    rows = [{"seed": config.seed, **one} for config, one in zip(request.configs(), single, strict=True)]
    return {"each_seed": rows, "over_seeds": spread}


def _row(result: EpochResult, trial_id: str, seed: int) -> Row:
    own = {"trial_id": trial_id, "seed": seed}
    return own | {name: getattr(result, name, None) for name in EPOCHS.names if name != "trial_id"}
