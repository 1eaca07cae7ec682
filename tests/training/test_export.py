"""An exported model says what the model says, in a process that has torch and nothing of this project."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_checkpoint import NAMES, pixels, untrained
from tune.training import checkpoint
from tune.training.checkpoint import Classifier
from tune.training.config import TrainConfig
from tune.training.export import export

ALONE = """
import json, sys, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "The given buffer is not writable")  # torch 2.11 warns of what it does itself
sys.modules["tune"] = sys.modules["cifar_models"] = None
import torch
path, images, answers = sys.argv[1:]
about = {"classes.json": ""}
model = torch.export.load(path, extra_files=about).module()
images = torch.load(images, weights_only=True)
torch.save([torch.from_numpy(model(images[:count]).numpy()) for count in (1, 2, 5)], answers)
print(len(json.loads(about["classes.json"])))
"""


def classifier(path: Path, seeds: int, values: Mapping[str, Any]) -> Classifier:
    """Untrained networks whose answers differ from image to image."""
    states = []
    for seed in range(seeds):
        config = TrainConfig(lr=0.1, batch_size=8, epochs=1, dropout=0.5, seed=seed, **values)
        training = untrained(config)
        if config.model == "simple_cnn":
            training.model.get_parameter("fc2.weight").data.mul_(20)
        checkpoint.save_model(path, training, NAMES)
        states.append(torch.load(path, weights_only=True))
    others = {state["config"]["seed"]: state["model"] for state in states[1:]}
    checkpoint.save(path, states[0] | {"others": others})
    return checkpoint.load_model(path)


@pytest.mark.parametrize(
    ("values", "seeds", "tta"),
    [
        ({"model": "simple_cnn"}, 2, True),
        pytest.param({"model": "resnet18", "image_size": 16}, 1, False, marks=pytest.mark.slow),
        pytest.param({"model": "resnet50", "image_size": 40}, 1, False, marks=pytest.mark.slow),
    ],
    ids=["simple_cnn, 2 seeds and views", "resnet18", "resnet50"],
)
def test_an_exported_model_needs_torch_alone(values: dict[str, Any], seeds: int, tta: bool, tmp_path: Path) -> None:
    model = classifier(tmp_path / "model.pt", seeds, values)
    images = (pixels(5) * torch.linspace(0.2, 1, 5)[:, None, None, None]).byte()
    before = model.probabilities(images)
    export(tmp_path / "model.pt2", model, tta=tta)
    assert torch.equal(model.probabilities(images), before), "the tracer has left nothing behind"
    torch.save(images, tmp_path / "images.pt")
    paths = [str(tmp_path / name) for name in ("model.pt2", "images.pt", "answers.pt")]
    done = subprocess.run([sys.executable, "-c", ALONE, *paths], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "100\n"
    with torch.inference_mode():
        expected = model.predictor(tta=tta, exact=True)(images).exp()
    assert (expected[0] - expected[4]).abs().max() > 1e-3
    assert all(parameter.requires_grad for parameter in model.model.parameters()), "the model itself is left alone"
    for answers in torch.load(tmp_path / "answers.pt", weights_only=True):
        assert torch.equal(answers.argmax(1), expected[: len(answers)].argmax(1))
        assert (answers - expected[: len(answers)]).abs().max() < 1e-5
