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

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import tune
from tests.training.conftest import draw_pairs
from tune import domains, space
from tune.search.proposals import Known, _sampler
from tune.settings import Method
from tune.space import SearchSpace
from tune.training.architecture import preprocessing_of
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
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

FLOATS = {
    "lr": (1e-8, 100.0),
    "momentum": (0.0, 0.9999),
    "weight_decay": (0.0, 10.0),
    "gamma": (1e-6, 1.0),
    "warmup": (0.0, 0.9),
    "random_erasing": (0.0, 1.0),
    "label_smoothing": (0.0, 0.99),
    "mixup": (0.0, 100.0),
    "cutmix": (0.0, 100.0),
    "dropout": (0.0, 0.99),
}
WHOLE = {"batch_size": (1, 65_536), "freeze_epochs": (0, 10_000)}
WORDS: dict[str, list[Any]] = {
    "optimizer": ["sgd", "adamw"],
    "scheduler": ["constant", "step", "cosine", "one_cycle"],
    "augmentation": ["none", "standard", "crop_flip", "randaugment", "trivialaugment"],
    "nesterov": [False, True],
    "image_size": [0, 32],
}
FIELDS = [*FLOATS, *WHOLE, *WORDS]

Parameter = tuple[str, str]
"""Python source: what a space declares, and a value that it holds."""


# What is sound.


@st.composite
def sound(draw: st.DrawFn, name: str) -> Parameter:
    if name in WORDS:
        values = draw(st.lists(st.sampled_from(WORDS[name]), min_size=1, unique=True))
        value = repr(draw(st.sampled_from(values)))
        return draw(st.sampled_from([value, f"tune.choice({values})"])), value
    if name in WHOLE:
        return draw(sound_whole(*WHOLE[name]))
    return draw(sound_float(*FLOATS[name]))


@st.composite
def sound_float(draw: st.DrawFn, least: float, most: float) -> Parameter:
    ends = st.one_of(st.floats(least, most, allow_subnormal=False), st.sampled_from([least, most]))
    low, high = sorted([draw(ends), draw(ends)])
    kind = draw(st.sampled_from(["constant", "choice", "uniform", "loguniform", "quniform", "qloguniform"]))
    if kind == "constant" or low == high:
        return repr(low), repr(low)
    if kind == "choice":
        return f"tune.choice([{low!r}, {high!r}])", repr(high)
    if kind == "loguniform" and low == 0:
        kind = "uniform"
    if kind.startswith("q"):
        steps = draw(st.integers(2, 40))
        low = high / steps if kind == "qloguniform" or least else 0.0
        return f"tune.{kind}({low!r}, {high!r}, {high / steps!r})", repr(high)
    return f"tune.{kind}({low!r}, {high!r})", repr(draw(st.sampled_from([low, high, (low + high) / 2])))


@st.composite
def sound_whole(draw: st.DrawFn, least: int, most: int) -> Parameter:
    ends = st.one_of(st.integers(least, most), st.integers(least, 9), st.just(most))
    low, high = sorted([draw(ends), draw(ends)])
    kind = draw(st.sampled_from(["constant", "choice", "randint", "lograndint", "qrandint", "qlograndint"]))
    if kind == "constant" or low == high:
        return repr(low), draw(st.sampled_from([f"{low}", f"{low}.0", f"numpy.int64({low})"]))
    if kind == "choice":
        return f"tune.choice([{low}, {high}])", repr(high)
    step = draw(st.integers(2, 8))
    if kind.startswith("q") and low // step < high // step and (low >= step or (kind == "qrandint" and not least)):
        return f"tune.{kind}({low // step * step}, {high // step * step}, {step})", repr(low // step * step)
    if high == low + 1:
        return repr(low), repr(low)
    return f"tune.{'lograndint' if low else 'randint'}({low}, {high})", repr(low)


def branches_of(names: list[str]) -> st.SearchStrategy[tuple[str, dict[str, str]]]:
    """A conditional of up to three branches that set these fields, and what the first one holds."""

    def joined(branches: list[list[Parameter]]) -> tuple[str, dict[str, str]]:
        texts = [as_dict(dict(zip(names, (text for text, _ in branch), strict=True))) for branch in branches]
        return f"tune.choice([{', '.join(texts)}])", dict(zip(names, (value for _, value in branches[0]), strict=True))

    return st.lists(st.tuples(*map(sound, names)).map(list), min_size=1, max_size=3).map(joined)


def as_dict(items: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name!r}: {text}" for name, text in items.items()) + "}"


# What is not.

NONSENSE = [
    "None", "True", "0", "1", "-1", "10**400", "10**5000", "1j", "b'x'", "...", "object()", "len", "SearchSpace",
    "[]", "{}", "()", "[0.1, 0.2]", "{'a': 1}", "{1, 2}", "range(3)", "iter([])", "'a\\nb'", "'\\x1b[31m'", "'\\udcff'",
    "numpy.array([0.1, 0.2])", "numpy.array(0.1)", "numpy.float32(0.5)", "numpy.nan", "numpy.str_('step')",
    "numpy.bool_(True)", "Fraction(1, 2)", "Decimal('0.5')", "Decimal('NaN')",
    "tune.choice([])", "tune.choice([None])", "tune.choice('ab')", "tune.choice({'a': 1})", "tune.choice(3)",
    "tune.choice([{}])", "tune.choice([{}, 1])", "tune.choice([[]])", "tune.choice([tune.choice([1, 2])])",
    "tune.choice([{'gamma': tune.choice([{}])}])", "tune.choice([{3: 1}])", "tune.choice([{'lr': 0.1}, {}])",
    "tune.grid_search([0.1])", "tune.sample_from(lambda: 0.1)", "tune.randn(0, 1)", "tune.qrandn(0, 1, 0.5)",
    "tune.choice([numpy.array([1, 2]), numpy.array([1])])", "tune.uniform(numpy.zeros(2), numpy.ones(2))",
    "tune.search.sample.Float(None, None)", "tune.search.sample.Float(0, None)", "tune.randint(None, 3)",
    "tune.search.sample.Integer(None, None)", "tune.search.sample.Categorical([1, 2])", "nowhere", "1 / 0",
]  # fmt: skip
NAMES = [*FIELDS, "model", "epochs", "seed", "c", "d", "", "nonsense", "a/b", "lr ", "LR", "learning_rate"]

edges = st.sampled_from([0, 1, -1, 2**63, 10**400, 1e-320, 1e308, 0.3, 3.0, True])
number = st.one_of(st.floats(), st.integers(), edges)


def as_source(value: Any) -> str:
    return f"float('{value}')" if isinstance(value, float) else repr(value)


def a_range(kinds: list[str], arguments: int) -> st.SearchStrategy[str]:
    numbers = st.lists(number, min_size=arguments, max_size=arguments)
    return st.tuples(st.sampled_from(kinds), numbers).map(
        lambda drawn: f"tune.{drawn[0]}({', '.join(map(as_source, drawn[1]))})"
    )


nonsense = st.one_of(
    st.text(max_size=6).map(repr),
    number.map(as_source),
    st.sampled_from(NONSENSE),
    a_range(["uniform", "loguniform", "randint", "lograndint"], 2),
    a_range(["quniform", "qloguniform", "qrandint", "qlograndint"], 3),
    st.lists(number, max_size=3).map(lambda items: f"tune.choice([{', '.join(map(as_source, items))}])"),
)
a_name = st.one_of(st.sampled_from(NAMES), st.text(max_size=4))
noise = st.text("()[]{}:=,.'\"\\# \n\t0aé\0\x1b", max_size=8)


# Files.


def one_of(items: dict[str, str]) -> st.SearchStrategy[str]:
    return st.sampled_from([*items] or ["lr"])


@st.composite
def space_files(draw: st.DrawFn) -> str:
    """A sound space, and in it up to two things that may be wrong."""
    names = draw(st.lists(st.sampled_from(FIELDS[1:10] + FIELDS[11:]), max_size=4, unique=True))
    in_branch = names[: draw(st.integers(0, 3))]
    parameters, reference = {}, {}
    for name in ("lr", "batch_size", *names[len(in_branch) :]):
        parameters[name], reference[name] = draw(sound(name))
    if in_branch:
        parameters["c"], held = draw(branches_of(in_branch))
        reference |= held
    model = draw(st.sampled_from(["'simple_cnn'"] * 18 + ["'resnet18'", "'resnet50'"]))
    facts = {"model": model, "epochs": str(draw(st.integers(1, 3))), "trials": "4"}
    baselines, junk = ["reference"] * draw(st.integers(0, 1)), ""
    for wrong in draw(st.lists(st.sampled_from(WRONG), min_size=draw(st.integers(0, 1)), max_size=3)):
        if wrong == "parameter":
            parameters[draw(one_of(parameters))] = draw(nonsense)
        elif wrong == "name":
            parameters[draw(a_name)] = draw(st.one_of(nonsense, st.sampled_from(["0.5", "tune.choice([{}])"])))
        elif wrong == "gap":
            parameters.pop(draw(one_of(parameters)), None)
        elif wrong == "value":
            reference[draw(one_of(reference))] = draw(nonsense)
        elif wrong == "unheld":
            reference[draw(a_name)] = draw(nonsense)
        elif wrong == "missing":
            reference.pop(draw(one_of(reference)), None)
        elif wrong == "baseline":
            other = {draw(one_of(parameters)): draw(nonsense)}
            baselines.append(draw(st.sampled_from([f"reference | {as_dict(other)}", as_dict(other), "None", "3"])))
        elif wrong == "fact":
            extra = ["model", "epochs", "trials", "gpus_per_trial", "cpus_per_trial", "baselines", "parameters", "x"]
            facts[draw(st.sampled_from(extra))] = draw(nonsense)
        else:
            junk = draw(noise)
    facts = {"parameters": as_dict(parameters), "baselines": f"[{', '.join(baselines)}]", **facts}
    return (
        "from decimal import Decimal\nfrom fractions import Fraction\nimport numpy\nfrom ray import tune\n"
        f"from tune.space import SearchSpace\n{junk}\nreference = {as_dict(reference)}\n"
        f"SPACE = SearchSpace(reference=reference, {', '.join(f'{name}={text}' for name, text in facts.items())})\n"
    )


WRONG = ["parameter", "parameter", "name", "gap", "value", "unheld", "missing", "baseline", "fact", "fact", "noise"]


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
    sampler = _sampler(method, loaded)
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


def test_a_space_file_gives_a_search_or_a_sentence(tmp_path: Path, images: TrainingData) -> None:
    path, told = tmp_path / "mine.py", Counter[str]()

    @BY_CHANCE
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
    assert min(told["SearchSpace"], told["ValueError"]) > 200, told


a_value = st.one_of(number, st.text(max_size=5), st.none(), st.lists(st.floats(), max_size=2), st.booleans())


@st.composite
def configurations_of_sorts(draw: st.DrawFn) -> dict[str, Any]:
    values: dict[str, Any] = {"model": "simple_cnn", "epochs": draw(st.integers(1, 10_000)), "lr": 0.1, "batch_size": 2}
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=8, unique=True)):
        if name in WORDS:
            values[name] = draw(st.sampled_from(WORDS[name]))
        else:
            values[name] = draw(
                st.floats(*FLOATS[name], allow_subnormal=False) if name in FLOATS else st.integers(*WHOLE[name])
            )
    for name in draw(st.lists(a_name, max_size=2)):
        values[name] = draw(a_value)
    for name in draw(st.lists(st.sampled_from([*values]), max_size=1)):
        del values[name]
    return values


def configured(values: dict[str, Any]) -> TrainConfig:
    """As a space's configurations are: SimpleCNN takes the images."""
    config = TrainConfig.from_dict(values)
    preprocessing_of(config)
    return config


def test_a_configuration_takes_a_step_or_is_refused_with_a_sentence(images: TrainingData) -> None:
    told = Counter[str]()

    @settings(BY_CHANCE, max_examples=250)
    @given(values=configurations_of_sorts())
    def check(values: dict[str, Any]) -> None:
        config = answer(lambda: configured(values))
        told[type(config).__name__] += 1
        if isinstance(config, ValueError):
            assert str(config).endswith(".")
        else:
            takes_a_step(config, images)

    check()
    assert min(told["TrainConfig"], told["ValueError"]) > 60, told
