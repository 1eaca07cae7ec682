"""Search-space files: the shipped ones hold what they promise, and what cannot be loaded is told in a sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from cifar_models import NAMES
from tests.a_space import make
from tune import domains, space

SPACES = Path(__file__).parent.parent / "search_spaces"


# What is shipped.


@pytest.mark.parametrize("model", NAMES)
def test_a_shipped_space_can_be_named_anywhere(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert space.find(model) == SPACES / f"{model}.py"
    (tmp_path / model).touch()
    assert space.find(model) == Path(model), "a file of the user's own comes first"


def test_every_shipped_space_can_be_named_beside_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in SPACES.glob("[!_]*.py"):
        (tmp_path / path.stem).mkdir()
        assert space.find(path.stem) == path
    assert space.find("no_such_space") == Path("no_such_space")
    assert "cannot be read: File name too long" in load_refusal(space.find("a" * 300))


@pytest.mark.parametrize("model", NAMES)
def test_a_shipped_space_loads(model: str) -> None:
    path = SPACES / f"{model}.py"
    loaded, digest = space.load(path)
    assert loaded.model == model
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (loaded.gpus_per_trial, loaded.cpus_per_trial) == (None, None)  # the machine decides


@pytest.mark.parametrize(("model", "lr"), [("simple_cnn", 0.1), ("resnet18", 0.1), ("resnet50", 0.01)])
def test_the_reference_runs_first_then_the_reports_own_settings(model: str, lr: float) -> None:
    loaded, _ = space.load(SPACES / f"{model}.py")
    assert [origin for origin, _ in loaded.points()] == ["reference", "baseline"]
    report = loaded.config(loaded.points()[1][1], epochs=50, seed=42)
    assert (report.lr, report.batch_size) == (lr, 8)
    assert (report.scheduler, report.gamma, report.warmup) == ("step", 0.9, 0.0)
    assert (report.optimizer, report.momentum, report.nesterov, report.weight_decay) == ("sgd", 0.9, False, 0.0)
    # The report used none of what came later.
    extras = ("distortion", "jsd", "random_erasing", "label_smoothing", "mixup", "cutmix", "dropout", "ema")
    assert [getattr(report, name) for name in extras] == [0] * len(extras)
    assert (report.freeze_epochs, report.backbone_lr, report.initial_scale) == (0, 1, 1)
    assert report.augmentation == ("none" if model == "simple_cnn" else "standard")
    assert report.image_size in (0, {"simple_cnn": 32, "resnet18": 32, "resnet50": 224}[model])


@pytest.mark.parametrize("model", ["simple_cnn", "resnet18", "resnet50"])
def test_a_shipped_space_searches_what_the_report_left_to_future_work(model: str) -> None:
    loaded, _ = space.load(SPACES / f"{model}.py")
    tried: dict[str, set[Any]] = {}
    for name, value in domains.leaves(loaded.parameters):
        tried.setdefault(name, set()).update(domains.extremes(value))
    wanted = {"lr", "batch_size", "weight_decay", "label_smoothing", "mixup", "cutmix", "dropout", "distortion", "ema"}
    assert {name for name in wanted if len(tried[name]) < 2} == set()
    assert {"step", "cosine", "one_cycle"} <= tried["scheduler"]
    assert {"trivialaugment", "augmix"} <= tried["augmentation"]


def test_resnet50s_space_varies_how_it_is_fine_tuned() -> None:
    parameters = space.load(SPACES / "resnet50.py")[0].parameters
    assert domains.extremes(parameters["image_size"]) == [64, 128, 160, 224]
    assert {"freeze_epochs", "backbone_lr", "initial_scale"} <= set(parameters)


def test_a_space_makes_the_config_of_a_point() -> None:
    config = make().config({"lr": 0.1, "batch_size": 64}, epochs=7, seed=5)
    assert (config.model, config.epochs, config.seed) == ("simple_cnn", 7, 5)
    assert (config.lr, config.batch_size) == (0.1, 64)


# Files that cannot be loaded.


def load_refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        space.load(path)
    return str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "nowhere.py cannot be read: No such file" in load_refusal(tmp_path / "nowhere.py")


def test_a_directory_is_no_space(tmp_path: Path) -> None:
    assert f"{tmp_path} cannot be read: Is a directory" in load_refusal(tmp_path)


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
        (
            "from tune.space import SearchSpace\nSPACE = SearchSpace(model='simple_cnn')\n",
            ["line 2", "missing", "reference"],
        ),
        (
            "from tune.space import SearchSpace\nSPACE = SearchSpace(modell='simple_cnn')\n",
            ["line 2", "SearchSpace got an unexpected keyword argument 'modell'", " It takes model, epochs, trials"],
        ),
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
    assert len(sentence) < 300 + len(str(path)) + 50


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
