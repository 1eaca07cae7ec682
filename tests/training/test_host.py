"""What `fit` does to its process, seen from outside: page faults, subnormal numbers, and what is not imported."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tune.training import host

STEPS = """
import resource
import sys
import torch
from pathlib import Path
from tune.training import data, sources
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training import evaluate, loop

def subnormal():
    return (torch.tensor([2e-38]) / 4 > 0).all().item()

def watched(*given):
    seen.append(subnormal())
    return evaluate.evaluate(*given)

torch.set_num_threads(1)
seen = [subnormal()]
loop.evaluate = watched
images = data.load_training(sources.prepare("synthetic", Path({root!r}), "train"), 0.2, seed=0)
train = images.train.select(torch.arange(160).repeat(4))
config = TrainConfig(model="simple_cnn", lr=0.01, batch_size=128, epochs=3)
faults = []
for result in loop.fit(config, TrainingData(train, images.val), torch.device("cpu")):
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print((faults[2] - faults[1]) / (640 // 128))
print(*seen, subnormal())
for optimizer in ("sgd", "adamw"):
    config = TrainConfig(model="simple_cnn", lr=0.01, batch_size=80, epochs=2, optimizer=optimizer, scheduler="cosine")
    for result in loop.fit(config, images, torch.device("cpu")):
        result.training.load_state_dict(result.training.state_dict())
print("torch._dynamo" in sys.modules)
"""


@pytest.fixture(scope="module")
def after_training(tiny_root: Path) -> list[str]:
    """Page faults of a step; whether there were subnormal numbers before, in each of three epochs, and after;
    whether two more trainings, one with each optimiser, have imported torch's compiler."""
    done = subprocess.run([sys.executable, "-c", STEPS.format(root=str(tiny_root))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_a_step_takes_the_memory_that_the_last_one_freed(after_training: list[str]) -> None:
    """Thousands of faults a step mean that every activation was given back to the system and fetched again."""
    assert float(after_training[0]) < 1000


def test_numbers_too_small_for_full_speed_are_zero(after_training: list[str]) -> None:
    """The momentum of weights that get no gradient ends among them. Before and after, others may want them."""
    assert after_training[1:6] == ["True", "False", "False", "False", "True"]


def test_training_does_not_import_the_compiler(after_training: list[str]) -> None:
    """77 MB and a second of each process."""
    assert after_training[6:] == ["False"]


def test_peak_memory_is_that_of_this_process_and_not_of_the_one_that_started_it() -> None:
    held = np.ones(2**30, dtype=np.uint8)
    code = "import torch; from tune.training import host; print(host.peak_memory_mb(torch.device('cpu')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 50 < float(done.stdout) < 1024 <= host.peak_memory_mb(torch.device("cpu"))
    del held
