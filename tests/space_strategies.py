"""What a user may write into a space file or a configuration: hypothesis's strategies, sound and unsound."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.training.test_config import FLOATS, INTEGERS

WHOLE = {name: INTEGERS[name] for name in ("batch_size", "freeze_epochs")}
WORDS: dict[str, list[Any]] = {
    "optimizer": ["sgd", "adamw"],
    "scheduler": ["constant", "step", "cosine", "one_cycle"],
    "augmentation": ["none", "standard", "crop_flip", "randaugment", "trivialaugment", "augmix"],
    "nesterov": [False, True],
    "image_size": [0, 32],
    "initial_scale": [1.0],
}
FIELDS = [*dict.fromkeys([*FLOATS, *WHOLE, *WORDS])]

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
    others = [name for name in FIELDS if name not in ("lr", "batch_size")]
    names = draw(st.lists(st.sampled_from(others), max_size=4, unique=True))
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


# Configurations.

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
