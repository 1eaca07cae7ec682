"""torch's optimisers without what they would import: the same steps, and a process that stays small."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

from tune.training import optimizers

TRAINING = """
import sys
import torch
from tune.training import images
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import fit
pixels = torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8)
table = images.ImageSet(pixels, torch.arange(16), torch.arange(16), ("a",) * 100, "")
for optimizer in ("sgd", "adamw"):
    config = TrainConfig(model="simple_cnn", lr=0.01, batch_size=8, epochs=2, optimizer=optimizer, scheduler="cosine")
    for result in fit(config, TrainingData(table, table), torch.device("cpu")):
        result.training.load_state_dict(result.training.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_training_does_not_import_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
@pytest.mark.parametrize("fused", [False, True])
def test_the_steps_are_torch_s_own_to_the_bit(name: str, fused: bool) -> None:
    weights = []
    for module in (torch.optim, optimizers):
        torch.manual_seed(0)
        layer = nn.Linear(7, 5)
        more = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {}
        optimizer = getattr(module, name)(layer.parameters(), lr=0.1, weight_decay=1e-3, fused=fused, **more)
        schedule = StepLR(optimizer, 2, 0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a schedule complains if it does not see the optimiser's steps
            for _ in range(5):
                optimizer.zero_grad()
                layer(torch.randn(3, 7)).square().sum().backward()
                optimizer.step()
                schedule.step()
        assert all(not parameter.grad.requires_grad for parameter in layer.parameters() if parameter.grad is not None)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in layer.parameters()]))
    assert torch.equal(*weights)
