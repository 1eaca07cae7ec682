"""Random numbers as a function of (seed, stream, image, position): no state, so no order and no batch can change them.

A counter-based generator in the sense of Salmon et al. (2011, "Parallel random numbers: as easy as 1, 2, 3"). It is
made of whole-number arithmetic, so that uniform numbers are the same to the bit on any device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_32_BITS = 0xFFFFFFFF


def uniform(seed: int, stream: int, image: Tensor, count: int) -> Tensor:
    """`count` numbers for each image, int64 (B,), evenly in [0, 1): float32 (B, count), on the images' device."""
    bits = _words(seed, stream, image, count) >> 8  # float32 has 24 of them
    return bits.float() * 2.0**-24


def normal(seed: int, stream: int, image: Tensor, count: int) -> Tensor:
    """The same, standard normal."""
    open_unit = uniform(seed, stream, image, count) + 2.0**-25  # neither 0 nor 1, whose quantiles are infinite
    return math.sqrt(2) * torch.erfinv(2 * open_unit - 1)


def _words(seed: int, stream: int, image: Tensor, count: int) -> Tensor:
    """32 random bits each: int64 (B, count)."""
    start = _mix(torch.tensor((seed * 1_000_003 + stream) & _32_BITS, device=image.device))
    key = _mix(image ^ start)
    position = _mix(torch.arange(count, device=image.device) ^ _mix(start + 1 & _32_BITS))
    return _mix(key[:, None] ^ position)


def _mix(word: Tensor) -> Tensor:
    """Sends 32 bits to 32 others, one to one, so that each input bit changes every output bit half of the time.

    The multipliers and shifts are those of Wellons' lowbias32 (github.com/skeeto/hash-prospector, public domain). A
    product may overflow 64 bits; its lower 32, which are all that is kept, are right.
    """
    word = word ^ (word >> 16)
    word = (word * 0x7FEB352D) & _32_BITS
    word = word ^ (word >> 15)
    word = (word * 0x846CA68B) & _32_BITS
    return word ^ (word >> 16)
