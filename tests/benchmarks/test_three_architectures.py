"""The script of three searches, with a `python` that only writes down what it is asked: which command goes on where."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests import ROOT


def test_after_an_interruption_each_architecture_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text('#!/bin/sh\necho "$*"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    script = ["sh", str(ROOT / "benchmarks" / "three_architectures.sh"), "--confirm", "3"]
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "STORAGE": "runs"}

    def asked() -> list[str]:
        done = subprocess.run(script, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    new = "-m tune.run --space search_spaces/{0}.py --name compared-{0} --storage runs --then-finalize --confirm 3"
    assert asked()[:3] == [new.format(model) for model in ("simple_cnn", "resnet18", "resnet50")]
    for file in ("simple_cnn/final/metrics.json", "resnet18/final/checkpoint.pt", "resnet50/experiment.json"):
        (tmp_path / "runs" / f"compared-{file}").parent.mkdir(parents=True)
        (tmp_path / "runs" / f"compared-{file}").touch()
    assert asked() == [
        "runs/compared-simple_cnn is done.",
        "-m tune.finalize compared-resnet18 --storage runs --resume",
        "-m tune.run --resume compared-resnet50 --storage runs --then-finalize --confirm 3",
        "-m tune.report compared-simple_cnn compared-resnet18 compared-resnet50 --storage runs",
    ]
