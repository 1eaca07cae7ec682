"""What a dry run prints."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from ray import tune
from rich.console import Console

from tests import ROOT
from tests.search.proposing import tiny
from tests.search.test_epoch_time import ASKED, MACHINE, leave
from tune import space
from tune.search import dry_run
from tune.search.checks import Checked
from tune.search.devices import Share
from tune.search.warm_start import Taken
from tune.settings import Settings
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn",
    epochs=2,
    trials=4,
    parameters={
        "lr": tune.loguniform(1e-3, 0.3),
        "batch_size": 64,
        "schedule": tune.choice([{"scheduler": "step", "gamma": tune.uniform(0.8, 0.9)}, {"scheduler": "cosine"}]),
    },
    reference={"lr": 0.05, "batch_size": 64, "scheduler": "cosine"},
    baselines=[{"lr": 0.1, "batch_size": 64, "scheduler": "step", "gamma": 0.9}],
)

NOTHING_TAKEN = Taken()


def told(
    storage: Path,
    of: SearchSpace = SPACE,
    arguments: tuple[str, ...] = (),
    taken: Taken = NOTHING_TAKEN,
    finalizes: bool = False,
    **others: object,
) -> list[str]:
    """The lines for the settings ASKED, with `others`."""
    values = {"data_dir": str(storage / "data"), "storage": str(storage), **others}
    settings = Settings.from_dict(ASKED.to_dict() | values)
    share = Share(settings.cpus_per_trial, settings.gpus_per_trial)
    written = io.StringIO()
    checked = Checked(settings, share, True, 10_000, 10_000, ("it takes long.",))
    dry_run.show(checked, of, MACHINE, arguments, Console(file=written), taken, finalizes=finalizes)
    return written.getvalue().splitlines()


def test_all_is_told_line_by_line(tmp_path: Path) -> None:
    expected = dry_run.expectation.expect(4, 2, 8, asha=True)
    lines = told(tmp_path, arguments=("--space", "mine.py", "--dry-run"))
    assert lines == [
        "Warning: it takes long.",
        f"Warning: {tmp_path}/data does not hold cifar100 yet; it will be downloaded.",
        "Space: mine.py, simple_cnn",
        "  lr          log-uniform 0.001 to 0.3",
        "  batch_size  64",
        "  schedule    one of",
        "                scheduler: step; gamma: uniform 0.8 to 0.9",
        "                scheduler: cosine",
        "Reference: lr 0.05, scheduler cosine",
        "Baseline: lr 0.1, scheduler step, gamma 0.9",
        f"Data: cifar100 in {tmp_path}/data, 10,000 training images, 10,000 validation images",
        "Device: a cpu, 1 of 8 cores per trial, 8 trials at once",
        "Trials: 4 (1 reference, 1 baseline, 2 proposed by hyperopt)",
        "Horizon: 2 epochs per trial; ASHA continues the best 1/2 after epoch 1",
        f"Epochs: about {expected.epochs:.0f} of 8 ({100 * expected.epochs / 8:.0f} %) with ASHA; "
        f"{expected.low:.0f} to {expected.high:.0f} in 8 searches of 10",
        f"Time: unknown, as {tmp_path} holds no run of simple_cnn with the same share of the same device",
        "  To measure it: python -m tune.run --space mine.py --trials 4 --max-epochs 1",
        f"Nothing was started. Without --dry-run the search goes to {tmp_path}/next.",
    ]


def test_a_warm_start_is_told_after_the_points(tmp_path: Path) -> None:
    lines = told(tmp_path, taken=Taken(rows=[{"first": True}], lines=["Warm start: one", "  more of it"]))
    at = lines.index("Warm start: one")
    assert lines[at - 1].startswith("Baseline: ")
    assert lines[at + 1] == "  more of it"
    assert "Trials: 4 (1 reference, 1 warm start, 1 baseline, 1 proposed by hyperopt)" in lines
    known = told(tmp_path, taken=Taken(rows=[{"first": False}], lines=["Warm start: one"]))
    assert "Trials: 4 (1 reference, 1 baseline, 2 proposed by hyperopt)" in known


@pytest.mark.parametrize(("trials", "words"), [(1, "1 (1 reference)"), (2, "2 (1 reference, 1 baseline)")])
def test_a_short_search_ends_with_the_given_points(trials: int, words: str, tmp_path: Path) -> None:
    assert f"Trials: {words}" in told(tmp_path, trials=trials)


def test_a_space_that_holds_less_than_the_trials_is_told(tmp_path: Path) -> None:
    warning = "Warning: the space has at most 3 configurations, so the search will end before --trials."
    assert warning in told(tmp_path, tiny(), trials=4)
    assert not [line for line in told(tmp_path, tiny(), trials=3) if line.startswith("Warning: the space")]


def test_without_asha_all_epochs_are_trained(tmp_path: Path) -> None:
    lines = told(tmp_path, scheduler="none", max_epochs=27)
    assert "Horizon: 27 epochs per trial; no trial is stopped early" in lines
    assert "Epochs: 108" in lines


def test_asha_needs_more_than_one_epoch(tmp_path: Path) -> None:
    lines = told(tmp_path, max_epochs=1)
    assert "Horizon: 1 epoch per trial; too short for ASHA to stop any trial" in lines
    assert "Epochs: 4" in lines


def test_a_share_of_a_gpu_is_told(tmp_path: Path) -> None:
    lines = told(tmp_path, gpus_per_trial=0.5)
    device = "2 x a gpu (as the driver reports), 0.5 of one and 1 CPU core per trial, 4 trials at once"
    assert f"Device: {device}" in lines


@pytest.mark.parametrize(
    ("budget", "line"),
    [
        (None, None),
        (7200.0, "  That is within --time-budget, 2.0 h"),
        (9.0, "  That exceeds --time-budget: the search will end after 9 s with the results it has"),
    ],
)
def test_the_time_is_that_of_an_earlier_run(budget: float | None, line: str | None, tmp_path: Path) -> None:
    leave(tmp_path, "earlier", "2026-01-01", [5.0, 7.0])
    lines = told(tmp_path, time_budget_s=budget, scheduler="none", trials=16, max_epochs=10)
    (at,) = [n for n, text in enumerate(lines) if text.startswith("Time: ")]
    # 16 trials on 8 cores are two rounds of 10 epochs of 6 s.
    assert lines[at] == (
        "Time: about 2 min and the start of Ray, estimated from 6 s per epoch, the mean of 2 epochs in run earlier, "
        "scaled to these images"
    )
    assert lines[at + 1] == (line or f"Nothing was started. Without --dry-run the search goes to {tmp_path}/next.")


def test_the_reruns_of_the_best_are_counted(tmp_path: Path) -> None:
    leave(tmp_path, "earlier", "2026-01-01", [6.0])
    lines = told(tmp_path, scheduler="none", trials=16, max_epochs=10, confirm=3, seeds=4, time_budget_s=121.0)
    assert "Epochs: 160" in lines
    assert "Confirm: up to 120 more epochs, for the best 3 on 4 seeds each" in lines
    assert "  That is within --time-budget, 2 min" in lines  # which is the search's alone
    assert [text for text in lines if text.startswith("Time: about 2 min, 2 min for --confirm and the start of Ray,")]
    assert "Confirm: up to 20 more epochs, for the best 1 on 2 seeds each" in told(
        tmp_path, trials=1, max_epochs=10, confirm=3, seeds=2
    )


def test_a_final_training_is_counted_where_a_pace_is_known(tmp_path: Path) -> None:
    given = ("--dry-run", "--then-finalize")
    unknown = told(tmp_path, arguments=given, finalizes=True)
    assert not [text for text in unknown if "final training" in text]
    assert "  To measure it: python -m tune.run --trials 4 --max-epochs 1" in unknown
    leave(tmp_path, "earlier", "2026-01-01", [6.0])  # 4 s for 10,000 images
    assert (
        "  Then the final training: about 17 min, 50 epochs on all 50,000 images at a trial's speed, or less, "
        "as it has the device to itself"
    ) in told(tmp_path, arguments=given, finalizes=True)
    assert not [text for text in told(tmp_path) if "final training" in text]


def test_without_a_measurement_the_budget_is_told_and_the_name_is_not_taken_twice(tmp_path: Path) -> None:
    lines = told(tmp_path, arguments=("--dry-run", "--name=next", "--space", "a b.py"), time_budget_s=7200.0)
    short = "--space 'a b.py' --trials 4 --max-epochs 1 --name next-speed"
    assert lines[-3] == f"  To measure it: python -m tune.run {short}"
    assert lines[-2] == "  --time-budget ends the search after 2.0 h"


def test_weights_that_are_not_there_yet_are_told(tmp_path: Path) -> None:
    there, missing = tmp_path / "there.pth", tmp_path / "missing.pth"
    there.touch()
    warning = f"Warning: the weights {missing} do not exist yet; they will be downloaded."
    assert warning in told(tmp_path, weights=str(missing))
    assert not [text for text in told(tmp_path, weights=str(there)) if text.startswith("Warning: the weights")]


@pytest.mark.parametrize("name", ["simple_cnn", "resnet18", "resnet50"])
def test_each_parameter_of_the_shipped_spaces_has_its_line(name: str, tmp_path: Path) -> None:
    shipped, _ = space.load(ROOT / "search_spaces" / f"{name}.py")
    lines = told(tmp_path, shipped)
    for parameter in shipped.parameters:
        assert len([text for text in lines if text.startswith(f"  {parameter} ")]) == 1
