"""Tests the final model: first on the validation images, then once on the test images."""

from __future__ import annotations

import math
from typing import Any

import torch

from tune import results
from tune.training import checkpoint, data, looks, prediction_files, sources
from tune.training.checkpoint import Classifier
from tune.training.final_folder import Done, FinalFolder, silent
from tune.training.images import ImageSet
from tune.training.metrics import Predictions, ensemble_mean, over_seeds, predict
from tune.training.predictor import Predictor
from tune.training.request import Request


def evaluate(final: FinalFolder, request: Request, done: Done = silent) -> dict[str, Any]:
    """Opens the test images, writes metrics.json and test_predictions.parquet, and returns the metrics.

    The result decides nothing: what is tested was fixed before, the one training or the mean of all seeds'
    probabilities. Then the checkpoint and the models of single seeds are removed, as nothing is left to resume.
    """
    classifier = checkpoint.load_model(final.model, final.device)
    validation = validate(final, classifier, request)
    opened = looks.look(final.folder, classifier.training_id, request.to_dict())
    images = data.load_test(sources.prepare(request.data, request.data_dir, "test")).to(final.device)
    each = _predict_each(classifier, images, request.tta, done)
    tested = ensemble_mean(each)
    about = {"seeds": [config.seed for config in request.configs()], "tta": request.tta}
    metrics = {
        **tested.metrics(),
        "trial_id": request.trial_id,
        **about,
        **_seed_metrics(request, each),
        "submitted": "the one training" if request.seeds == 1 else "the mean of the seeds' probabilities",
        "epochs": request.config.epochs,
        "train_on": request.train_on,
        "validation": validation,
        "test_opened": len(opened),
        "test_opened_at": opened[-1]["at"],
        "fixed_before": ["trial_id", "config", "epochs", "seeds", "train_on", "tta", "submitted"],
        "train_s": sum(row["wall_s"] for row in final.folder.read_rows("epochs.parquet")),
        "device": torch.cuda.get_device_name(final.device) if final.device.type == "cuda" else "CPU",
        "data": request.data,
        "finished": results.now(),
        "config": request.config.to_dict(),
    }
    prediction_files.write_test(final.folder.path / "test_predictions.parquet", tested, classifier.class_names, about)
    final.folder.write_json("metrics.json", metrics)
    final.checkpoint.unlink(missing_ok=True)
    for config in request.configs():
        final.model_of_seed(config.seed).unlink(missing_ok=True)
    return metrics


def validate(final: FinalFolder, classifier: Classifier, request: Request) -> dict[str, float] | None:
    """Validation accuracy (%), with `tta` also the augmented one; None if all images were trained on."""
    if request.train_on == "all":
        return None
    arrow = sources.prepare(request.data, request.data_dir, "train")
    images = data.load_training(arrow, request.val_fraction, request.split_seed).val
    assert images is not None
    images = images.to(final.device)
    asked = {"val_acc": False, "val_acc_tta": True} if request.tta else {"val_acc": False}
    return {name: predict(classifier.predictor(tta=tta), images).accuracy for name, tta in asked.items()}


def _predict_each(classifier: Classifier, images: ImageSet, tta: bool, done: Done) -> list[Predictions]:
    total = len(classifier.networks) * len(images)
    return [
        predict(
            Predictor([network], classifier.preprocessing, tta=tta).eval(), images, lambda count: done(count, total)
        )
        for network in classifier.networks
    ]


def _seed_metrics(request: Request, each: list[Predictions]) -> dict[str, Any]:
    """With several seeds: the accuracy and loss of each, their mean and their spread."""
    if request.seeds == 1:
        return {}
    single = [{"test_acc": one.accuracy, "test_loss": one.losses.double().mean().item()} for one in each]
    largest = {"test_acc": 100.0, "test_loss": math.inf}
    spread = {name: over_seeds([one[name] for one in single], limit) for name, limit in largest.items()}
    rows = [{"seed": config.seed, **one} for config, one in zip(request.configs(), single, strict=True)]
    return {"each_seed": rows, "over_seeds": spread}
