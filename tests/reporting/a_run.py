"""A run for the report to read: recorded learning curves, stopped by ASHA itself, and a model's predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.replay import curves, methods
from benchmarks.replay.curves import Curve, Recorded
from benchmarks.replay.simulate import replay
from tests import ROOT
from tests.a_search import settings
from tune.results import EPOCHS, TRIALS, Row, RunFolder
from tune.search.asha import Asha
from tune.search.choose import choose
from tune.training.config import TrainConfig

RECORDED = ROOT / "results" / "curves.parquet"
STARTED = "2026-11-20T08:00:00Z"


def searched(path: Path, trials: int = 100, horizon: int = 50, **changes: Any) -> RunFolder:
    """A search of recorded configurations, two at a time, with its files as `tune.run` leaves them."""
    stretched = [_stretched(curve, horizon) for curve in curves.read(RECORDED)[:trials]]
    known = {curve.config: curve for curve in stretched}
    asha = Asha(horizon)
    method = methods.Listed([*known], asha, reference=stretched[0].config)
    found = replay(method, lambda config: known[config], workers=2, trials=trials)
    epochs = [_epoch(known[found.configs[item.trial_id]], item.trial_id, item.epoch) for item in found.epochs]
    rows = []
    for trial_id, config in found.configs.items():
        last = found.last()[trial_id]
        own = [row for row in epochs if row["trial_id"] == trial_id]
        rows.append(_trial(trial_id, config, last.status, own))
    path.mkdir(parents=True)
    folder = RunFolder(path)
    asked = settings(
        data="cifar100", data_dir=str(path.parent / "data"), trials=trials, max_epochs=horizon, seed=42, name=path.name,
        storage=str(path.parent),
    )  # fmt: skip
    about = {"settings": asked.to_dict() | changes, "started": STARTED, "ended": "2026-11-20T10:00:00Z",
             "spent_s": max(item.time for item in found.epochs)}  # fmt: skip
    folder.write_json("experiment.json", about)
    folder.write_table("epochs.parquet", epochs, EPOCHS)
    write_trials(folder, rows)
    folder.write_json("rungs.json", asha.to_json())
    return folder


def write_trials(folder: RunFolder, rows: list[Row]) -> None:
    """trials.parquet, and the choice among them."""
    folder.write_table("trials.parquet", rows, TRIALS)
    folder.write_json("best.json", choose(rows, "val_acc"))


def _stretched(curve: Recorded, horizon: int) -> Recorded:
    """The same curve over another number of epochs."""
    was = len(curve.val_acc)
    length = horizon if not curve.diverged else was
    places = np.linspace(0, was - 1, length)

    def drawn_out(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        known = [np.nan if value is None else value for value in values]
        return tuple(None if np.isnan(v) else float(v) for v in np.interp(places, range(was), known))

    names = ("val_acc", "val_loss", "train_loss", "train_acc", "lr", "cpu_s")
    return replace(
        curve, config=replace(curve.config, epochs=horizon), **{n: drawn_out(getattr(curve, n)) for n in names}
    )


def _epoch(curve: Curve, trial_id: str, epoch: int) -> Row:
    assert isinstance(curve, Recorded)
    names = ("val_acc", "val_loss", "train_loss", "train_acc", "lr")
    own = {name: getattr(curve, name)[epoch - 1] for name in names}
    return {**own, "trial_id": trial_id, "epoch": epoch, "wall_s": curve.cpu_s[epoch - 1], "images_per_s": 4000.0}


def _trial(trial_id: str, config: TrainConfig, status: str, own: list[Row]) -> Row:
    best = max((row for row in own if row["val_acc"] is not None), key=lambda row: row["val_acc"], default=None)
    last = {name: own[-1][name] for name in ("train_loss", "train_acc", "val_loss", "val_acc", "images_per_s")}
    return {
        **last, "trial_id": trial_id, "status": status, "origin": "reference" if trial_id == "0000" else "search",
        "epochs": own[-1]["epoch"], "wall_s": sum(row["wall_s"] for row in own),
        "best_val_acc": best and best["val_acc"], "best_epoch": best and best["epoch"],
        **{f"config.{name}": value for name, value in config.to_dict().items()},
    }  # fmt: skip


def finalize(folder: RunFolder, images: int = 10_000, ood: bool = True) -> None:
    """final/ with the predictions of a made-up model that knows some classes better than others."""
    final = RunFolder(folder.final)
    final.path.mkdir()
    rng = np.random.default_rng(0)
    label = np.arange(images) % 100
    skill = 0.35 + 0.5 * (label * 37 % 100) / 100
    claimed = np.clip(rng.normal(skill + 0.08, 0.15), 0.02, 0.999)
    neighbour = np.where(rng.random(images) < 0.5, (label // 5) * 5 + (label + 1) % 5, rng.integers(0, 100, images))
    predicted = np.where(rng.random(images) < skill, label, neighbour)
    names = [f"class_{number}" for number in range(98)] + ["maple_tree", "<b>oak</b>"]
    table = pa.table(
        {
            "index": pa.array(np.arange(images), pa.int32()),
            "label": pa.array(label, pa.int16()),
            "predicted": pa.array(predicted, pa.int16()),
            "probability": pa.array(claimed, pa.float32()),
            "probability_of_label": pa.array(np.where(predicted == label, claimed, 0.05), pa.float32()),
        }
    )
    pq.write_table(
        table.replace_schema_metadata({"classes": json.dumps(names)}), final.path / "test_predictions.parquet"
    )
    right = 100 * float(np.mean(predicted == label))
    final.write_json("metrics.json", {
        "test_acc": right, "test_acc_interval95": [right - 1, right + 1], "test_loss": 1.7, "test_images": images,
        "trial_id": "0000", "seeds": [42], "epochs": 50, "train_on": "all", "train_s": 1020.0, "device": "CPU",
    })  # fmt: skip
    epochs = [{"trial_id": "0000", "epoch": n, "train_acc": 60 * (1 - 0.9**n), "train_loss": 3.0} for n in range(1, 51)]
    final.write_table("epochs.parquet", epochs, EPOCHS)
    if ood:
        _ood(final.path, rng)


def _ood(final: Path, rng: np.random.Generator, each: int = 200) -> None:
    """19 files of 5 severities, harder ones with fewer classes and less confidence."""
    distortion, severity, index = (part.ravel() for part in np.mgrid[0:19, 1:6, 0:each])
    hard = 0.08 * severity * (0.3 + distortion / 19)
    label = (rng.integers(0, 100, len(index)) * (1 - hard)).astype(int)
    probability = np.clip(rng.normal(0.7 - hard, 0.1), 0.02, 0.99)
    five = (label[:, None] + np.arange(5)) % 100
    table = pa.table(
        {
            "id": pa.array([f"distortion{d:02d}_{s}_{i}" for d, s, i in zip(distortion, severity, index, strict=True)]),
            "distortion": pa.array(distortion, pa.int16()),
            "severity": pa.array(severity, pa.int16()),
            "index": pa.array(index, pa.int32()),
            "label": pa.array(label, pa.int16()),
            "probability": pa.array(probability, pa.float32()),
            "top5": pa.array(list(five), pa.list_(pa.int16())),
            "top5_probability": pa.array(list(probability[:, None] * 0.5 ** np.arange(5)), pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, final / "ood_predictions.parquet")
