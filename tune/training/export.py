"""Exports a finished model, preprocessing included, as one file that needs nothing but torch."""

from __future__ import annotations

import copy
import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from tune.files import written
from tune.training.checkpoint import Classifier
from tune.training.images import SIDE
from tune.training.predictor import Predictor

CLASSES = "classes.json"
"""Name of the extra file inside the export that lists the classes."""


class Probabilities(nn.Module):
    """uint8 (B, 32, 32, 3) -> float32 (B, classes); each row adds up to 1."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, pixels: Tensor) -> Tensor:
        logarithms: Tensor = self.predictor(pixels)
        return logarithms.exp()


@torch.no_grad()
def export(path: Path, classifier: Classifier, *, tta: bool | None = None) -> None:
    """Writes the model with `torch.export`, in float32 and for any batch size, atomically.

    `tta`: test-time augmentation; None means as the model was tested. The classifier must be on the CPU; the exported
    file runs on any device. Unwritable if the disk is full.
    """
    # A copy without gradients: the exported model would otherwise store what a backward pass needs.
    module = Probabilities(copy.deepcopy(classifier.predictor(tta=tta, exact=True))).eval().requires_grad_(False)
    example = torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8)
    module(example)  # fills the caches of augment.py, which would otherwise keep tensors of the tracer
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    content = io.BytesIO()
    with warnings.catch_warnings():
        # About weights that are not contiguous, like channels-last ones; they are written correctly.
        warnings.filterwarnings("ignore", message="No complete tensor found in the group")
        torch.export.save(program, content, extra_files={CLASSES: json.dumps(classifier.class_names)})
    with written(path) as file:
        file.write(content.getbuffer())
