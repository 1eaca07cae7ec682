"""Search spaces that contradict themselves: each is refused with a sentence that says what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ray import tune

from cifar_models import NAMES
from tests.a_space import GOOD, make, make_with, refusal

# Spaces that contradict themselves. Each row: what is wrong, the words that its sentence must hold.


WRONG_FIELDS: dict[str, list[Any]] = {
    "epochs": [0, -1, 2.0, "3", None, [3], True],
    "trials": [0, -1, 2.0, "3", None, [3], True],
    "cpus_per_trial": [0, -1, 2.0, "3", [3], True],
    "gpus_per_trial": [0, 1e-4, True, -0.5, 1.5, "1", [1], float("nan"), float("inf")],
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
    with pytest.raises(ValueError, match="is not a valid parameter name; use an identifier") as caught:
        make_with({name: tune.choice([{"gamma": 0.9}])}, {"gamma": 0.9})
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["a/0/mixup", "", "two words", "0"])
def test_a_name_that_is_no_word_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid parameter name; use an identifier") as caught:
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
        (tune.uniform(1, 0), ["is empty", "1 is above 0"]),
        (tune.loguniform(0.3, 0.1), ["is empty", "0.3 is above 0.1"]),
        (tune.randint(5, 1), ["is empty", "5 is above 0"]),
        (tune.randint(5, 5), ["is empty"]),
        # HyperOpt cannot draw from a range of a single value.
        (tune.uniform(0.5, 0.5), ["gamma holds 0.5 only", "use the value itself"]),
        (tune.loguniform(0.5, 0.5), ["holds 0.5 only"]),
        (tune.quniform(0.5, 0.5, 0.5), ["holds 0.5 only"]),
        (tune.randint(5, 6), ["holds 5 only"]),
        (tune.qrandint(8, 8, 8), ["holds 8 only"]),
        (tune.choice([{"scheduler": "step"}]), ["field of TrainConfig", "another name"]),
        (tune.uniform(0.5, 0.5 + 1e-12), ["too narrow a range", "use a single value"]),
        (tune.uniform(0, 10**400), ["finite numbers"]),
        (tune.uniform(True, 5), ["from True to 5", "finite numbers"]),
        (tune.randint("a", "b"), ["from 'a' to 'b'", "finite numbers"]),
        (tune.randint(0, None), ["from 0 to None", "finite numbers"]),
        (tune.randint(0.5, 3.5), ["whole numbers from 0.5 to 3.5", "write whole numbers"]),
        (tune.qrandint(0, 10, 0), ["steps of 0", "number of at least"]),
        (tune.qrandint(0, 10, 0.5), ["in steps of 0.5", "write whole numbers"]),
        (tune.qrandint(0, 1, 1), ["holds 0 only"]),
        (tune.quniform(0.1, 0.9, -0.1), ["steps of -0.1", "number of at least"]),
        (np.array([0.5, 0.9]), ["use a number, a string, True or False"]),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_domain_that_cannot_be_searched_is_refused(parameter: Any, words: list[str], inside: bool) -> None:
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
    with pytest.raises(ValueError, match="gamma is set twice, inside and outside a branch"):
        make_with(dict(both[::-1] if branch_first else both), {"gamma": 0.9, "scheduler": "step"})


def test_a_field_of_a_branch_is_not_set_again_deeper_down() -> None:
    nested = tune.choice([{"gamma": 0.9, "d": tune.choice([{"gamma": 0.8}])}])
    with pytest.raises(ValueError, match="gamma is set twice, inside and outside a branch"):
        make_with({"c": nested}, {"gamma": 0.9})


def test_two_conditionals_do_not_set_the_same_field() -> None:
    with pytest.raises(ValueError, match="gamma is set twice, inside and outside a branch"):
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
