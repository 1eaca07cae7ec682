"""CUDA graphs, as a CPU can have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Recording(TorchDispatchMode):
    """A CUDA graph as a CPU can have one: the operators called during the capture are called again by `replay`, on the
    same tensors and with the same numbers. The capture itself leaves nothing changed but tensors it made.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Callable[..., Any], Any, Any, list[Tensor]]] = []
        self._made: set[int] = set()
        self._before: list[tuple[Tensor, Tensor]] = []

    @contextmanager
    def capture(self) -> Iterator[None]:
        random = torch.get_rng_state()
        with self:
            yield
        torch.set_rng_state(random)
        with torch.no_grad():
            for tensor, value in reversed(self._before):
                tensor.copy_(value)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for argument, given in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._before += [(each, each.clone()) for each in tree_leaves(given) if id(each) not in self._made]
        done = func(*args, **(kwargs or {}))
        is_new = all(each.alias_info is None for each in func._schema.returns)
        made = [each for each in tree_leaves(done) if isinstance(each, Tensor)] if is_new else []
        self._made |= {id(each) for each in made}
        self._calls.append((func, args, kwargs or {}, made))
        return done

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, made in self._calls:
            done = [each for each in tree_leaves(func(*args, **kwargs)) if isinstance(each, Tensor)]
            for old, new in zip(made, done, strict=False):
                old.copy_(new)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets steps be captured on the CPU."""
    monkeypatch.setattr(torch.cuda, "Stream", MagicMock())
    monkeypatch.setattr(torch.cuda, "current_stream", MagicMock())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: graph.capture())
