"""The folder `final/` of a run: the files of its final model, and who may write them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from tune import results
from tune.files import FolderLock
from tune.results import RunFolder
from tune.training import looks

Done = Callable[[int, int], None]
"""Called after each batch of images, with its size and the total number of images."""


def silent(count: int, total: int) -> None:
    """For callers that show no progress."""


class FinalFolder:
    """The files of a final model, and the device it is trained and tested on."""

    def __init__(self, run: RunFolder, device: torch.device) -> None:
        self.run = run
        self.folder = RunFolder(run.final, None if run.remote is None else run.remote.inside("final"))
        self.device = device
        self.model = run.final / "model.pt"
        self.checkpoint = run.final / "checkpoint.pt"
        self.submission = run.final / "submission_ood.csv"

    def model_of_seed(self, seed: int) -> Path:
        """Where the model of one seed is kept until all seeds are trained."""
        return self.folder.path / f"seed-{seed}.pt"

    def lock(self) -> FolderLock:
        """Makes the folder and locks it against other processes. ValueError if one is already working there."""
        try:
            self.folder.path.mkdir(exist_ok=True)
        except OSError as error:
            raise ValueError(f"{self.folder.path} cannot be created ({error.strerror}).") from error
        return results.lock(self.folder)

    def clear(self) -> None:
        """Empties the folder but keeps it, since it is locked, and the record of looks at the test set."""
        for path in self.folder.path.iterdir():
            if path.name != looks.NAME:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
