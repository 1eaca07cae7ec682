"""State dicts of ResNet-50 for the tests of its weights: small files, and what a model that loaded one must hold."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet50


@cache
def _keys_and_shapes() -> dict[str, Tensor]:
    """torchvision's own state dict, without memory for its values."""
    with torch.device("meta"):
        return dict(resnet50(weights=None).state_dict())


def flat_state(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A state_dict of torchvision's resnet50, each tensor filled with a number of its own: a small file."""
    state = {}
    for number, (key, value) in enumerate(_keys_and_shapes().items()):
        kind = dtype if value.is_floating_point() else value.dtype
        state[key] = torch.tensor(number + 1, dtype=kind).expand(value.shape)
    return state


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def backbone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def assert_holds(model: nn.Module, state: dict[str, Tensor]) -> None:
    """The backbone of `state` as float32, and a classifier that is not zero, not the file's and not too large."""
    own = model.state_dict()
    for key, value in backbone(state).items():
        wanted = value.to(torch.float32) if value.is_floating_point() else value
        torch.testing.assert_close(own[key], wanted, rtol=0, atol=0, msg=key)
    assert own["fc.weight"].shape == (100, 2048)
    assert 0 < own["fc.weight"].abs().max() <= 2048**-0.5
    assert not torch.equal(own["fc.weight"], state["fc.weight"][:100].float())
