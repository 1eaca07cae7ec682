"""Random numbers without a state: what they depend on, and that they are as random as they should be."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from tune.training import counter_rng

IMAGES = torch.arange(400)


def test_numbers_depend_on_the_image_not_on_its_batch() -> None:
    whole = counter_rng.uniform(1, 2, IMAGES, 50)
    some = torch.tensor([7, 399, 0])
    assert torch.equal(counter_rng.uniform(1, 2, some, 50), whole[some])
    assert torch.equal(counter_rng.uniform(1, 2, IMAGES, 20), whole[:, :20])


def test_the_numbers_never_change() -> None:
    """val_robust_acc of an old run and of a new one compare only then."""
    found = counter_rng.uniform(20_000, 1, torch.tensor([0, 49_999]), 3)
    assert (found * 2**24).long().tolist() == [[2704561, 8360633, 6996446], [5881320, 4822721, 1435267]]


def test_uniform_numbers_are_uniform_and_independent() -> None:
    parts = [counter_rng.uniform(seed, stream, IMAGES, 100) for seed, stream in ((1, 1), (1, 2), (2, 1))]
    for part in parts:
        assert part.min() >= 0
        assert part.max() < 1
        assert stats.kstest(part.flatten().numpy(), "uniform").pvalue > 0.001
        for a, b in ((part[:, 1:], part[:, :-1]), (part[1:], part[:-1])):  # neighbours in an image, and images
            assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 0.02
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(parts[a].flatten(), parts[b].flatten())[0, 1]) < 0.02


def test_normal_numbers_are_normal() -> None:
    found = counter_rng.normal(1, 1, IMAGES, 100).flatten().numpy()
    assert stats.kstest(found, "norm").pvalue > 0.001


def test_the_largest_uniform_number_has_a_finite_quantile() -> None:
    images = torch.tensor([3901, 5467])
    assert counter_rng.uniform(20_000, 1, images, 3072).max().item() == 1 - 2**-24
    assert counter_rng.normal(20_000, 1, images, 3072).isfinite().all()
