"""The GPU session: its script at a tiny size on the CPU, and the captured step on whatever is there."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import check, cuda_graph
from benchmarks.gpu.cuda_graph import CapturedStep, StepOf
from benchmarks.gpu.session import Report, Session, float32, waits
from tests.training.conftest import draw_pairs
from tune.training import data, images, sources, synthetic
from tune.training.config import TrainConfig
from tune.training.state import Training

EXACT = [name for name in check.CHECKS if name != "bfloat16"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir whose `synthetic` data are 800 images of 20 classes."""
    root = tmp_path_factory.mktemp("gpu")
    path = root / "arrow" / f"synthetic-v{synthetic.VERSION}-train.arrow"
    images.write(path, *draw_pairs(40, 0), {"class_names": synthetic.CLASS_NAMES})
    return root


def session_on(device: str, root: Path, model: str = "simple_cnn") -> Session:
    """A session on 640 images to train on."""
    loaded = data.load_training(sources.prepare("synthetic", root, "train"), 0.2, seed=0).to(torch.device(device))
    return Session(model, loaded, torch.device(device), None, True, Report({}, None), math.inf)


# --- the script --------------------------------------------------------------------------------------------------


def measured(root: Path, tmp_path: Path, *options: str) -> dict[tuple[str, str, str], Any]:
    """Runs the script: what its JSON holds, by part, name and unit."""
    out = tmp_path / "out.json"
    asked = ["--device", "cpu", "--tiny", "--data", "synthetic", "--data-dir", str(root), "--out", str(out), *options]
    assert gpu.main(asked) == 0
    report = json.loads(out.read_text())
    assert report["device"] == "CPU"
    assert report["torch"] == torch.__version__
    assert report["command"].startswith("python -m benchmarks.gpu --device cpu --tiny")
    assert not [each for each in report["figures"] if "failed" in each]
    assert {each["part"] for each in report["figures"] if "left_out" in each} <= {"waits", "compile"}
    return {(each["part"], each["what"], each.get("unit", "")): each.get("value") for each in report["figures"]}


@pytest.mark.slow  # ten seconds of measuring
def test_simple_cnn_is_measured(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(root, tmp_path, "--model", "simple_cnn")
    expected = [("epoch", "batch 8: engine", unit) for unit in ("s", "images/s", "MB")]
    expected += [("step", "batch 8: eager", unit) for unit in ("ms", "images/s")]
    expected += [("plain", "batch 8: 0 workers", "images/s"), ("plain", "batch 8: engine / plain", "times")]
    expected += [("sharing", f"batch 8: {side}: {count}", "images/s") for side in ("ours", "plain") for count in (1, 2)]
    expected += [("sharing", "batch 8: auto / plain at its best", "times")]
    for key in expected:
        assert math.isfinite(found[key])
        assert found[key] > 0
    for name in check.CHECKS:
        assert found["check", f"{name}: eager", "nats"] == 0  # the step that is timed is the engine's
    for precision in ("bfloat16", "float32"):
        assert 0 <= found["accuracy", f"mean: {precision}", "%"] <= 100
    assert ("accuracy", "bfloat16 - float32", "points") in found
    assert {("waits", "all", ""), ("compile", "all", "")} <= found.keys()  # said to be left out
    assert "batch 8: engine / plain" in capsys.readouterr().out


def test_resnet18_is_measured(root: Path, tmp_path: Path) -> None:
    found = measured(root, tmp_path, "--model", "resnet18", "--only", "step,plain")
    assert {part for part, *_ in found} == {"step", "plain"}
    assert all(math.isfinite(value) and value > 0 for value in found.values())
    assert ("plain", "batch 8: step", "images/s") in found


def test_a_wrong_call_is_answered(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, answer in {
        ("--only", "step,speed"): "there is no speed",
        ("--weights", str(tmp_path / "none.pth")): "is not a file",
    }.items():
        with pytest.raises(SystemExit):
            gpu.main(
                ["--model", "resnet50", "--device", "cpu", "--data", "synthetic", "--data-dir", str(root), *options]
            )
        assert answer in capsys.readouterr().err


def test_a_failure_is_kept_and_costs_no_other_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report({"device": "CPU"}, tmp_path / "out.json")
    with report.guard("step", "batch 8"):
        raise RuntimeError("out of memory\nsecond line")
    report.add("epoch", "batch 8", 0.2, "s", ("<=", 0.15))
    failed, slow = json.loads((tmp_path / "out.json").read_text())["figures"]
    assert failed["failed"] == "RuntimeError: out of memory"
    assert slow["met"] is False
    assert report.failed()
    assert not Report({}, None, [slow]).failed()  # a goal missed is a result
    report = Report({}, None)
    report.add("check", "sgd", math.nan, "nats", ("<=", 0.01))
    assert report.failed()
    assert "FAIL" in capsys.readouterr().out


# --- the captured step -------------------------------------------------------------------------------------------


def config_of(session: Session, name: str) -> TrainConfig:
    return check.config_of(session, name, 16)


def trained(session: Session, config: TrainConfig, step_of: StepOf | None) -> tuple[Tensor, Training]:
    """The losses of 20 steps, and what they led to."""
    epochs = list(session.fit(config, session.first(160), step_of))
    return torch.tensor([loss for epoch in epochs for loss in epoch.batch_loss]), epochs[-1].training


def passes(session: Session, name: str, step_of: StepOf) -> bool:
    """What `check` would say of a step."""
    apart = check.distances(session, config_of(session, name), session.first(160), {"step": step_of})
    limit = check.limits(apart)
    assert check.over(apart["wrong"], limit) > 1
    return check.over(apart["step"], limit) <= 1


def assert_captured_is_eager(session: Session, config: TrainConfig, tolerance: float) -> None:
    expected, engine = trained(session, config, None)
    losses, training = trained(session, config, CapturedStep)
    assert len(losses) == 20
    assert (losses - expected).abs().max() <= tolerance
    for ours, theirs in zip(training.model.state_dict().values(), engine.model.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)
    # What a checkpoint would hold is as if nothing had been captured.
    group, original = training.optimizer.param_groups[0], engine.optimizer.param_groups[0]
    assert {**group, "params": 0} == {**original, "params": 0}
    assert isinstance(group["lr"], float)


@pytest.mark.parametrize("name", EXACT)
def test_captured_step_is_the_eager_one(name: str, root: Path, recorded: None) -> None:
    """All that Python would freeze into a graph is frozen here too."""
    session = session_on("cpu", root)
    with float32():
        assert_captured_is_eager(session, config_of(session, name), 1e-4)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_rate_frozen_into_the_graph_fails_the_check(
    name: str, root: Path, recorded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_on("cpu", root)
    with float32():
        monkeypatch.setattr(cuda_graph, "_capturable", lambda optimizer, rate: nullcontext())
        assert not passes(session, name, CapturedStep)


def test_shares_that_are_not_copied_fail_the_check(root: Path, recorded: None) -> None:
    def half_copied(training: Training) -> CapturedStep:
        step = CapturedStep(training)
        step._changing = 2
        return step

    session = session_on("cpu", root)
    with float32():
        assert not passes(session, "mixup, cutmix", half_copied)


@pytest.mark.gpu
@pytest.mark.parametrize("name", EXACT)
def test_captured_step_is_the_eager_one_on_a_gpu(name: str, root: Path) -> None:
    session = session_on("cuda", root)
    with float32():
        assert_captured_is_eager(session, config_of(session, name), 1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", EXACT)
def test_captured_step_passes_the_check_with_batch_norm(name: str, root: Path) -> None:
    """Rounding grows too fast in a ResNet to ask for equality."""
    with float32():
        assert passes(session_on("cuda", root, "resnet18"), name, CapturedStep)


@pytest.mark.gpu
def test_captured_step_never_waits(root: Path) -> None:
    training, batch = session_on("cuda", root).ready(32)
    step = CapturedStep(training)

    def some() -> None:
        for _ in range(5):
            step(*batch)

    some()  # the capture among them
    assert waits(some).total() == 0
