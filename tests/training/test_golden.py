"""Ten steps of each architecture lose what they lost when they were recorded."""

from __future__ import annotations

import json

import pytest
import torch

from tests.training.golden import CASES, FILE, losses

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        torch.backends.cpu.get_cpu_capability() == "DEFAULT",
        reason="the golden losses are of processors with AVX2; torch augments with other arithmetic here",
    ),
]
RECORDED: dict[str, list[float]] = json.loads(FILE.read_text())


@pytest.mark.parametrize("case", CASES)
def test_ten_steps_lose_what_they_lost(case: str) -> None:
    assert case in RECORDED, "no golden losses yet; record them with `python -m tests.training.golden`"
    assert losses(case) == pytest.approx(RECORDED[case], rel=3e-5)


def test_nothing_is_recorded_that_is_not_tested() -> None:
    assert set(RECORDED) <= set(CASES)
