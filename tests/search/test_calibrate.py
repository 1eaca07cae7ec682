"""Trials are measured side by side in processes of their own, once; what comes out decides the share."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import tune as ray_tune
from rich.console import Console

from tests.a_space import make, make_with
from tests.commands.asking import SPACE
from tune import cli, run
from tune.results import RunFolder
from tune.search import calibrate, checks, packing, sharing
from tune.search.calibrate import Calibration, Calibrator
from tune.search.cluster import Cluster
from tune.search.devices import Machine, Share
from tune.search.packing import Measured, Packing
from tune.training.side_by_side import CannotMeasure

TWO_CORES = Machine(cpus=2, gpus=0, names=("a cpu",))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(calibrate, "SECONDS", 0.2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def calibrator(machine: Machine = TWO_CORES, **changes: Any) -> Calibrator:
    return Calibrator(make(**changes), machine, on_gpu=False, cpus=1)


def test_one_and_two_trials_are_measured_and_kept_for_the_same_question_alone() -> None:
    asked = calibrator()
    assert asked.cached() is None
    found = asked.measure()
    asked.cache(found)
    assert [(item.packing.trials, item.packing.cpus) for item in found.measured] == [(1, 2), (2, 1)]
    one, two = found.measured
    assert one.images_per_s > 0
    assert two.images_per_s > 0
    assert 100 < one.memory_mb < two.memory_mb < found.total_mb
    assert calibrator().cached() == found
    assert calibrator(epochs=4, trials=9).cached() == found  # neither changes the work
    larger = {"lr": ray_tune.loguniform(1e-3, 0.3), "batch_size": ray_tune.choice([8, 64])}
    assert calibrator(parameters=larger).cached() == found  # of 32 on a CPU
    assert calibrator(dataclasses.replace(TWO_CORES, names=("another cpu",))).cached() is None
    assert calibrator(dataclasses.replace(TWO_CORES, cpus=4)).cached() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"of": 1, "measured": [], "total_mb": 1, "when": ""}'])
def test_a_damaged_file_is_no_measurement(content: str) -> None:
    asked = calibrator()
    asked.path.parent.mkdir(parents=True)
    asked.path.write_text(content)
    assert asked.cached() is None


def test_what_is_measured_is_the_largest_that_the_space_holds() -> None:
    space = make_with(
        {
            "batch_size": ray_tune.choice([16, 512, 64]),
            "size": ray_tune.choice([{"augmentation": "none"}, {"augmentation": "crop_flip"}]),
        },
        {"augmentation": "none"},
    )
    assert calibrate.largest(space).batch_size == 512
    resnet = make(
        model="resnet50",
        parameters={"lr": 0.1, "batch_size": 8, "image_size": ray_tune.choice([64, 0, 128])},
        reference={"lr": 0.1, "batch_size": 8, "image_size": 64},
    )
    assert calibrate.largest(resnet).image_size == 0  # its own, 224


def test_the_consistency_loss_of_a_branch_counts_as_it_triples_the_step() -> None:
    policies = [{"augmentation": "crop_flip"}, {"augmentation": "augmix", "jsd": ray_tune.choice([0.0, 12.0])}]
    largest = calibrate.largest(make_with({"policy": ray_tune.choice(policies)}, {"augmentation": "crop_flip"}))
    assert (largest.jsd, largest.augmentation) == (12.0, "augmix")
    others = {"jsd": 12.0, "augmentation": ray_tune.choice(["crop_flip", "trivialaugment"])}
    other = calibrate.largest(make_with(others, {"jsd": 12.0, "augmentation": "crop_flip"}))
    assert other.augmentation == "trivialaugment", "what the space has, not AugMix"
    plain = calibrate.largest(make_with({"augmentation": "crop_flip"}, {"augmentation": "crop_flip"}))
    assert (plain.jsd, plain.augmentation) == (0.0, "crop_flip")


def test_a_process_that_fails_says_why() -> None:
    asked = calibrator()
    asked.config = dataclasses.replace(asked.config, model="resnet50", image_size=32, batch_size=1)
    with pytest.raises(CannotMeasure, match=r"^ValueError: batch_size is 1 at image_size 32"):
        asked.measure()


def checked(share: Share, settled: bool) -> checks.Checked:
    return checks.Checked(None, share, settled, 0, 0, ())  # type: ignore[arg-type]  # its settings are not asked for


def test_a_share_that_was_asked_for_is_taken_as_it_is() -> None:
    share = Share(2, 0.5)
    assert sharing.settle(checked(share, True), make(), TWO_CORES, Console(file=io.StringIO())) == (share, None)


def test_what_cannot_be_measured_is_told_and_a_trial_has_the_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Calibrator) -> Calibration:
        raise CannotMeasure("no luck")

    monkeypatch.setattr(Calibrator, "measure", fails)
    said = io.StringIO()
    settled = sharing.settle(checked(Share(1, 1.0), False), make(), GPU, Console(file=said, width=300))
    assert settled == (Share(1, 1.0), None)
    on_cpu = sharing.settle(checked(Share(1, 0.0), False), make(), TWO_CORES, Console(file=said, width=300))
    assert on_cpu == (Share(2, 0.0), None), "all cores, since memory may be what is short"
    assert "Warning: how many trials fit side by side could not be measured (no luck)" in said.getvalue()


GPU = Machine(cpus=16, gpus=2, names=("a cpu", "a gpu", "a gpu"))


def test_a_measurement_is_of_the_gpu_on_which_it_is_taken() -> None:
    """On a cluster, of the node with most; on a machine, of the first."""
    nodes = (Machine(4, 1, ("A",)), Machine(16, 4, ("B",) * 4))
    cluster = Cluster(16, 5, ("Ray cluster of 2 nodes with 20 CPU cores", "A", *"BBBB"), nodes)
    for machine, device in ((cluster, "B"), (Machine(8, 2, ("a cpu", "C", "D")), "C")):
        assert Calibrator(make(), machine, on_gpu=True, cpus=1).of["device"] == device
        assert Calibrator(make(), machine, on_gpu=False, cpus=1).of["device"] == machine.names[0]


def test_on_a_gpu_the_share_is_one_nth(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = [(1, 100.0, 1500.0), (2, 190.0, 2900.0), (4, 340.0, 5700.0), (8, 335.0, 11_300.0)]
    measured = tuple(Measured(Packing(trials, 1), speed, memory) for trials, speed, memory in figures)
    found = Calibration({"device": "a gpu", "config": {"model": "simple_cnn"}}, measured, 80_000, "today")
    monkeypatch.setattr(Calibrator, "measure", lambda self: found)
    said = io.StringIO()
    share, calibration = sharing.settle(checked(Share(1, 1.0), False), make(), GPU, Console(file=said, width=300))
    assert (share, calibration) == (Share(1, 0.25), found)
    assert GPU.at_once(share) == 8
    assert (
        said.getvalue()
        .splitlines()[-1]
        .startswith(
            "4 at once on a gpu: measured today, relative images/s by number of simple_cnn at once: "
            "1: 1.00, 2: 1.90, 4: 3.40, 8: 3.35"
        )
    )
    assert Calibration.from_dict(found.to_dict()) == found


def test_a_disturbed_measurement_is_used_but_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = (Measured(Packing(1, 2), 10.0, 500, waiting=0.6), Measured(Packing(2, 1), 550.0, 900, waiting=0.02))
    found = Calibration({"device": "a cpu", "config": {"model": "simple_cnn"}}, measured, 80_000, "today")
    monkeypatch.setattr(Calibrator, "measure", lambda self: found)
    said = io.StringIO()
    settled = sharing.settle(checked(Share(1, 0.0), False), make(), TWO_CORES, Console(file=said, width=300))
    assert settled == (Share(1, 0.0), found)
    assert (
        "2 at once, measured while other processes kept the cores busy; the next search measures again"
        in said.getvalue()
    )
    assert calibrator().cached() is None


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the kernel does not tell how long threads wait")
def test_a_process_knows_how_long_it_waited_for_a_core() -> None:
    spin = "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass\n"
    spin += "from tune.training.throughput import waited_s\nprint(waited_s())"
    core = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "-c", core, sys.executable, "-c", spin]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert all(float(process.communicate()[0]) > 0.2 for process in both), "each has half of the core"


@pytest.mark.slow  # the search of the shipped space in test_real_data.py measures, too
@pytest.mark.usefixtures("one_ray")
def test_a_search_measures_once_keeps_what_it_found_and_a_dry_run_knows_it(
    synthetic_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "MAX_WAITING", math.inf)  # other tests may run meanwhile
    space = tmp_path / "space.py"
    space.write_text(SPACE.replace(" cpus_per_trial=1,", ""))
    given = ["--space", space, "--data", "synthetic", "--data-dir", synthetic_root, "--storage", tmp_path / "runs"]
    given += ["--train-subset", "200", "--trials", "1", "--max-epochs", "1", "--wandb", "disabled"]
    given += ["--gpus-per-trial", "0"]
    asked = list(map(str, given))
    assert cli.run(run.prepare, [*asked, "--dry-run"]) == cli.DONE
    assert "; to be measured at the start" in capsys.readouterr().out
    assert cli.run(run.prepare, [*asked, "--name", "one"]) == cli.DONE
    assert "Measuring how many trials of simple_cnn run best side by side" in capsys.readouterr().out
    about = RunFolder(tmp_path / "runs" / "one").read_json("experiment.json")
    found = Calibration.from_dict(about["calibration"])
    assert (
        about["settings"]["cpus_per_trial"]
        == found.best.cpus
        == packing.best(found.measured, found.total_mb).packing.cpus
    )
    assert cli.run(run.prepare, [*asked, "--dry-run"]) == cli.DONE
    assert f"{found.best.cpus} of {found.best.cpus * found.best.trials} cores per trial" in capsys.readouterr().out
    assert cli.run(run.prepare, ["--resume", "one", "--storage", str(tmp_path / "runs"), "--trials", "2"]) == cli.DONE
    assert "Measuring" not in capsys.readouterr().out
    again = RunFolder(tmp_path / "runs" / "one").read_json("experiment.json")
    assert again["calibration"] == about["calibration"]
