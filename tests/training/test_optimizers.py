"""torch's optimisers without what they would import: the same steps. What they import is in test_host."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

from tune.training import optimizers


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
