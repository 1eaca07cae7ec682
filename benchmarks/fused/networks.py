"""SimpleCNN for several members at once, in three implementations, for `benchmarks.fused`.

Each takes the members' weights, stacked along a first dimension, and one batch per member, float32 (M, B, 32, 32, 3),
and returns logits (M, B, 100). All three compute the same function up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

Weights = dict[str, Tensor]
Forward = Callable[[Weights, Tensor], Tensor]

CONVOLUTIONS, LINEAR = ("conv1", "conv2"), ("fc1", "fc2")


def by_vmap(model: nn.Module) -> Forward:
    """torch.func's vmap of the network itself, whatever it is. Convolutions become grouped ones internally."""

    def one(weights: Weights, images: Tensor) -> Tensor:
        out: Tensor = functional_call(model, weights, (images.permute(0, 3, 1, 2),))
        return out

    return vmap(one)


def by_groups(model: nn.Module) -> Forward:
    """By hand: members are the groups of each convolution, and the batch of matrices of each linear layer."""

    def forward(weights: Weights, images: Tensor) -> Tensor:
        members, batch = images.shape[:2]
        # (B, M * 3, 32, 32), channels last; pooling the other layout takes a CPU ten times as long.
        x = images.permute(1, 2, 3, 0, 4).flatten(3).permute(0, 3, 1, 2)
        for name in CONVOLUTIONS:
            kernel = weights[f"{name}.weight"].flatten(0, 1).contiguous(memory_format=torch.channels_last)
            bias = weights[f"{name}.bias"].flatten()
            x = F.relu(F.max_pool2d(F.conv2d(x, kernel, bias, padding=1, groups=members), 2))
        return _linear(weights, x.reshape(batch, members, -1).transpose(0, 1))

    return forward


def by_matmul(model: nn.Module) -> Forward:
    """By hand: linear layers as above, and convolutions as batched matrix products over each pixel's 3 x 3 window."""

    def forward(weights: Weights, images: Tensor) -> Tensor:
        members, batch = images.shape[:2]
        x = images.flatten(0, 1)  # (M * B, H, W, C) from here on
        for name in CONVOLUTIONS:
            height, width = x.shape[1:3]
            padded = F.pad(x, (0, 0, 1, 1, 1, 1))
            windows = [padded[:, i : i + height, j : j + width] for i, j in product(range(3), repeat=2)]
            rows = torch.cat(windows, 3).view(members, -1, 9 * x.shape[3])
            kernel = weights[f"{name}.weight"].permute(0, 3, 4, 2, 1).flatten(1, 3)  # (M, 9 * C, out)
            out = torch.baddbmm(weights[f"{name}.bias"][:, None], rows, kernel)
            out = out.view(members * batch, height, width, -1).permute(0, 3, 1, 2)
            x = F.relu(F.max_pool2d(out, 2)).permute(0, 2, 3, 1)
        return _linear(weights, x.permute(0, 3, 1, 2).reshape(members, batch, -1))

    return forward


def _linear(weights: Weights, x: Tensor) -> Tensor:
    """The two linear layers on (M, B, 4096)."""
    for name in LINEAR:
        x = torch.baddbmm(weights[f"{name}.bias"][:, None], x, weights[f"{name}.weight"].transpose(1, 2))
        x = F.relu(x) if name == "fc1" else x
    return x


METHODS: dict[str, Callable[[nn.Module], Forward]] = {"vmap": by_vmap, "groups": by_groups, "matmul": by_matmul}
