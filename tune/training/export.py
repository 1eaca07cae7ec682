"""A finished model as one file that torch alone can run: preprocessing, networks, probabilities."""

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
"""Name of the extra file in it that lists the classes."""


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
    """Writes it with `torch.export`, in float32, for any batch size, whole or not at all.

    With views as it was tested if `tta` does not say. The classifier must be on the CPU; the file then runs on any
    device. Unwritable if the disk is full.
    """
    # A copy, and one that does not learn: what is loaded would else keep what a gradient needs.
    module = Probabilities(copy.deepcopy(classifier.predictor(tta=tta, exact=True))).eval().requires_grad_(False)
    example = torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8)
    module(example)  # so that the constants that augment.py keeps are made by this call, and not by the tracer
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    content = io.BytesIO()
    with warnings.catch_warnings():
        # Of weights that are not contiguous, as channels-last ones are; they are written whole all the same.
        warnings.filterwarnings("ignore", message="No complete tensor found in the group")
        torch.export.save(program, content, extra_files={CLASSES: json.dumps(classifier.class_names)})
    with written(path) as file:
        file.write(content.getbuffer())
