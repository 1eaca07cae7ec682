"""torch's SGD and AdamW without torch._dynamo, which they import at their first step.

It keeps 77 MB and takes a second in each process, and serves torch.compile alone, which is not used here. torch
guards its optimisers against being compiled in two ways: functions that ask for torch._dynamo the first time they are
called (`torch/_compile.py`, unless they are marked as dealt with), and a wrapper around `step`. Should another torch do
it differently, the import comes back, and nothing else changes.
"""

from __future__ import annotations

import inspect

import torch

for _guarded in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
    _plain = inspect.unwrap(getattr(torch.optim.Optimizer, _guarded))
    _plain.__dict__.setdefault("__dynamo_disable", _plain)


class SGD(torch.optim.SGD):
    """The same, to the bit."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class AdamW(torch.optim.AdamW):
    """The same, to the bit."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
