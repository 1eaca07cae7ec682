"""What happens when memory runs out, in a process whose memory is limited in earnest."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tune.training import data, loop, sources
from tune.training.config import TrainConfig
from tune.training.loop import fit
from tune.training.state import Training

TRAIN = """
import json, resource, sys
from pathlib import Path
import torch
from tune.training import data, host
from tune.training.config import TrainConfig
from tune.training.loop import fit

torch.set_num_threads(1)
images = data.load_training(Path(sys.argv[1]), 0.02, 0, 4000)
def trained(batch_size, epochs, start=None):
    config = TrainConfig(model="simple_cnn", lr=0.05, batch_size=batch_size, epochs=epochs)
    results = list(fit(config, images, torch.device("cpu"), start))
    return [(r.micro_batches, r.train_loss, r.val_acc) for r in results], results[-1].training.state_dict()
for fits in (1000, 500, 250):  # oneDNN writes its code for each size: in a full address space it could not
    trained(fits, 1)
host.give_back_memory()
now = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
before, hard = resource.getrlimit(resource.RLIMIT_AS)
# Trained here without a limit, a batch of 2,000 took 570 to 730 MB beyond what the smaller ones had left behind.
resource.setrlimit(resource.RLIMIT_AS, (now + (300 << 20), hard))
tight, state = trained(2000, 2)
resource.setrlimit(resource.RLIMIT_AS, (before, hard))
roomy, _ = trained(2000, 2)
print(json.dumps([tight, roomy, state["micro_batches"]]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="this system does not tell what a process takes")
def test_a_batch_that_does_not_fit_is_split_and_teaches_the_same(synthetic_root: Path) -> None:
    arrow = sources.prepare("synthetic", synthetic_root, "train")
    done = subprocess.run([sys.executable, "-c", TRAIN, arrow], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tight, roomy, kept = json.loads(done.stdout)
    assert [parts for parts, _, _ in roomy] == [1, 1]
    first, second = (parts for parts, _, _ in tight)
    assert first > 1, "300 MB were enough for a batch of 2,000"
    assert second == kept >= first, "a checkpoint knows it, too"
    assert [loss for _, loss, _ in tight] == pytest.approx([loss for _, loss, _ in roomy], rel=1e-5)
    assert [accuracy for _, _, accuracy in tight] == pytest.approx([accuracy for _, _, accuracy in roomy], abs=0.2)


@pytest.mark.gpu
def test_a_batch_that_does_not_fit_on_the_gpu_is_split_too(synthetic_root: Path) -> None:
    images = data.load_training(sources.prepare("synthetic", synthetic_root, "train"), 0.02, 0, 2000)
    config = TrainConfig(model="resnet18", lr=0.05, batch_size=1000, epochs=1)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2 * 2**30 / total)
    try:
        (result,) = fit(config, images, torch.device("cuda"))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result.micro_batches > 1
    assert not result.diverged


def test_each_part_of_a_batch_has_two_images_for_batch_normalisation(synthetic_root: Path) -> None:
    """13 images in 4 parts; torch.chunk would make the last part one image."""
    images = data.load_training(sources.prepare("synthetic", synthetic_root, "train"), 0.02, 0, 100)
    images = replace(images, train=images.train.select(torch.arange(13)), val=None)
    config = TrainConfig(model="resnet18", lr=0.01, batch_size=13, epochs=1, image_size=8)
    (result,) = fit(config, images, torch.device("cpu"), micro_batches=4)
    assert result.micro_batches == 4
    assert not result.diverged


@pytest.mark.parametrize(("batch_size", "parts"), [(1, 1), (3, 1), (5, 2)])
def test_a_second_attempt_asks_for_no_more_parts_than_that(batch_size: int, parts: int, synthetic_root: Path) -> None:
    """After memory ran out, the next attempt is told to split each batch, whatever its size."""
    images = data.load_training(sources.prepare("synthetic", synthetic_root, "train"), 0.02, 0, 100)
    images = replace(images, train=images.train.select(torch.arange(10)), val=None)
    config = TrainConfig(model="simple_cnn", lr=0.01, batch_size=batch_size, epochs=1)
    (result,) = fit(config, images, torch.device("cpu"), micro_batches=2)
    assert result.micro_batches == parts


def test_memory_that_two_images_do_not_fit_into_is_an_error(
    synthetic_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def full(training: Training, *_: object) -> None:
        tried.append(training.micro_batches)
        raise MemoryError

    monkeypatch.setattr(loop, "_backward", full)
    images = data.load_training(sources.prepare("synthetic", synthetic_root, "train"), 0.02, 0, 100)
    config = TrainConfig(model="simple_cnn", lr=0.01, batch_size=9, epochs=1)
    with pytest.raises(MemoryError):
        next(fit(config, images, torch.device("cpu")))
    assert tried == [1, 2, 4], "nine images in four parts, each of two or three"
