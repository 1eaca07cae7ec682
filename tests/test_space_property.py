"""Whatever a user writes into a space file: a search that can begin, or a sentence. Never anything else.

Files are written as text and loaded, as `--space` does it. Most begin as sound ones, of which some are then spoilt.
"""

from __future__ import annotations

import math
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ray import tune as ray_tune

import tune
from tests.a_space import GOOD, make
from tests.search.proposing import proposed
from tests.space_strategies import configurations_of_sorts, space_files
from tests.training.conftest import draw_pairs
from tune import domains, space
from tune.search.proposals import Known, Proposer, sampler_class
from tune.settings import Method
from tune.space import SearchSpace
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.image_size import preprocessing_of
from tune.training.images import ImageSet
from tune.training.loop import fit

BY_CHANCE = settings(
    max_examples=1000,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
"""The same chance each time."""

Answer = TypeVar("Answer")

OURS = str(Path(tune.__file__).parent)


@pytest.fixture(scope="module")
def images() -> TrainingData:
    """Two images, so that a step costs little beside the network."""
    pixels, labels = draw_pairs(1, 0)
    index = torch.arange(2)
    return TrainingData(ImageSet(torch.from_numpy(pixels), torch.from_numpy(labels), index, ("a",) * 100, ""), None)


def answer(asked: Callable[[], Answer]) -> Answer | ValueError:
    """What was asked for, or what speaks against it."""
    try:
        return asked()
    except ValueError as error:
        return error


def takes_a_step(config: TrainConfig, images: TrainingData) -> None:
    result = next(fit(config, images, torch.device("cpu")))
    assert math.isfinite(result.train_loss)


def drawn(loaded: SearchSpace, method: Method, seed: int) -> Iterator[TrainConfig]:
    """The reference, one drawn by chance, and one learnt from these."""
    known: list[Known] = [Known(loaded.config(values, epochs=loaded.epochs, seed=0)) for _, values in loaded.points()]
    sampler = sampler_class(method)(loaded.parameters)
    for learnt_from in ([], known):
        values = sampler.draw([Known(item.config, 1.0) for item in learnt_from], seed)
        config = loaded.config(values, epochs=loaded.epochs, seed=seed)
        domains.locate(loaded.parameters, config.to_dict())
        known.append(Known(config))
    yield from (item.config for item in known)


def raised_by_us(error: BaseException) -> bool:
    """Whether an exception left our code that was not meant for the user: `load` tells those of the file as well."""
    cause = error.__cause__
    if cause is None or isinstance(cause, ValueError | OSError):
        return False
    frames = traceback.extract_tb(cause.__traceback__)[1:]  # the first is `load` itself
    return any(frame.filename.startswith(OURS) for frame in frames)


@pytest.mark.parametrize("examples", [400, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_space_file_gives_a_search_or_a_sentence(examples: int, tmp_path: Path, images: TrainingData) -> None:
    path, told = tmp_path / "mine.py", Counter[str]()

    @settings(BY_CHANCE, max_examples=examples)
    @given(text=space_files(), method=st.sampled_from(["hyperopt", "optuna"]), seed=st.integers(0, 2**31 - 1))
    def check(text: str, method: Method, seed: int) -> None:
        path.write_text(text)
        loaded = answer(lambda: space.load(path)[0])
        told[type(loaded).__name__] += 1
        if isinstance(loaded, ValueError):
            assert not raised_by_us(loaded), "".join(traceback.format_exception(loaded))
            assert str(loaded).startswith(str(path))
            assert str(loaded).isprintable()
            assert len(str(loaded)) < len(str(path)) + 350
            return
        *_, last = drawn(loaded, method, seed)
        if loaded.model == "simple_cnn":
            takes_a_step(last, images)

    check()
    assert min(told["SearchSpace"], told["ValueError"]) > examples / 5, told


def configured(values: dict[str, Any]) -> TrainConfig:
    """As a space's configurations are: SimpleCNN takes the images."""
    config = TrainConfig.from_dict(values)
    preprocessing_of(config)
    return config


@pytest.mark.parametrize("examples", [150, pytest.param(250, marks=pytest.mark.slow)])
def test_a_configuration_takes_a_step_or_is_refused_with_a_sentence(examples: int, images: TrainingData) -> None:
    told = Counter[str]()

    @settings(BY_CHANCE, max_examples=examples)
    @given(values=configurations_of_sorts())
    def check(values: dict[str, Any]) -> None:
        config = answer(lambda: configured(values))
        told[type(config).__name__] += 1
        if isinstance(config, ValueError):
            assert str(config).endswith(".")
        else:
            takes_a_step(config, images)

    check()
    assert min(told["TrainConfig"], told["ValueError"]) > 0.24 * examples, told


# Spaces as objects, with conditionals in conditionals.

FEW_FLOATS = {
    "momentum": (0.0, 0.99),
    "weight_decay": (1e-5, 1.0),
    "gamma": (0.1, 1.0),
    "warmup": (0.01, 0.9),
    "label_smoothing": (0.01, 0.9),
    "mixup": (0.1, 10.0),
    "dropout": (0.05, 0.9),
}
FEW_WORDS: dict[str, list[Any]] = {
    "scheduler": ["step", "cosine", "one_cycle"],
    "augmentation": ["none", "crop_flip"],
    "nesterov": [False, True],
}

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 300),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(0, 3), max_size=2),
    st.sampled_from([np.float32(0.5), np.int64(8), "step", "none", object, ray_tune.randn(0, 1)]),
)
some_name = st.sampled_from(
    [*FEW_FLOATS, *FEW_WORDS, "lr", "batch_size", "seed", "model", "epochs", "c", "nonsense", ""]
)
a_choice = st.lists(anything, max_size=3).map(ray_tune.choice)
a_range = st.one_of(
    st.tuples(st.floats(-2, 2), st.floats(-2, 2)).map(lambda ends: ray_tune.uniform(*ends)),
    st.tuples(st.floats(1e-6, 2), st.floats(1e-6, 2)).map(lambda ends: ray_tune.loguniform(*ends)),
    st.tuples(st.integers(-3, 9), st.integers(-3, 9)).map(lambda ends: ray_tune.randint(*ends)),
)
a_parameter = st.recursive(
    st.one_of(anything, a_choice, a_range),
    lambda deeper: st.lists(st.dictionaries(some_name, deeper, max_size=3), min_size=1, max_size=3).map(
        ray_tune.choice
    ),
    max_leaves=6,
)


@settings(deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    parameters=st.dictionaries(some_name, a_parameter, max_size=4),
    reference=st.dictionaries(some_name, st.one_of(anything, st.floats(0, 1)), max_size=4),
)
def test_whatever_is_written_gives_a_space_or_a_sentence(parameters: dict[str, Any], reference: dict[str, Any]) -> None:
    parameters = GOOD["parameters"] | parameters
    reference = GOOD["reference"] | reference
    try:
        loaded = make(parameters=parameters, reference=reference)
    except ValueError as error:
        sentence = str(error)
    else:
        sentence = "it loads"
        assert loaded.points()[0] == ("reference", reference)
    assert len(sentence.splitlines()) == 1


@st.composite
def spaces_that_hold_a_point(draw: st.DrawFn) -> SearchSpace:
    """Sound spaces: fields shared out to the top and to up to two conditionals, one nested in the other."""

    def parameter(name: str) -> tuple[Any, Any]:
        """A domain or constant, and a value it holds."""
        if name in FEW_WORDS:
            values = draw(st.lists(st.sampled_from(FEW_WORDS[name]), min_size=1, unique=True))
            value = draw(st.sampled_from(values))
            return draw(st.sampled_from([value, ray_tune.choice(values)])), value
        low, high = FEW_FLOATS[name]
        ends = st.floats(low, high, allow_subnormal=False).map(lambda x: round(x, 3))
        first, second = sorted([draw(ends), draw(ends)])
        if second - first < 0.01:
            return first, first
        kinds = [ray_tune.uniform(first, second), ray_tune.choice([first, second])]
        kinds += [ray_tune.loguniform(first, second)] if first > 0 else []
        return draw(st.sampled_from(kinds)), draw(st.sampled_from([first, second]))

    def branch(names: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        made = {name: parameter(name) for name in names}
        return {name: pair[0] for name, pair in made.items()}, {name: pair[1] for name, pair in made.items()}

    names = draw(st.permutations([*FEW_FLOATS, *FEW_WORDS]))
    cuts = sorted(draw(st.lists(st.integers(0, 6), min_size=3, max_size=3)))
    outer, point = branch(names[: cuts[0]])
    if cuts[1] > cuts[0]:
        branches = [branch(names[cuts[0] : cuts[1]]) for _ in range(draw(st.integers(1, 3)))]
        taken = draw(st.integers(0, len(branches) - 1))
        point |= branches[taken][1]
        if cuts[2] > cuts[1]:
            deeper = [branch(names[cuts[1] : cuts[2]]) for _ in range(draw(st.integers(1, 2)))]
            branches[taken][0]["deep"] = ray_tune.choice([item[0] for item in deeper])
            point |= draw(st.sampled_from(deeper))[1]
        outer["wide"] = ray_tune.choice([item[0] for item in branches])
    return make(parameters=GOOD["parameters"] | outer, reference=GOOD["reference"] | point)


@settings(deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(loaded=spaces_that_hold_a_point(), seed=st.integers(0, 2**31 - 1))
def test_whatever_loads_can_be_searched(loaded: SearchSpace, seed: int) -> None:
    proposer = Proposer(loaded, epochs=loaded.epochs, seed=seed)
    known: list[Known] = []
    for number in range(14):  # the reference, the random starts, and some of TPE
        config = proposed(proposer, number, known)  # lr alone has endless values
        domains.locate(loaded.parameters, config.to_dict())
        assert config not in [item.config for item in known]
        known.append(Known(config, config.lr))
