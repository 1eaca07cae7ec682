"""A share of a GPU is kept to: by Ray, which counts trials, and by torch, which counts bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.commands.asking import SPACE
from tune.search import trial
from tune.search.devices import Share
from tune.search.trial import Trial

pytestmark = pytest.mark.starts_ray


@pytest.mark.slow  # test_devices.py holds the arithmetic
def test_two_trials_share_a_gpu_by_halves_and_never_three(synthetic_root: Path, tmp_path: Path) -> None:
    """On a Ray of their own with four cores: the GPU is what is short. Trials only wait; all else is the command's."""
    space = tmp_path / "space.py"
    space.write_text(SPACE)
    given = ["--space", space, "--data", "synthetic", "--data-dir", synthetic_root, "--storage", tmp_path / "runs"]
    given += ["--gpus-per-trial", "0.5", "--trials", "5", "--max-epochs", "1", "--wandb", "disabled"]
    command = [sys.executable, "-m", "tests.search.half_gpus", *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert len(seen) == 5
    assert max(seen) == 2


@pytest.mark.parametrize(("gpus", "asked"), [(0.25, [0.25 * trial.TENSORS]), (1.0, []), (0.0, [])])
def test_a_trial_may_fill_its_share_of_the_memory_alone(
    gpus: float, asked: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    monkeypatch.setattr(Trial, "_begin", lambda self, config: None)
    monkeypatch.setattr(torch, "set_flush_denormal", lambda on: True)  # it would last for this process
    new: Trial = Trial.__new__(Trial)
    new.setup({}, SimpleNamespace(share=Share(torch.get_num_threads(), gpus)))  # type: ignore[arg-type]
    assert told == asked


@pytest.mark.gpu
def test_more_than_its_share_is_refused_by_torch() -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.25 * trial.TENSORS)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(0.25 * total), dtype=torch.uint8, device="cuda")
        assert torch.empty(int(0.2 * total), dtype=torch.uint8, device="cuda").is_cuda
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
