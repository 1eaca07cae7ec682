"""Scores finished models on such a set: python -m benchmarks.cifar100c.score --set DIR RUN_OR_MODEL ...

The mean over 19 families and 5 severities is the usual metric for CIFAR-100-C. No decision is based on it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.cifar100c import FAMILIES
from tune.training import checkpoint, ood
from tune.training.checkpoint import Classifier
from tune.training.evaluate import batch_size_at


def main(arguments: list[str] | None = None) -> int:
    assert __doc__
    parser = argparse.ArgumentParser("python -m benchmarks.cifar100c.score", description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+", type=Path, metavar="RUN_OR_MODEL", help="a run's folder, or a model.pt")
    parser.add_argument(
        "--set", type=Path, required=True, metavar="DIR", help="written by python -m benchmarks.cifar100c"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the results as JSON")
    parser.add_argument(
        "--no-tta",
        action="store_true",
        help="no test-time augmentation, even if the model was tested with it: a tenth of the work",
    )
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = {}
    for path in options.models:
        model = path / "final" / "model.pt" if path.is_dir() else path
        classifier = checkpoint.load_model(model, device)
        if options.no_tta:
            classifier = replace(classifier, tta=False)
        found[str(path)] = score(classifier, options.set, device)
        print(f"{path}: {found[str(path)]['mean']:.2f} %", flush=True)
        for name, accuracies in found[str(path)]["families"].items():
            print(f"  {name:<18}" + "".join(f"{accuracy:8.2f}" for accuracy in accuracies))
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def check(folder: Path) -> list[Path]:
    """The families' files. ValueError if one of them, or labels.npy, is missing."""
    files = [folder / f"{name}.npy" for name in FAMILIES]
    if missing := [path.name for path in (*files, folder / "labels.npy") if not path.is_file()]:
        raise ValueError(f"{folder} lacks {missing[0]}; python -m benchmarks.cifar100c --out {folder} writes it.")
    return files


def score(classifier: Classifier, folder: Path, device: torch.device) -> dict[str, Any]:
    """Accuracies (%): the mean, and for each family at severities 1 to 5. ValueError as in `check`."""
    files = check(folder)
    labels: NDArray[np.int64] = np.load(folder / "labels.npy")
    families: dict[str, list[float]] = {name: [] for name in FAMILIES}
    batch_size = batch_size_at(classifier.preprocessing.image_size, device)
    for path in files:
        for guess in ood.predict(path, lambda pixels: classifier.log_probabilities(pixels.to(device)), batch_size):
            families[path.stem].append(100 * float((guess.labels == labels).mean()))
    return {"mean": float(np.mean(list(families.values()))), "families": families}


if __name__ == "__main__":
    sys.exit(main())
