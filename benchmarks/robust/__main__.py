"""Measures the trained models and compares their rankings: python -m benchmarks.robust --data-dir DIR --models DIR

Writes results/robust.json and the tables of docs/robust.md. Models that were measured before are skipped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks import marks
from benchmarks.compare import ROOT, machine, write
from benchmarks.provenance import commit
from benchmarks.robust import ranking
from benchmarks.robust.configurations import TRUTH_IMAGES, parts
from benchmarks.robust.truth import corrupted_truth, of_each_family
from tune.files import sha256
from tune.results import now
from tune.training import checkpoint, corruptions
from tune.training.checkpoint import Classifier
from tune.training.evaluate import evaluate
from tune.training.images import ImageSet

COMMAND = "python -m benchmarks.robust"


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    marks.check(options.text, COMMAND)
    before: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {}
    measured = {item["model_sha256"]: item for item in before.get("configurations", [])}
    images = parts(options.data_dir)
    sets = {"clean": images.val, "robust": corruptions.corrupted(images.val), "truth": corrupted_truth(images.truth)}
    rows = []
    for path in sorted(options.models.glob("*.pt")):
        digest = sha256(path)
        if (row := measured.get(digest)) is None:
            row = measure(checkpoint.load_model(path, torch.device("cpu")), sets)
            print(path.stem, *(round(row[name], 2) for name in ranking.FIGURES), flush=True)
        rows.append({"number": int(path.stem), "model_sha256": digest, **row})
    found = {
        "measured": now(), "commit": commit(), "command": COMMAND, **machine(),
        "truth_images": TRUTH_IMAGES, **ranking.compare(rows), "configurations": rows,
    }  # fmt: skip
    write(options.out, found)
    marks.put(options.text, COMMAND, ranking.render(found))
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(COMMAND, description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument(
        "--models", type=Path, required=True, metavar="DIR", help="trained by python -m benchmarks.robust.train"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "robust.json", metavar="FILE")
    parser.add_argument("--text", type=Path, default=ROOT / "docs" / "robust.md", metavar="FILE")
    return parser.parse_args(arguments)


def measure(classifier: Classifier, sets: dict[str, ImageSet]) -> dict[str, Any]:
    """Accuracies (%): clean, under our corruptions, under Hendrycks's, and for each family of both."""
    hits = {name: evaluate(classifier.model, images, classifier.preprocessing)[1] for name, images in sets.items()}
    kind, _ = corruptions.draw(sets["clean"].index)
    ours = {name: _per_cent(hits["robust"][kind == at]) for at, name in enumerate(corruptions.CORRUPTIONS)}
    truth = {name: _per_cent(some) for name, some in of_each_family(hits["truth"]).items()}
    return {
        "val_acc": _per_cent(hits["clean"]),
        "val_robust_acc": _per_cent(hits["robust"]),
        "truth": sum(truth.values()) / len(truth),
        "ours_by_family": ours,
        "truth_by_family": truth,
        "config": classifier.config.to_dict(),
    }


def _per_cent(correct: torch.Tensor) -> float:
    return 100 * correct.double().mean().item()


if __name__ == "__main__":
    sys.exit(main())
