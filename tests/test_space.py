"""Search spaces: the shipped ones hold what they promise, and a wrong one says in a sentence what is wrong with it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray import tune

from cifar_models import NAMES
from tune import domains, space
from tune.search.proposals import Known, Proposer
from tune.space import SearchSpace

SPACES = Path(__file__).parent.parent / "search_spaces"

GOOD: dict[str, Any] = {
    "model": "simple_cnn",
    "epochs": 3,
    "trials": 4,
    "parameters": {"lr": tune.loguniform(1e-3, 0.3), "batch_size": 64},
    "reference": {"lr": 0.05, "batch_size": 64},
}


def make(**changes: Any) -> SearchSpace:
    return SearchSpace(**GOOD | changes)


def make_with(parameters: dict[Any, Any], reference: dict[Any, Any] | None = None) -> SearchSpace:
    """The good space with more parameters."""
    return make(parameters=GOOD["parameters"] | parameters, reference=GOOD["reference"] | (reference or {}))


def refusal(**changes: Any) -> str:
    """The sentence a space is refused with."""
    with pytest.raises(ValueError, match=r".") as caught:
        make(**changes)
    return str(caught.value)


# What is shipped.


@pytest.mark.parametrize("model", NAMES)
def test_a_shipped_space_loads(model: str) -> None:
    path = SPACES / f"{model}.py"
    loaded, digest = space.load(path)
    assert loaded.model == model
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert 0 < loaded.gpus_per_trial <= 1


@pytest.mark.parametrize(("model", "lr"), [("simple_cnn", 0.1), ("resnet18", 0.1), ("resnet50", 0.01)])
def test_the_reference_runs_first_then_the_reports_own_settings(model: str, lr: float) -> None:
    loaded, _ = space.load(SPACES / f"{model}.py")
    assert [origin for origin, _ in loaded.points()] == ["reference", "baseline"]
    report = loaded.config(loaded.points()[1][1], epochs=50, seed=42)
    assert (report.lr, report.batch_size) == (lr, 8)
    assert (report.scheduler, report.gamma, report.warmup) == ("step", 0.9, 0.0)
    assert (report.optimizer, report.momentum, report.nesterov, report.weight_decay) == ("sgd", 0.9, False, 0.0)
    # The report used none of what came later.
    extras = ("random_erasing", "label_smoothing", "mixup", "cutmix", "dropout", "freeze_epochs")
    assert [getattr(report, name) for name in extras] == [0] * len(extras)
    assert report.augmentation == ("none" if model == "simple_cnn" else "standard")
    assert report.image_size in (0, {"simple_cnn": 32, "resnet18": 32, "resnet50": 224}[model])


@pytest.mark.parametrize("model", NAMES)
def test_a_shipped_space_searches_what_the_report_left_to_future_work(model: str) -> None:
    loaded, _ = space.load(SPACES / f"{model}.py")
    varied = {name for name, value in domains.leaves(loaded.parameters) if len(domains.extremes(value)) > 1}
    wanted = {"lr", "batch_size", "weight_decay", "augmentation", "label_smoothing", "mixup", "cutmix", "dropout"}
    assert wanted <= varied
    schedules = {value for name, value in domains.leaves(loaded.parameters) if name == "scheduler"}
    assert {"step", "cosine", "one_cycle"} <= schedules


def test_a_space_makes_the_config_of_a_point() -> None:
    config = make().config({"lr": 0.1, "batch_size": 64}, epochs=7, seed=5)
    assert (config.model, config.epochs, config.seed) == ("simple_cnn", 7, 5)
    assert (config.lr, config.batch_size) == (0.1, 64)


# Files that can not be loaded.


def load_refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        space.load(path)
    return str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "nowhere.py can not be read: No such file" in load_refusal(tmp_path / "nowhere.py")


def test_a_directory_is_no_space(tmp_path: Path) -> None:
    assert f"{tmp_path} can not be read: Is a directory" in load_refusal(tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\nif:\n", ["line 2", "invalid syntax"]),
        ("x = 1\n  y = 2\n", ["line 2", "unexpected indent"]),
        ("x = (1\n", ["line 1", "never closed"]),
        ("from ray import tune\nimport no_such_module\n", ["line 2", "no_such_module"]),
        ("from tune.space import SearchSpaces\n", ["line 1", "SearchSpaces"]),
        ("\n\n1 / 0\n", ["line 3", "ZeroDivisionError"]),
        ("def f():\n    return missing\n\nf()\n", ["line 2", "NameError", "missing"]),
        ("import json\njson.loads('{')\n", ["line 2"]),  # not the line within json
        ("", ["SPACE = SearchSpace(...)"]),
        ("SPACE = {'model': 'simple_cnn'}\n", ["SPACE = SearchSpace(...)"]),
        ("from tune.space import SearchSpace\nSPACE = SearchSpace\n", ["SPACE = SearchSpace(...)"]),
        ("from tune.space import SearchSpace\nSPACE = SearchSpace(model='simple_cnn')\n", ["line 2", "reference"]),
        ("from tune.space import SearchSpace\nSPACE = SearchSpace(modell='simple_cnn')\n", ["line 2", "modell"]),
        ("from ray import tune\nLR = tune.loguniform(0, 0.1)\n", ["line 2", "greater than 0"]),
        ("from ray import tune\nLR = tune.uniform('a', 'b')\n", ["line 2", "TypeError"]),
        ("from ray import tune\nLR = tune.uniform(0, float('inf'))\n", ["line 2", "upper"]),
        ("from ray import tune\nLR = tune.choice(3)\n", ["line 2", "not iterable"]),
        (b"x = '\xff'\n", ["utf-8"]),
    ],
)
def test_a_file_that_does_not_run_is_refused_with_its_line(
    tmp_path: Path, source: str | bytes, words: list[str]
) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(source.encode() if isinstance(source, str) else source)
    sentence = load_refusal(path)
    for word in (str(path), *words):
        assert word in sentence


@pytest.mark.parametrize("source", ["import sys\nsys.exit(3)\n", "\nraise SystemExit('bye')\n"])
def test_a_file_that_exits_is_refused(tmp_path: Path, source: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)
    assert f"{path}, line 2: SystemExit" in load_refusal(path)


def test_a_null_byte_is_told_with_a_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"x = 1\0")
    assert f"{path}, line 1: " in load_refusal(path)


def test_a_sentence_shows_no_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("raise ValueError('\\x1b[31m red')")
    assert "line 1: \\x1b[31m red" in load_refusal(path)


@pytest.mark.parametrize("source", ["raise ValueError('a\\nb\\nc')", "raise ValueError('a ' * 5000)"])
def test_an_error_of_many_lines_becomes_one_sentence(tmp_path: Path, source: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)
    sentence = load_refusal(path)
    assert "line 1: a " in sentence
    assert "\n" not in sentence
    assert len(sentence) < 300 + len(str(path)) + 20


def test_a_contradiction_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = (SPACES / "simple_cnn.py").read_text().replace('model="simple_cnn"', 'model="vgg"')
    path.write_text(text)
    line = next(number for number, content in enumerate(text.splitlines(), 1) if "SPACE = " in content)
    sentence = load_refusal(path)
    assert f"{path}, line {line}: model is 'vgg'" in sentence


def test_a_space_file_may_have_helpers_and_knows_its_own_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    body = (SPACES / "simple_cnn.py").read_text()
    path.write_text(f"from pathlib import Path\nHERE = Path(__file__).parent\ndef twice(x):\n    return 2 * x\n{body}")
    assert space.load(path)[0].model == "simple_cnn"


def test_a_space_file_may_define_dataclasses(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
    own = "@dataclass\nclass Mine:\n    rate: float = 0.1\n\n"
    path.write_text(head + own + (SPACES / "simple_cnn.py").read_text())
    assert space.load(path)[0].model == "simple_cnn"


# Spaces that contradict themselves. Each row: what is wrong, the words that its sentence must hold.


WRONG_FIELDS: dict[str, list[Any]] = {
    "epochs": [0, -1, 2.0, "3", None, [3], True],
    "trials": [0, -1, 2.0, "3", None, [3], True],
    "cpus_per_trial": [0, -1, 2.0, "3", None, [3], True],
    "gpus_per_trial": [0, 1e-4, True, -0.5, 1.5, "1", None, [1], float("nan"), float("inf")],
    "model": [np.array(["simple_cnn", "vgg"]), "vgg", "", None, 3, ["simple_cnn"]],
    "parameters": [None, [], "lr", 3, {}, [("lr", 0.1)]],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field in WRONG_FIELDS for value in WRONG_FIELDS[field]]
)
def test_a_field_of_the_wrong_type_or_size_is_refused_by_name(field: str, value: Any) -> None:
    assert refusal(**{field: value}).startswith(field)


def test_an_unknown_model_is_told_the_known_ones() -> None:
    sentence = refusal(model="vgg")
    assert "'vgg'" in sentence
    assert all(name in sentence for name in NAMES)


def test_an_unknown_parameter_is_told_the_known_ones() -> None:
    sentence = refusal(parameters=GOOD["parameters"] | {"learning_rate": 0.1})
    assert "'learning_rate'" in sentence
    assert "weight_decay" in sentence


@pytest.mark.parametrize("name", ["model", "epochs", "seed"])
@pytest.mark.parametrize("inside", [False, True])
def test_what_the_search_sets_itself_is_no_parameter(name: str, inside: bool) -> None:
    parameter = {"c": tune.choice([{name: 1}])} if inside else {name: 1}
    assert f"parameter {name} is set by the search itself" in refusal(parameters=GOOD["parameters"] | parameter)


@pytest.mark.parametrize("name", [3, None, (1, 2), 0.5])
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    assert repr(name) in refusal(parameters=GOOD["parameters"] | {name: 1})
    assert repr(name) in refusal(parameters=GOOD["parameters"] | {"c": tune.choice([{name: 1}])})
    with pytest.raises(ValueError, match="is no name for a parameter; use a word") as caught:
        make_with({name: tune.choice([{"gamma": 0.9}])}, {"gamma": 0.9})
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["a/0/mixup", "", "two words", "0"])
def test_a_name_that_is_no_word_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a parameter; use a word") as caught:
        make_with(
            {name: tune.choice([{"gamma": 0.9}]), "a": tune.choice([{"mixup": 0.1}])}, {"gamma": 0.9, "mixup": 0.1}
        )
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, "x", [("lr", 0.05), ("batch_size", 64)]])
def test_a_reference_that_is_no_dict_is_refused(value: Any) -> None:
    assert refusal(reference=value).startswith("reference must be a dict of parameter names and values")


@pytest.mark.parametrize("value", [None, 3, "x", {"lr": 1}, [None], [3], ["x"], [[("lr", 0.05)]]])
def test_baselines_that_are_no_dicts_are_refused(value: Any) -> None:
    assert "baselines a list of such dicts" in refusal(baselines=value)


@pytest.mark.parametrize("point", [{3: 1}, {3: 1, "foo": 2}, {None: 1}])
def test_a_point_with_a_name_that_is_no_text_is_refused(point: dict[Any, Any]) -> None:
    assert "reference must be a dict of parameter names" in refusal(reference=GOOD["reference"] | point)
    assert "baselines a list of such dicts" in refusal(baselines=[GOOD["reference"] | point])


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        (tune.choice([]), ["empty choice"]),
        (tune.choice([{"scheduler": "step"}, 0.9]), ["mixes dicts and plain values"]),
        (tune.grid_search([0.8, 0.9]), ["is a dict", "use tune.choice instead"]),
        ({"scheduler": "step"}, ["is a dict", "tune.choice([{...}, {...}])"]),
        (tune.sample_from(lambda spec: 0.9), ["Function", "no searcher can model"]),
        (tune.randn(0.5, 0.1), ["no bounds"]),
        (tune.qrandn(0.5, 0.1, 0.1), ["no bounds"]),
        (tune.uniform(1, 0), ["holds nothing", "1 is over 0"]),
        (tune.loguniform(0.3, 0.1), ["holds nothing", "0.3 is over 0.1"]),
        (tune.randint(5, 1), ["holds nothing", "5 is over 0"]),
        (tune.randint(5, 5), ["holds nothing"]),
        # HyperOpt can not draw from a range of a single value.
        (tune.uniform(0.5, 0.5), ["gamma holds 0.5 alone", "write the value itself"]),
        (tune.loguniform(0.5, 0.5), ["holds 0.5 alone"]),
        (tune.quniform(0.5, 0.5, 0.5), ["holds 0.5 alone"]),
        (tune.randint(5, 6), ["holds 5 alone"]),
        (tune.qrandint(8, 8, 8), ["holds 8 alone"]),
        (tune.choice([{"scheduler": "step"}]), ["field of TrainConfig", "another name"]),
        (tune.uniform(0.5, 0.5 + 1e-12), ["too narrow a range", "write one value"]),
        (tune.uniform(0, 10**400), ["finite numbers"]),
        (tune.uniform(True, 5), ["from True to 5", "finite numbers"]),
        (tune.randint("a", "b"), ["from 'a' to 'b'", "finite numbers"]),
        (tune.randint(0, None), ["from 0 to None", "finite numbers"]),
        (tune.randint(0.5, 3.5), ["whole numbers from 0.5 to 3.5", "write whole numbers"]),
        (tune.qrandint(0, 10, 0), ["steps of 0", "number of at least"]),
        (tune.qrandint(0, 10, 0.5), ["in steps of 0.5", "write whole numbers"]),
        (tune.qrandint(0, 1, 1), ["holds 0 alone"]),
        (tune.quniform(0.1, 0.9, -0.1), ["steps of -0.1", "number of at least"]),
        (np.array([0.5, 0.9]), ["write a number, a word, True or False"]),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_domain_that_can_not_be_searched_is_refused(parameter: Any, words: list[str], inside: bool) -> None:
    parameters = {"c": tune.choice([{"gamma": parameter}])} if inside else {"gamma": parameter}
    with pytest.raises(ValueError, match="gamma") as caught:
        make_with(parameters, {"gamma": 0.9})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "parameter", "good", "bad"),
    [
        ("momentum", tune.uniform(0.0, 1.5), 0.9, "1.5"),
        ("dropout", tune.uniform(-0.1, 0.5), 0.1, "-0.1"),
        ("gamma", tune.choice([0.9, 1.1]), 0.9, "1.1"),
        ("batch_size", tune.randint(0, 64), 8, "0"),
        ("image_size", tune.choice([0, 4]), 0, "4"),
        ("scheduler", tune.choice(["step", "stepp"]), "step", "stepp"),
        ("optimizer", tune.choice(["sgd", "adam"]), "sgd", "adam"),
        ("gamma", tune.choice([0.9, None]), 0.9, "None"),
        ("gamma", tune.choice([0.9, "0.8"]), 0.9, "0.8"),
        ("gamma", tune.choice([0.9, [0.8]]), 0.9, "0.8"),
        ("freeze_epochs", tune.choice([0, 1.5]), 0, "1.5"),
        ("batch_size", tune.qrandint(65_536, 65_540, 4), 65_536, "65540"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_value_that_no_trial_can_take_is_found_before_the_search(
    name: str, parameter: Any, good: Any, bad: str, inside: bool
) -> None:
    parameters: dict[str, Any] = {**GOOD["parameters"], name: parameter}
    if inside:
        parameters["c"] = tune.choice([{name: parameters.pop(name)}])
    sentence = refusal(parameters=parameters, reference=GOOD["reference"] | {name: good})
    assert sentence.startswith(f"parameter {name} holds a value that no trial can take")
    assert bad in sentence


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (tune.choice([True, "yes"]), True, "'yes'"),
        (tune.choice([True, None]), True, "None"),
        (tune.choice([0, True]), True, "0"),
        (tune.choice([0, 1]), 1, "0"),
        (tune.randint(0, 2), 1, "0"),
        (1, 1, "1"),
    ],
)
def test_a_flag_is_searched_as_true_and_false_only(parameter: Any, good: Any, bad: str) -> None:
    """A trial's configuration says True for 1, which the space would not find again."""
    with pytest.raises(ValueError, match=f"^parameter nesterov holds {bad}; write True or False\\.$"):
        make_with({"nesterov": parameter}, {"nesterov": good})


@pytest.mark.parametrize("name", ["freeze_epochs", "image_size", "batch_size"])
def test_a_whole_number_is_not_searched_as_a_fraction(name: str) -> None:
    with pytest.raises(ValueError, match=f"^parameter {name} takes whole numbers; use tune.randint or tune.choice"):
        make_with({name: tune.uniform(16, 64)}, {name: 32})


@pytest.mark.parametrize("value", ["0.9", None, [0.9], {0.9}, float("nan"), 7.0])
def test_a_constant_that_no_trial_can_take_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="gamma"):
        make_with({"gamma": value}, {"gamma": value})


@pytest.mark.parametrize("branch_first", [False, True])
def test_a_field_lies_in_a_branch_or_outside_of_it_but_not_both(branch_first: bool) -> None:
    both = [("gamma", 0.9), ("c", tune.choice([{"scheduler": "step", "gamma": 0.9}, {"scheduler": "cosine"}]))]
    with pytest.raises(ValueError, match="gamma is set twice, in a branch and beside it"):
        make_with(dict(both[::-1] if branch_first else both), {"gamma": 0.9, "scheduler": "step"})


def test_a_field_of_a_branch_is_not_set_again_deeper_down() -> None:
    nested = tune.choice([{"gamma": 0.9, "d": tune.choice([{"gamma": 0.8}])}])
    with pytest.raises(ValueError, match="gamma is set twice, in a branch and beside it"):
        make_with({"c": nested}, {"gamma": 0.9})


def test_two_conditionals_do_not_set_the_same_field() -> None:
    with pytest.raises(ValueError, match="gamma is set twice, in a branch and beside it"):
        make_with({"c": tune.choice([{"gamma": 0.8}]), "d": tune.choice([{"gamma": 0.8}])}, {"gamma": 0.8})


def test_an_endless_value_of_a_whole_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the reference does not lie in the space: freeze_epochs is inf"):
        make_with({"freeze_epochs": tune.randint(0, 3)}, {"freeze_epochs": float("inf")})


@pytest.mark.parametrize("origin", ["reference", "baseline"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": ...}, ["lr is missing"]),
        ({"gamma": ...}, ["no branch of schedule fits", "gamma is missing"]),
        ({"lr": 0.5}, ["lr is 0.5", "log-uniform 0.001 to 0.3", "widen"]),
        ({"lr": "0.05"}, ["lr is '0.05'"]),
        ({"lr": None}, ["lr is None"]),
        ({"lr": [0.05]}, ["lr is [0.05]"]),
        ({"lr": float("nan")}, ["lr is nan"]),
        ({"lr": tune.uniform(0, 1)}, ["lr is"]),
        ({"gamma": 0.95}, ["no branch of schedule fits", "gamma is 0.95"]),
        ({"batch_size": 32}, ["batch_size is 32, outside 64"]),  # a constant, contradicted
        ({"augmentation": "trivialaugment"}, ["trivialaugment", "one of none, crop_flip"]),
        ({"momentum": 0.9}, [" sets momentum, which parameters does not name"]),
        ({"epochs": 5}, [" sets epochs"]),
        ({"schedule": "step"}, [" sets schedule"]),  # its name is no field
    ],
)
def test_a_point_that_does_not_lie_in_the_space_is_refused(
    origin: str, change: dict[str, Any], words: list[str]
) -> None:
    point = {"lr": 0.05, "batch_size": 64, "scheduler": "step", "gamma": 0.8, "augmentation": "none"}
    wrong = {name: value for name, value in (point | change).items() if value is not ...}
    sentence = refusal(
        parameters=GOOD["parameters"]
        | {
            "schedule": tune.choice([{"scheduler": "step", "gamma": tune.uniform(0.5, 0.9)}, {"scheduler": "cosine"}]),
            "augmentation": tune.choice(["none", "crop_flip"]),
        },
        reference=wrong if origin == "reference" else point,
        baselines=[point, wrong] if origin == "baseline" else [point],
    )
    for word in (f"the {origin}", *words):
        assert word in sentence


@pytest.mark.parametrize("name", ["lr", "batch_size"])
def test_what_has_no_default_is_set_in_every_branch(name: str) -> None:
    parameters = GOOD["parameters"] | {"c": tune.choice([{name: GOOD["parameters"][name]}, {"gamma": 0.9}])}
    del parameters[name]
    assert f"parameter {name} is missing in some branch" in refusal(parameters=parameters)
    del parameters["c"]
    assert f"parameters lacks {name}; every trial needs one" in refusal(parameters=parameters)
    either = {"c": tune.choice([{name: GOOD["parameters"][name]}, {name: GOOD["reference"][name], "gamma": 0.9}])}
    make(parameters=parameters | either)


@pytest.mark.parametrize(
    ("model", "parameters", "words"),
    [
        ("simple_cnn", {"image_size": tune.randint(0, 33)}, ["image_size is 1", "at least 8"]),
        ("simple_cnn", {"image_size": tune.choice([0, 64])}, ["image_size is 64", "simple_cnn takes 32 px only"]),
        ("resnet50", {"image_size": tune.choice([0, 31])}, ["image_size is 31", "at least 32 px"]),
        ("resnet18", {"image_size": tune.choice([0, 8]), "batch_size": tune.choice([1, 64])}, ["batch_size is 1"]),
        (
            "resnet50",
            {"image_size": tune.choice([0, 32]), "batch_size": tune.randint(1, 65)},
            ["at least 2; raise one"],
        ),
    ],
)
def test_an_image_or_batch_too_small_for_the_network_is_refused(
    model: str, parameters: dict[str, Any], words: list[str]
) -> None:
    sentence = refusal(
        model=model, parameters=GOOD["parameters"] | parameters, reference=GOOD["reference"] | {"image_size": 0}
    )
    for word in words:
        assert word in sentence
    large = {"image_size": tune.choice([0, 64]), "batch_size": tune.choice([1, 64])}
    make(model="resnet18", parameters=GOOD["parameters"] | large, reference=GOOD["reference"] | {"image_size": 0})


def test_a_horizon_too_far_is_not_blamed_on_the_reference() -> None:
    assert refusal(epochs=10_001).startswith("epochs is 10001; it must lie between 1 and 10000")


def test_an_empty_reference_lacks_everything() -> None:
    assert "the reference does not lie in the space: lr is missing" in refusal(reference={})


# Whatever a user writes: a space, or a sentence; and what is a space can be searched to its end.

FLOATS = {
    "momentum": (0.0, 0.99),
    "weight_decay": (1e-5, 1.0),
    "gamma": (0.1, 1.0),
    "warmup": (0.01, 0.9),
    "label_smoothing": (0.01, 0.9),
    "mixup": (0.1, 10.0),
    "dropout": (0.05, 0.9),
}
WORDS: dict[str, list[Any]] = {
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
    st.sampled_from([np.float32(0.5), np.int64(8), "step", "none", object, tune.randn(0, 1)]),
)
a_name = st.sampled_from([*FLOATS, *WORDS, "lr", "batch_size", "seed", "model", "epochs", "c", "nonsense", ""])
a_choice = st.lists(anything, max_size=3).map(tune.choice)
a_range = st.one_of(
    st.tuples(st.floats(-2, 2), st.floats(-2, 2)).map(lambda ends: tune.uniform(*ends)),
    st.tuples(st.floats(1e-6, 2), st.floats(1e-6, 2)).map(lambda ends: tune.loguniform(*ends)),
    st.tuples(st.integers(-3, 9), st.integers(-3, 9)).map(lambda ends: tune.randint(*ends)),
)
a_parameter = st.recursive(
    st.one_of(anything, a_choice, a_range),
    lambda deeper: st.lists(st.dictionaries(a_name, deeper, max_size=3), min_size=1, max_size=3).map(tune.choice),
    max_leaves=6,
)


@settings(deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    parameters=st.dictionaries(a_name, a_parameter, max_size=4),
    reference=st.dictionaries(a_name, st.one_of(anything, st.floats(0, 1)), max_size=4),
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
        if name in WORDS:
            values = draw(st.lists(st.sampled_from(WORDS[name]), min_size=1, unique=True))
            value = draw(st.sampled_from(values))
            return draw(st.sampled_from([value, tune.choice(values)])), value
        low, high = FLOATS[name]
        ends = st.floats(low, high, allow_subnormal=False).map(lambda x: round(x, 3))
        first, second = sorted([draw(ends), draw(ends)])
        if second - first < 0.01:
            return first, first
        kinds = [tune.uniform(first, second), tune.choice([first, second])]
        kinds += [tune.loguniform(first, second)] if first > 0 else []
        return draw(st.sampled_from(kinds)), draw(st.sampled_from([first, second]))

    def branch(names: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        made = {name: parameter(name) for name in names}
        return {name: pair[0] for name, pair in made.items()}, {name: pair[1] for name, pair in made.items()}

    names = draw(st.permutations([*FLOATS, *WORDS]))
    cuts = sorted(draw(st.lists(st.integers(0, 6), min_size=3, max_size=3)))
    outer, point = branch(names[: cuts[0]])
    if cuts[1] > cuts[0]:
        branches = [branch(names[cuts[0] : cuts[1]]) for _ in range(draw(st.integers(1, 3)))]
        taken = draw(st.integers(0, len(branches) - 1))
        point |= branches[taken][1]
        if cuts[2] > cuts[1]:
            deeper = [branch(names[cuts[1] : cuts[2]]) for _ in range(draw(st.integers(1, 2)))]
            branches[taken][0]["deep"] = tune.choice([item[0] for item in deeper])
            point |= draw(st.sampled_from(deeper))[1]
        outer["wide"] = tune.choice([item[0] for item in branches])
    return make(parameters=GOOD["parameters"] | outer, reference=GOOD["reference"] | point)


@settings(deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(loaded=spaces_that_hold_a_point(), seed=st.integers(0, 2**31 - 1))
def test_whatever_loads_can_be_searched(loaded: SearchSpace, seed: int) -> None:
    proposer = Proposer(loaded, epochs=loaded.epochs, seed=seed)
    known: list[Known] = []
    for number in range(14):  # the reference, the random starts, and some of TPE
        proposal = proposer.propose(number, known)
        assert proposal is not None  # lr alone has endless values
        config = proposal[1]
        domains.locate(loaded.parameters, config.to_dict())
        assert config not in [item.config for item in known]
        known.append(Known(config, config.lr))
