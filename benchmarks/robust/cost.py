"""The cost of val_robust_acc for SimpleCNN on one CPU core: python -m benchmarks.robust.cost --data-dir DIR

In CPU seconds, which other work on the machine hardly affects. Training is timed on a part of the images and scaled up.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from benchmarks.robust.configurations import draws, parts
from tune.search.asha import Asha
from tune.training import corruptions, host
from tune.training.data import TrainingData
from tune.training.evaluate import evaluate
from tune.training.image_size import preprocessing_of
from tune.training.loop import fit
from tune.training.model import build_model

TIMED, WHOLE = 2_560, 40_000
"""Training images."""

HORIZON = 27
"""Epochs in search_spaces/simple_cnn.py."""


def main(arguments: list[str] | None = None) -> int:
    assert __doc__
    parser = argparse.ArgumentParser("python -m benchmarks.robust.cost", description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR")
    images = parts(parser.parse_args(arguments).data_dir, TIMED)
    torch.set_num_threads(1)
    config = draws(2, 3)[1]  # crop and flip
    model = build_model(config, torch.device("cpu"))
    with host.at_full_speed():
        began = time.process_time()
        corrupted = corruptions.corrupted(images.val)
        made = time.process_time()
        evaluate(model, corrupted, preprocessing_of(config))
        judged = time.process_time()
    some = TrainingData(images.train, None)
    epochs = [time.process_time() for _ in fit(config, some, torch.device("cpu"))]
    training = (epochs[-1] - epochs[0]) / (len(epochs) - 1) * WHOLE / TIMED
    making, judging = made - began, judged - made
    times = len({*Asha(HORIZON).rungs, HORIZON})
    whole = HORIZON * (training + judging)  # validation costs the same on clean and corrupted images
    share = 100 * judging / training
    print(f"made once per process: {making:.1f} s; judged each time: {judging:.1f} s")
    print(f"the training of an epoch: {training:.0f} s, of which that is {share:.1f} %")
    print(f"of a full trial, {times} times in {HORIZON} epochs: {100 * times * judging / whole:.2f} %")
    print(f"and of a process's first trial {100 * making / whole:.2f} % more")
    return 0


if __name__ == "__main__":
    sys.exit(main())
