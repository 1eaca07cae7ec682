"""The benchmarks: their arithmetic on made-up figures, and each side for real at its smallest size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import compare, searches, table
from benchmarks.peers import plain_loop
from benchmarks.searches import ends_of, parts
from benchmarks.sides import ACCURACY, COMPARISONS, Sizes

ROOT = Path(__file__).parents[2]


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    assert compare.ratio([10.0, 20.0, 60.0], [1.0, 10.0, 10.0], "images/s") == 6
    assert compare.ratio([1.0, 10.0, 10.0], [10.0, 20.0, 60.0], "s") == 6
    assert compare.ratio([20.0, 22.0], [20.5, 21.0], "%") == pytest.approx(0.25)


def test_a_pair_sees_the_same_state_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    order = []

    def told(name: str, side: str, options: compare.Options, more: list[str]) -> float:
        order.append((side, *more))
        return float(len(order))

    monkeypatch.setattr(compare, "side_of", told)
    assert compare.alternate("epoch", compare.Options(Path(), False, 2)) == ([1.0, 3.0], [2.0, 4.0])
    assert order == [("engine",), ("plain",)] * 2
    order.clear()
    compare.alternate("accuracy", compare.Options(Path(), False, 2))
    assert order == [(side, "--seed", seed) for seed in "01" for side in ("engine", "plain")], "pairs share a seed"


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


def test_the_peers_search_the_shipped_space() -> None:
    from ray.tune.search.sample import Categorical, Float

    from benchmarks.peers import plain_ray_tune
    from tune import domains, space

    shipped = space.load(searches.SPACE)[0]
    ours = dict(domains.leaves(shipped.parameters))
    flat = {"scheduler", "cosine_warmup", "one_cycle_warmup"}  # what is conditional in ours
    assert set(plain_ray_tune.SPACE) - flat == set(ours) - {"momentum", "warmup", "scheduler"}
    for name, domain in plain_ray_tune.SPACE.items():
        if isinstance(domain, Categorical):
            assert name in flat or domain.categories == ours[name].categories
        else:
            assert isinstance(domain, Float)
            assert name in flat or (domain.lower, domain.upper) == (ours[name].lower, ours[name].upper)
    for mine, theirs in zip([shipped.reference, *shipped.baselines], plain_ray_tune.FIRST, strict=True):
        assert {name: theirs[name] for name in mine if name in theirs} == {
            name: value for name, value in mine.items() if name not in ("momentum", "warmup")
        }
    assert {name: shipped.reference[name] for name in ACCURACY if name != "epochs"} == {
        name: value for name, value in ACCURACY.items() if name != "epochs"
    }


@pytest.mark.parametrize("name", ["data-128", "data-8", "epoch", "simple_cnn-8", "resnet18"])
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


@pytest.mark.slow
def test_everything_is_measured_and_written(cifar100_root: Path, tmp_path: Path) -> None:
    from benchmarks.__main__ import EVERYTHING, main

    out = tmp_path / "figures.json"
    main(["--data-dir", str(cifar100_root), "--quick", "--pairs", "1", "--searches", "1", "--out", str(out)])
    found = json.loads(out.read_text())
    assert {*found["comparisons"], "memory", "search"} == set(EVERYTHING)
    assert found["memory"]["trial"] > found["memory"]["import_torch"]


def test_the_readme_shows_what_was_measured() -> None:
    found = json.loads((ROOT / "results" / "benchmark.json").read_text())
    readme = (ROOT / "README.md").read_text()
    for line in table.render(found).splitlines():
        assert line in readme
