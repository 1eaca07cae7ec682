"""torch's SGD and AdamW without torch._dynamo, which they import at their first step.

That import takes 77 MB and a second in every process, and only torch.compile needs it, which is not used here. torch
keeps its optimizers from being compiled in two ways: by functions that import torch._dynamo on their first call unless
they are marked as already disabled (`torch/_compile.py`), and by a wrapper around `step`. If another version of torch
does it differently, the import comes back, and nothing else changes.
"""

from __future__ import annotations

import inspect

import torch

for _guarded in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
    _plain = inspect.unwrap(getattr(torch.optim.Optimizer, _guarded))
    _plain.__dict__.setdefault("__dynamo_disable", _plain)


class SGD(torch.optim.SGD):
    """torch's own, bit for bit."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class AdamW(torch.optim.AdamW):
    """torch's own, bit for bit."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
