"""Learning curves of configurations that were not recorded, from Gaussian processes fitted to those that were.

    python -m benchmarks.replay.surrogate --curves results/curves.parquet

fits them, prints their cross-validated error, and stores the fit in results/surrogate.json. A curve is the mean curve
plus a few principal components, whose scores are Gaussian processes of the configuration. The jitter from epoch to
epoch, which the components do not capture, is taken from a recorded curve that the configuration's hash selects.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel, WhiteKernel

from benchmarks.compare import ROOT, write
from benchmarks.replay import curves
from benchmarks.replay.curves import Curve
from tune.training.config import TrainConfig

Floats = NDArray[np.float64]

COMPONENTS = 4
CHANCE = 1.0
"""Accuracy (%) that replaces diverged epochs when the components are computed."""

AUGMENTATIONS = ("none", "crop_flip", "trivialaugment")
SCHEDULERS = ("step", "cosine", "one_cycle")


class Surrogate:
    """The curve of any configuration in the recorded space; the recorded curve if there is one."""

    def __init__(self, recorded: Sequence[Curve], theta: Sequence[Sequence[float]] | None = None) -> None:
        """`theta`: the logarithms of the kernel parameters, one list per component; fitted, in minutes, by default."""
        self._recorded = list(recorded)
        self._known = {replace(curve.config, seed=0): curve for curve in recorded}
        inputs = np.array([features(curve.config) for curve in recorded])
        self._shift, self._scale = inputs.mean(0), inputs.std(0) + 1e-9
        self._inputs = self._standard(inputs)
        accuracies = np.array([filled(curve) for curve in recorded])
        self._mean = accuracies.mean(0)
        _, _, directions = np.linalg.svd(accuracies - self._mean, full_matrices=False)
        self._directions: Floats = directions[:COMPONENTS]
        scores = (accuracies - self._mean) @ self._directions.T
        self._jitter = accuracies - self._mean - scores @ self._directions
        self._processes = [
            _fitted(self._inputs, scores[:, i], None if theta is None else theta[i]) for i in range(COMPONENTS)
        ]

    def theta(self) -> list[list[float]]:
        """The kernel parameters, for another instance."""
        return [list(process.kernel_.theta) for process in self._processes]

    def __call__(self, config: TrainConfig) -> Curve:
        """The curve, with jitter. Deterministic."""
        if (known := self._known.get(replace(config, seed=0))) is not None:
            return known
        at = self._standard(np.array([features(config)]))
        smooth = self._mean + self._scores(at) @ self._directions
        number = int.from_bytes(hashlib.sha256(repr(config).encode()).digest()[:8])
        accuracy = np.clip(smooth + self._jitter[number % len(self._jitter)], 0.0, 100.0)
        near = self._nearest(at[0], config.batch_size)
        return Curve(config=config, val_acc=tuple(accuracy.tolist()), cpu_s=near.cpu_s)

    def _scores(self, at: Floats) -> Floats:
        # The mean as predict() computes it, without its checks, which take ten times as long.
        means: list[Floats] = [
            process.kernel_(at, process.X_train_) @ process.alpha_ * process._y_train_std + process._y_train_mean
            for process in self._processes
        ]
        scores: Floats = np.concatenate(means)
        return scores

    def _standard(self, inputs: Floats) -> Floats:
        standard: Floats = (inputs - self._shift) / self._scale
        return standard

    def _nearest(self, at: Floats, batch_size: int) -> Curve:
        """The recorded curve nearest in training time: by batch size, then by everything else."""
        far = np.abs(self._inputs - at).sum(1)
        far += 1e3 * np.array([curve.config.batch_size != batch_size for curve in self._recorded])
        far += 1e6 * np.array([len(curve.cpu_s) != len(self._mean) for curve in self._recorded])
        return self._recorded[int(far.argmin())]


def features(config: TrainConfig) -> list[float]:
    """A configuration as numbers. What a branch of the space does not have gets a constant."""
    return [
        np.log(config.lr),
        np.log(config.batch_size),
        np.log(config.lr / config.batch_size),
        float(config.nesterov),
        np.log(config.weight_decay + 5e-5),
        *(float(config.scheduler == name) for name in SCHEDULERS),
        np.log(1 - config.gamma) if config.scheduler == "step" else -2.0,
        config.warmup,
        *(float(config.augmentation == name) for name in AUGMENTATIONS),
        config.random_erasing,
        config.label_smoothing,
        config.mixup,
        config.cutmix,
        config.dropout,
    ]


def filled(curve: Curve) -> list[float]:
    """The accuracies of all epochs, at chance level after a divergence."""
    known = [CHANCE if value is None else value for value in curve.val_acc]
    return known + [CHANCE] * (curve.config.epochs - len(known))


def _fitted(inputs: Floats, targets: Floats, theta: Sequence[float] | None) -> GaussianProcessRegressor:
    wide = (1e-1, 1e3)
    kernel: Kernel = ConstantKernel() * RBF(np.full(inputs.shape[1], 3.0), wide) + WhiteKernel(0.1, (1e-4, 1.0))
    if theta is not None:
        kernel = kernel.clone_with_theta(np.array(theta))
    fit = "fmin_l_bfgs_b" if theta is None else None
    process = GaussianProcessRegressor(kernel, normalize_y=True, optimizer=fit)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # the length scale of an irrelevant feature goes to its bound
        return process.fit(inputs, targets)


def promising(recorded: Sequence[Curve], running: Sequence[TrainConfig], candidates: Sequence[TrainConfig]) -> int:
    """The index of the most promising candidate: that with the highest upper confidence bound of the last accuracy.

    The bound is one standard deviation above the mean. Running configurations count with their expected results.
    """
    inputs = np.array([features(config) for config in [*(curve.config for curve in recorded), *running, *candidates]])
    inputs = (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-9)
    known, new = len(recorded), len(recorded) + len(running)
    targets = np.array([filled(curve)[-1] for curve in recorded])
    process = _fitted(inputs[:known], targets, None)
    if running:
        targets = np.concatenate([targets, process.predict(inputs[known:new])])
        process = _fitted(inputs[:new], targets, process.kernel_.theta)
    mean, deviation = process.predict(inputs[new:], return_std=True)
    return int((mean + deviation).argmax())


def errors(recorded: Sequence[Curve], theta: Sequence[Sequence[float]], folds: int = 10) -> dict[str, Any]:
    """Cross-validated errors of the last epoch's accuracy, in points; the kernels are those fitted on all curves."""
    truth, guess = [], []
    for fold in range(folds):
        model = Surrogate([curve for i, curve in enumerate(recorded) if i % folds != fold], theta)
        for curve in recorded[fold::folds]:
            truth.append(filled(curve)[-1])
            guess.append(model(curve.config).val_acc[-1])
    off = np.array(guess) - np.array(truth)
    better = np.array(truth) > np.median(truth)
    return {
        "curves": len(recorded),
        "folds": folds,
        "rmse": float(np.sqrt((off**2).mean())),
        "rmse_better_half": float(np.sqrt((off[better] ** 2).mean())),
        "median_absolute": float(np.median(np.abs(off))),
        "bias_better_half": float(off[better].mean()),
        "rank_correlation": float(spearmanr(truth, guess).statistic),
        "spread": float(np.std(truth)),
    }


def load(path: Path = ROOT / "results" / "curves.parquet") -> Surrogate:
    """The surrogate of the recorded curves, with the kernels stored beside them."""
    fit = json.loads(path.with_name("surrogate.json").read_text())
    return Surrogate(curves.read(path), fit["theta"])


def main(arguments: list[str] | None = None) -> int:
    assert __doc__
    parser = argparse.ArgumentParser("python -m benchmarks.replay.surrogate", description=__doc__.partition("\n")[0])
    parser.add_argument("--curves", type=Path, default=ROOT / "results" / "curves.parquet", metavar="FILE")
    path = parser.parse_args(arguments).curves
    recorded = curves.read(path)
    theta = Surrogate(recorded).theta()
    found = errors(recorded, theta)
    write(path.with_name("surrogate.json"), {"error_in_points": found, "theta": theta})
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
