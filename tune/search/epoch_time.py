"""The duration of an epoch, as measured by earlier runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tune.results import RunFolder
from tune.search.devices import Machine
from tune.settings import Settings
from tune.storage import Storage
from tune.training import sources


@dataclass(frozen=True)
class Speed:
    """The speed of one run, over all epochs of all its trials."""

    run: str
    epochs: int

    train_s: float
    """Mean seconds per training image: a search pays for slow and fast configurations alike."""

    val_s: float
    """Mean seconds per validation image."""

    def epoch_s(self, train_images: int, val_images: int) -> float:
        """Seconds per epoch with so many images."""
        return self.train_s * train_images + self.val_s * val_images


def find(storage: Storage, settings: Settings, machine: Machine) -> Speed | None:
    """Speed of the newest run with the same model on the same share of the same device; damaged runs are skipped."""
    found = []
    for folder, about in storage.runs():
        try:
            run = Settings.from_dict(about.get("settings"))
        except ValueError:
            continue
        kind = (run.model, run.gpus_per_trial, run.cpus_per_trial)
        if kind == (settings.model, settings.gpus_per_trial, settings.cpus_per_trial) and (
            _used(about.get("devices"), run) == _used(machine.names, settings)
        ):
            found.append((str(about.get("started")), folder, run))
    for _, folder, run in sorted(found, key=lambda item: item[0], reverse=True):
        if speed := _speed(storage.find(folder.name), run):
            return speed
    return None


def _used(devices: object, settings: Settings) -> list[object]:
    """The name of the device that trials run on. The CPU comes first, then the GPUs, assumed to be identical."""
    if not isinstance(devices, Sequence):
        return []
    return list(devices[1:2] if settings.gpus_per_trial else devices[:1])


def _speed(folder: RunFolder, run: Settings) -> Speed | None:
    try:
        train_images, val_images = sources.split_sizes(run.data, run.val_fraction, run.train_subset)
        rows = folder.read_rows("epochs.parquet")
    except ValueError:
        return None
    figures = [(row.get("wall_s"), row.get("images_per_s")) for row in rows]
    epochs = [
        (wall_s, images_per_s)
        for wall_s, images_per_s in figures
        if isinstance(wall_s, float) and isinstance(images_per_s, float) and wall_s > 0 and images_per_s > 0
    ]
    if not epochs:
        return None
    train_s = statistics.mean(1 / images_per_s for _, images_per_s in epochs)
    # The rest of an epoch is validation. It can come out slightly negative, as the last, smaller batch is dropped.
    val_s = max(0.0, statistics.mean(wall_s for wall_s, _ in epochs) - train_s * train_images)
    return Speed(folder.name, len(epochs), train_s, val_s / max(1, val_images))
