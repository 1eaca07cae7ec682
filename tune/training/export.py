"""Exports a finished model, preprocessing included, to one file that needs nothing but torch."""

from __future__ import annotations

import copy
import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from tune.files import atomic_file
from tune.training.checkpoint import Classifier
from tune.training.images import SIDE
from tune.training.predictor import Predictor

CLASSES_FILE = "classes.json"
"""The extra file inside the export that lists the class names."""


class Probabilities(nn.Module):
    """uint8 (B, 32, 32, 3) -> probabilities, float32 (B, classes)."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, pixels: Tensor) -> Tensor:
        log_probabilities: Tensor = self.predictor(pixels)
        return log_probabilities.exp()


@torch.no_grad()
def export(path: Path, classifier: Classifier, *, tta: bool | None = None) -> None:
    """Writes the model with `torch.export`, in float32 and for any batch size, atomically.

    `tta`: test-time augmentation, by default as the model was tested. The classifier must be on the CPU; the exported
    model runs on any device. Unwritable if the disk is full.
    """
    # A copy without gradients, or the exported model would store what a backward pass needs.
    module = Probabilities(copy.deepcopy(classifier.predictor(tta=tta, exact=True))).eval().requires_grad_(False)
    example = torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8)
    module(example)  # fills the caches of augment.py, which would otherwise keep the tracer's tensors
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    content = io.BytesIO()
    with warnings.catch_warnings():
        # torch warns about non-contiguous weights, such as channels-last ones, but writes them correctly.
        warnings.filterwarnings("ignore", message="No complete tensor found in the group")
        torch.export.save(program, content, extra_files={CLASSES_FILE: json.dumps(classifier.class_names)})
    with atomic_file(path) as file:
        file.write(content.getvalue())
