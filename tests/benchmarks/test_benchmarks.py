"""The benchmarks: their arithmetic on made-up figures, and each side for real at its smallest size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from benchmarks import compare, memory, searches, table
from benchmarks.peers import plain_loop, plain_optuna, plain_ray_tune
from benchmarks.searches import ends_of, parts
from benchmarks.sides import ACCURACY, COMPARISONS, Sizes
from tests import ROOT
from tune import space


def test_the_ratio_is_that_of_each_pair() -> None:
    assert compare.ratios([10.0, 20.0], [1.0, 10.0], "images/s") == [10, 2]
    assert compare.ratios([1.0, 10.0], [10.0, 20.0], "s") == [10, 2]


def test_the_sides_take_turns_in_going_first(monkeypatch: pytest.MonkeyPatch) -> None:
    order = []

    def told(name: str, side: str, options: compare.Options, more: list[str]) -> float:
        order.append((side, *more))
        return float(len(order))

    monkeypatch.setattr(compare, "side_of", told)
    assert compare.alternate("epoch", compare.Options(Path(), False, 2)) == ([1.0, 4.0], [2.0, 3.0])
    assert order == [("engine",), ("plain",), ("plain",), ("engine",)]
    order.clear()
    compare.alternate("accuracy", compare.Options(Path(), False, 1))
    assert order == [("engine", "--seed", "0"), ("plain", "--seed", "0")], "a pair shares its seed"


def test_where_the_time_of_a_search_went() -> None:
    """Two workers, 20 s: A trains from 4 to 10 and from 11 to 18, B from 5 to 15; then it ends.

    A: 4 s of start, 1 s between its trials, 2 s of end. B: 5 s of start, 3 s of tail, 2 s of end.
    """
    ends = {("0000", 1): 7.0, ("0000", 2): 10.0, ("0001", 1): 15.0, ("0002", 1): 18.0}
    seconds = {("0000", 1): 3.0, ("0000", 2): 3.0, ("0001", 1): 10.0, ("0002", 1): 7.0}
    found = parts(ends, seconds, wall=20.0, workers=2)
    expected = {"training": 23 / 40, "start": 9 / 40, "tail": 3 / 40, "end": 4 / 40, "between": 1 / 40}
    assert found == pytest.approx(expected)


def test_the_ends_of_epochs_are_read_from_what_a_search_prints() -> None:
    lines = [
        (5.0, "[0:00:05] trial 0000 (reference) starts: lr 0.04, batch 32, cosine, crop_flip\n"),
        (9.1, "[0:00:09] trial 0000 epoch 1/4: val_acc 6.53 %, 4.2 s\n"),
        (9.2, "[0:00:09] trial 0000 stopped after epoch 1\n"),
        (9.9, "[0:00:10] trial 0012 epoch 11/27: the loss is not finite, 4.2 s\n"),
    ]
    assert ends_of(lines) == {("0000", 1): 9.1, ("0012", 11): 9.9}


def ends(domain: Any) -> tuple[Any, ...]:
    """What a domain can be, of Ray's or of Optuna's."""
    for name in ("categories", "choices"):
        if hasattr(domain, name):
            return tuple(getattr(domain, name))
    return (domain.lower, domain.upper) if hasattr(domain, "lower") else (domain.low, domain.high)


def test_the_peers_search_the_same_space() -> None:
    shipped = space.load(searches.SPACE)[0]
    ours = {name: ends(domain) for name, domain in shipped.parameters.items() if name not in ("momentum", "schedule")}
    step, cosine, one_cycle = shipped.parameters["schedule"].categories
    ours |= {"gamma": ends(step["gamma"]), "cosine_warmup": ends(cosine["warmup"])}
    ours |= {"one_cycle_warmup": ends(one_cycle["warmup"]), "scheduler": ("step", "cosine", "one_cycle")}
    assert {name: ends(domain) for name, domain in plain_ray_tune.SPACE.items()} == ours
    drawn: dict[str, Any] = {}
    study = optuna.create_study()
    for scheduler in ("step", "cosine", "one_cycle"):
        study.enqueue_trial({"scheduler": scheduler})
        trial = study.ask()
        plain_optuna.suggest(trial)
        drawn |= trial.distributions
    assert {name: ends(distribution) for name, distribution in drawn.items()} == ours


def test_the_peers_begin_with_the_same_points() -> None:
    shipped = space.load(searches.SPACE)[0]
    for first in (plain_ray_tune.FIRST, plain_optuna.FIRST):
        for ours, theirs in zip([shipped.reference, *shipped.baselines], first, strict=True):
            given = {name: value for name, value in ours.items() if name not in ("momentum", "warmup")}
            assert {name: theirs[name] for name in given} == given
            assert theirs.get(f"{ours['scheduler']}_warmup", 0.0) == ours.get("warmup", 0.0)
    same = {name: value for name, value in ACCURACY.items() if name != "epochs"}
    assert {name: shipped.reference[name] for name in same} == same


@pytest.mark.parametrize("name", ["data-128", "resnet18"])
def test_both_sides_run(name: str, cifar100_root: Path) -> None:
    sizes = Sizes(cifar100_root, quick=True)
    for side in (COMPARISONS[name].engine, COMPARISONS[name].plain):
        assert side(sizes) > 0


def test_plain_augmentation_does_what_it_says(cifar100_root: Path) -> None:
    """A peer that left work out would be fast for nothing."""
    everything = {"augmentation": "trivialaugment", "random_erasing": 0.25, "batch_size": 50}
    shown = str(plain_loop.train_transform(everything))
    for step in ("RandomCrop", "RandomHorizontalFlip", "TrivialAugmentWide", "Normalize", "RandomErasing"):
        assert step in shown
    train, val = plain_loop.make_loaders(everything, cifar100_root, 500, seed=0)
    assert (len(train.dataset), len(val.dataset)) == (500, 10_000)  # type: ignore[arg-type]
    mixing = plain_loop.make_mixing({"mixup": 0.2, "cutmix": 1.0})
    assert mixing is not None
    images, labels = mixing(*next(iter(train)))
    assert labels.shape == (50, 100)
    assert images.shape == (50, 3, 32, 32)


FIGURES = {
    "machine": {"cpu": "Some CPU", "cores": 2, "bf16": ["avx512_bf16"], "torch": "2.15.0"},
    "comparisons": {
        "a": {"what": "data", "unit": "images/s", "goal": 8, "engine": [900.0, 1000.0, 1100.0], "plain": [100.0] * 3},
        "b": {"what": "epoch", "unit": "s", "goal": None, "engine": [2.0], "plain": [5.0]},
        "c": {"what": "accuracy", "unit": "%", "goal": 0.5, "engine": [20.0, 22.0], "plain": [21.0, 21.5]},
    },
    "searches": {
        "plain_ray_tune": {
            "workers": 2,
            "ours": [
                {"wall_s": 90.0, "epochs": 28, "best_val_acc": 21.0,
                 "parts": {"training": 0.8, "start": 0.12, "tail": 0.05, "end": 0.025, "between": 0.005}},
            ],
            "theirs": [{"wall_s": 315.0, "epochs": 25, "best_val_acc": 20.25}],
        },
    },
    "memory": {"trial": 600.0, "import_torch": 400.0, "batch_sizes": [8, 256]},
}  # fmt: skip

TABLE = """\
| what | plain | ours | ratio (of each pair) | goal |
|---|---|---|---|---|
| data | 100 images/s | 1,000 images/s | 10.0x (9.0 to 11.0) | at least 8x |
| epoch | 5.0 s | 2.0 s | 2.5x (2.5 to 2.5) |  |
| accuracy, 2 seeds | 21.25 % | 21.00 % | -0.25 ± 0.75 points | at least -0.5 points |
| a search against plain Ray Tune: 16 trials, 4 epochs, 10,000 images, 2 workers | 315 s | 90 s \
| 3.5x (3.5 to 3.5) | at least 3x |
| the epochs it trained, of 64 | 25 | 28 | | |
| its best validation accuracy, 1 seed | 20.25 % | 21.00 % |  | at least -0.5 points |
| the workers' time outside training, beside the start of Ray and of the first trials (12 %) and the last trial's \
tail (5 %) | | 3.0 % | | under 5 % |
| private memory of one more trial, beside the 400 MB of a worker with torch | | 200 MB | | at most 250 MB |

Some CPU, 2 cores with avx512_bf16, torch 2.15.0."""


def test_the_table_says_what_was_measured_and_what_was_hoped_for() -> None:
    assert table.render(FIGURES) == TABLE


def test_memory_that_the_system_does_not_tell_is_left_out() -> None:
    untold = FIGURES | {"memory": {"trial": None, "import_torch": None, "batch_sizes": [8]}}
    assert [line for line in TABLE.splitlines() if "memory" not in line] == table.render(untold).splitlines()


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="this system has no /proc")
def test_private_memory_is_what_a_process_holds_for_itself() -> None:
    def held(mb: int) -> float:
        """Of a process that has written to so much memory. This one's own changes as earlier tests' is freed."""
        code = f"import sys; kept = bytearray(b'x') * ({mb} << 20); print(flush=True); sys.stdin.read()"
        command = [sys.executable, "-I", "-S", "-c", code]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            assert child.pid in dict(memory.processes())
            return memory.private_mb(child.pid)

    assert 60 < held(64) - held(0) < 70
    assert memory.private_mb(2**22 + 1) == 0, "no process has this number"


def test_the_page_about_speed_shows_what_was_measured() -> None:
    found = json.loads((ROOT / "results" / "benchmark.json").read_text())
    assert table.render(found) in (ROOT / "docs" / "speed.md").read_text()
