"""A counter-based random number generator: each number is a function of (seed, stream, image, position).

It keeps no state, so the numbers do not depend on the order of the images or on how they are batched (Salmon et al.
2011, "Parallel random numbers: as easy as 1, 2, 3"). All arithmetic is on integers, so uniform numbers are the same
bit for bit on every device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_32_BITS = 0xFFFFFFFF


def uniform(seed: int, stream: int, image: Tensor, count: int) -> Tensor:
    """`count` uniform numbers in [0, 1) for each image, int64 (B,): float32 (B, count), on the same device."""
    bits = _words(seed, stream, image, count) >> 8  # float32 holds 24 of them
    return bits.float() * 2.0**-24


def normal(seed: int, stream: int, image: Tensor, count: int) -> Tensor:
    """The same, standard normal. These agree across devices only up to the rounding of `erfinv`."""
    # In the open interval, as the quantiles of 0 and 1 are infinite; the largest sum would round to 1.
    open_unit = (uniform(seed, stream, image, count) + 2.0**-25).clamp(max=1 - 2.0**-24)
    return math.sqrt(2) * torch.erfinv(2 * open_unit - 1)


def _words(seed: int, stream: int, image: Tensor, count: int) -> Tensor:
    """Words of 32 random bits, int64 (B, count)."""
    start = _mix(torch.tensor((seed * 1_000_003 + stream) & _32_BITS, device=image.device))
    key = _mix(image ^ start)
    position = _mix(torch.arange(count, device=image.device) ^ _mix(start + 1 & _32_BITS))
    return _mix(key[:, None] ^ position)


def _mix(word: Tensor) -> Tensor:
    """A bijection of 32-bit words in which flipping an input bit flips each output bit with probability close to 1/2.

    Multipliers and shifts are those of Wellons' lowbias32 (github.com/skeeto/hash-prospector, public domain). A product
    may overflow 64 bits, but its lower 32, the only ones kept, are correct.
    """
    word = word ^ (word >> 16)
    word = (word * 0x7FEB352D) & _32_BITS
    word = word ^ (word >> 15)
    word = (word * 0x846CA68B) & _32_BITS
    return word ^ (word >> 16)
