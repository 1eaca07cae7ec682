"""The final model's predictions for the out-of-distribution files: a CSV file to submit, and a Parquet table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from tune.training import batch_norm, checkpoint, ood, prediction_files
from tune.training.evaluate import batch_size_at
from tune.training.final_folder import Done, FinalFolder, silent
from tune.training.predictor import Predictor


def predict(final: FinalFolder, files: list[Path], *, tta: bool, adapt: bool, done: Done = silent) -> int:
    """Writes submission_ood.csv and ood_predictions.parquet; returns the number of images.

    `tta`: averages over shifted and mirrored views. `adapt`: batch norm takes its statistics from each file. Which
    options were used is added to metrics.json, if that exists.
    """
    classifier = checkpoint.load_model(final.model, final.device)
    about = {"seeds": classifier.seeds, "tta": tta, "adapt_batch_norm": adapt}
    found = _predictions(classifier.predictor(tta=tta), files, adapt, final.device, done)
    table = final.folder.path / "ood_predictions.parquet"
    images = prediction_files.write_ood(final.submission, table, found, classifier.class_names, about)
    if (final.folder.path / "metrics.json").is_file():
        metrics = final.folder.read_json("metrics.json")
        final.folder.write_json("metrics.json", metrics | {"ood": {"images": images, **about}})
    return images


def _predictions(
    predictor: Predictor, files: list[Path], adapt: bool, device: torch.device, done: Done
) -> Iterator[ood.Prediction]:
    total = sum(len(ood.read(path)) for path in files)
    batch_size = batch_size_at(predictor.preprocessing.image_size, device)

    @torch.inference_mode()
    def log_probabilities(pixels: Tensor) -> Tensor:
        out: Tensor = predictor(pixels.to(device))
        done(len(pixels), total)
        return out

    for path in files:
        own = batch_norm.adapted(predictor, ood.read(path), batch_size, device) if adapt else nullcontext()
        with own:
            yield from ood.predict(path, log_probabilities, batch_size)
