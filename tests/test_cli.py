"""The commands' edges: exit codes, and what a user is told who asked for something wrong."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torchvision.datasets import CIFAR100

import cifar_models
from tests.a_search import settings
from tune import cli, finalize, run
from tune.results import EPOCHS, TRIALS, RunFolder, create
from tune.training import images, ood
from tune.training.config import TrainConfig

HERE = Path(__file__).parent.parent
CONFIG = TrainConfig(model="simple_cnn", lr=0.05, batch_size=64, epochs=2)
SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=2, trials=4,
    parameters={"lr": tune.loguniform(1e-3, 0.3), "batch_size": 64},
    reference={"lr": 0.05, "batch_size": 64},
)
"""

Prepare = Callable[[list[str]], Callable[[], None]]
Told = Callable[..., str]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is fetched here even where it could be; and nothing lands in the checkout."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    monkeypatch.setattr(CIFAR100, "url", f"{closed}/{CIFAR100.filename}")
    monkeypatch.setattr(ood, "UPSTREAM", f"{closed}/{{name}}.npy")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir of ten images a class, in the place of CIFAR-100's."""
    root = tmp_path_factory.mktemp("small")
    pixels = np.zeros((1000, images.SIDE, images.SIDE, 3), np.uint8)
    about = {"class_names": [f"class {n}" for n in range(100)]}
    for split in ("train", "test"):
        images.write(root / "arrow" / f"cifar100-{split}.arrow", pixels, np.arange(1000) % 100, about)
    return root


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SPACE)
    return path


@pytest.fixture
def sound(space: Path, small_data: Path, tmp_path: Path) -> list[str]:
    """Arguments of a search that could start at once."""
    places = ["--space", str(space), "--data-dir", str(small_data), "--storage", str(tmp_path / "results")]
    return [*places, "--name", "one", "--gpus-per-trial", "0", "--wandb", "disabled"]


@pytest.fixture
def finished(small_data: Path, tmp_path: Path) -> RunFolder:
    """A search that has ended, as finalize finds it."""
    folder = create(tmp_path / "results", "one")
    asked = settings(
        data="cifar100",
        data_dir=str(small_data),
        trials=1,
        max_epochs=2,
        seed=42,
        name="one",
        storage=str(folder.path.parent),
    )  # fmt: skip
    folder.write_json("experiment.json", {"settings": asked.to_dict(), "started": "2026-01-01T00:00:00Z"})
    row: dict[str, Any] = {"trial_id": "0000", "status": "finished", "origin": "reference", "epochs": 2}
    config = {f"config.{name}": value for name, value in CONFIG.to_dict().items()}
    folder.write_table("trials.parquet", [row | config], TRIALS)
    folder.write_json("best.json", {"trial_id": "0000", "config": CONFIG.to_dict()})
    return folder


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """What a user is told of wrong input: exit code 2, and a sentence or two on stderr."""

    def sentence(prepare: Prepare, *arguments: str) -> str:
        code = cli.run(only_checked(prepare), list(arguments))
        error = capsys.readouterr().err
        assert code == cli.WRONG_INPUT, error
        assert "Traceback" not in error
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert error.endswith("\n")
        assert len(error) <= 500
        return error

    return sentence


def only_checked(prepare: Prepare) -> Prepare:
    """The command without its work: what should have been refused and is not must not start Ray."""

    def checked(arguments: list[str]) -> Callable[[], None]:
        prepare(arguments)
        return lambda: None

    return checked


# Exit codes.


def test_work_that_ends_well_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    given: list[list[str]] = []

    def prepare(arguments: list[str]) -> Callable[[], None]:
        given.append(arguments)
        return lambda: print("worked")

    assert cli.run(prepare, ["--x"]) == cli.DONE == 0
    assert given == [["--x"]]
    assert capsys.readouterr() == ("worked\n", "")


def test_without_arguments_a_command_takes_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tune/run.py", "--x", "1"])
    given: list[list[str]] = []

    def prepare(arguments: list[str]) -> Callable[[], None]:
        given.append(arguments)
        return lambda: None

    cli.run(prepare)
    assert given == [["--x", "1"]]


def test_work_that_failed_is_1_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise cli.WorkFailed("no trial finished")

    assert cli.run(lambda arguments: work, []) == cli.FAILED == 1
    assert capsys.readouterr().err == "failed: no trial finished\n"


def test_wrong_input_is_2_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    def prepare(arguments: list[str]) -> Callable[[], None]:
        raise ValueError("--trials is 0; it must be more.")

    assert cli.run(prepare, []) == cli.WRONG_INPUT == 2
    assert capsys.readouterr().err == "error: --trials is 0; it must be more.\n"


@pytest.mark.parametrize("when", ["prepare", "work"])
def test_an_interruption_is_130_without_a_traceback(when: str, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    def prepare(arguments: list[str]) -> Callable[[], None]:
        if when == "prepare":
            interrupt()
        return interrupt

    assert cli.run(prepare, []) == cli.INTERRUPTED == 130
    assert capsys.readouterr().err == ""


def test_an_error_of_ours_keeps_its_traceback() -> None:
    def work() -> None:
        raise ValueError("a bug, not the user's input")

    with pytest.raises(ValueError, match="a bug"):
        cli.run(lambda arguments: work, [])


# The surface: what scripts and people rely on. To take an option away breaks them; to add one is to add it here.


def options_of(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit) as ended:
        prepare(["--help"])
    assert ended.value.code == 0
    declared = (line for line in capsys.readouterr().out.splitlines() if re.match(r"  -", line))
    return {option for line in declared for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line.split("   ")[0])}


def test_the_options_of_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert options_of(run.prepare, capsys) == {
        "-h", "--help",
        "--space", "--trials", "--max-epochs", "--time-budget", "--search", "--scheduler", "--metric", "--seed",
        "--resume", "--warm-start", "--confirm", "--seeds",
        "--data", "--data-dir", "--train-subset", "--val-fraction", "--weights",
        "--gpus-per-trial", "--cpus-per-trial",
        "--storage", "--name", "--wandb", "--wandb-project", "--dashboard", "--no-dashboard",
        "--dry-run",
    }  # fmt: skip


def test_the_options_of_finalize(capsys: pytest.CaptureFixture[str]) -> None:
    assert options_of(finalize.prepare, capsys) == {
        "-h", "--help",
        "--trial", "--epochs", "--train-on", "--ood-dir", "--ood-only", "--resume", "--overwrite",
        "--data-dir", "--storage",
    }  # fmt: skip


@pytest.mark.parametrize("command", ["run", "finalize"])
def test_help_comes_at_once(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"tune.{command}", "--help"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: python -m tune.{command} ")
    imported = set(re.findall(r"\| +(\S+)$", done.stderr, re.MULTILINE))
    assert "tune.cli" in imported
    # What takes seconds is left until the arguments are known to be right.
    assert not imported & {"torch", "torchvision", "hyperopt", "wandb"}


def test_a_process_ends_with_the_code_and_the_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tune.run", "--space", str(tmp_path / "nowhere.py")],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    expected = f"error: The search-space file {tmp_path}/nowhere.py can not be read: No such file or directory.\n"
    assert done.stderr == expected


# A search.


def test_sound_arguments_are_accepted(sound: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(only_checked(run.prepare), sound) == cli.DONE, capsys.readouterr().err
    assert (tmp_path / "results" / "one").is_dir()


def test_a_search_needs_a_space(told: Told) -> None:
    assert "--space is missing" in told(run.prepare)


ONLY_THE_DATA_TELL = (["--train-subset", "801"], ["--val-fraction", "0.01"])
"""Wrong for the thousand images here, right for the published data set."""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trails", "3"], ["--trails", "--help"]),
        (["--trial", "3"], ["--trial"]),  # no abbreviations: they would change with every new option
        (["extra"], ["extra"]),
        (["--trials"], ["--trials", "expected one argument"]),
        (["--trials", "0"], ["--trials", "0 is less than 1"]),
        (["--trials", "-3"], ["--trials"]),
        (["--trials", "many"], ["--trials", "'many'", "whole number of at least 1"]),
        (["--trials", "1.5"], ["--trials", "'1.5'"]),
        (["--trials", ""], ["--trials"]),
        (["--trials", "1000001"], ["--trials", "more than 1000000"]),
        (["--confirm", "1" * 400], ["--confirm", "more than 1000000"]),
        (["--seeds", "1" * 400], ["--seeds", "more than 1000000"]),
        (["--confirm", "1", "--seed", str(2**31 - 1)], ["--seed is 2147483647", "--confirm; lower it"]),
        (["--max-epochs", "0"], ["--max-epochs", "0 is less than 1"]),
        (["--max-epochs", "x"], ["--max-epochs"]),
        (["--max-epochs", "10001"], ["epochs is 10001", "10000"]),
        (["--max-epochs", "1" * 400], ["epochs is too large a number"]),
        (["--time-budget", "0"], ["--time-budget", "30m"]),
        (["--time-budget", "0.0h"], ["--time-budget"]),
        (["--time-budget", "5d"], ["--time-budget", "'5d'"]),
        (["--time-budget", "-3"], ["--time-budget"]),
        (["--time-budget", "9" * 340], ["--time-budget", "30m"]),
        (["--time-budget", "nan"], ["--time-budget"]),
        (["--time-budget", "soon"], ["--time-budget"]),
        (["--search", "guess"], ["--search", "hyperopt", "random"]),
        (["--scheduler", "fifo"], ["--scheduler", "asha", "none"]),
        (["--metric", "luck"], ["--metric", "val_acc"]),
        (["--seed", "-1"], ["--seed"]),
        (["--seed", "x"], ["--seed", "whole number of at least 0"]),
        (["--seed", str(2**31)], ["seed is 2147483648", "2147483647"]),
        (["--data", "mnist"], ["--data", "cifar100", "synthetic"]),
        (["--train-subset", "99"], ["--train-subset", "99 is less than 100"]),
        (["--train-subset", "801"], ["--train-subset is 801", "100", "800"]),
        (["--train-subset", "all"], ["--train-subset"]),
        *((["--val-fraction", value], ["--val-fraction is"]) for value in ("0", "1", "1.5", "nan", "inf")),
        (["--val-fraction", "-0.1"], ["--val-fraction"]),
        (["--val-fraction", "x"], ["--val-fraction", "'x'"]),
        (["--val-fraction", "0.01"], ["--val-fraction 0.01", "no image", "to validate on"]),
        (["--val-fraction", "0.999"], ["--val-fraction 0.999", "no image", "to train on"]),
        (["--gpus-per-trial", "2"], ["--gpus-per-trial", "one device"]),
        (["--gpus-per-trial", "1.01"], ["--gpus-per-trial", "one device"]),
        (["--gpus-per-trial", "-1"], ["--gpus-per-trial"]),
        (["--gpus-per-trial", "1e-4"], ["--gpus-per-trial", "between 0.001 and 1"]),
        (["--gpus-per-trial", "nan"], ["--gpus-per-trial"]),
        (["--gpus-per-trial", "all"], ["--gpus-per-trial", "'all'"]),
        (["--cpus-per-trial", "0"], ["--cpus-per-trial", "0 is less than 1"]),
        (["--cpus-per-trial", "0.5"], ["--cpus-per-trial"]),
        (["--cpus-per-trial", "100000"], ["100000 CPU cores", "--cpus-per-trial"]),
        (["--wandb", "on"], ["--wandb", "online", "offline"]),
        (["--dashboard=yes"], ["--dashboard"]),
        (["--name", ""], ["--name is ''"]),
        (["--name", "a/b"], ["--name is 'a/b'"]),
        (["--name", ".."], ["--name is '..'"]),
        (["--name=-x"], ["--name is '-x'", "not begin with -"]),
        (["--name", " x"], ["--name is ' x'"]),
        (["--name", "a\nb"], ["--name is 'a\\nb'", "control characters"]),
        (["--name", "a\x1b[31m"], ["--name is 'a\\x1b[31m'"]),
        (["--name", "é" * 101], ["--name has 202 bytes", "at most 200"]),
        (["--name", "a\udcff"], ["a\\udcff is no UTF-8 text"]),
        (["--storage", "a\udcff"], ["a\\udcff is no UTF-8 text"]),
        (["--data-dir", "no\nwhere\udcff"], ["no\\nwhere\\udcff is no UTF-8 text"]),
        (["--wandb-project", "a/b"], ["--wandb-project is 'a/b'", "without any of / "]),
        (["--wandb-project", ""], ["--wandb-project is ''"]),
        (["--wandb-project", "p" * 129], ["at most 128 characters"]),
        (["--weights", "nowhere.pth"], ["--weights nowhere.pth is no file"]),
        (["--weights", "."], ["--weights . is no file"]),
        (["--weights", "mine.py"], ["simple_cnn starts from random weights", "--weights"]),
        (["--storage", "mine.py"], ["mine.py/one", "--storage"]),
        (["--resume", "one", "--dry-run"], ["--dry-run", "new search", "--resume"]),
        (["--warm-start", "two"], ["There is no run 'two' in", "lists them"]),
        (["--warm-start", ""], ["There is no run ''"]),
        (["--space", "nowhere.py"], ["nowhere.py", "No such file"]),
        (["--space", "."], ["can not be read: Is a directory"]),
    ],
)
def test_a_wrong_option_is_named(options: list[str], words: list[str], sound: list[str], told: Told) -> None:
    sentence = told(run.prepare, *sound, *options)
    for word in words:
        assert word in sentence
    if options not in ONLY_THE_DATA_TELL:
        assert told(run.prepare, *sound, *options, "--dry-run") == sentence
    assert not Path("results").exists()  # nothing was begun


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("SPACE = 3\n", ["must define SPACE"]),
        ("def broken(:\n", ["mine.py, line 1"]),
        ("import no_such_module\n", ["mine.py, line 1", "no_such_module"]),
        (SPACE.replace('model="simple_cnn"', 'model="vgg"'), ["mine.py, line 5", "'vgg'", "resnet18"]),
        (SPACE.replace('"lr": tune', '"rate": tune'), ["'rate'", "weight_decay"]),
        (SPACE.replace("epochs=2", "epochs=0"), ["epochs is 0"]),
        (SPACE.replace("trials=4", "trials='4'"), ["trials is '4'"]),
        (SPACE.replace('"lr": 0.05', '"lr": 0.5'), ["reference", "lr is 0.5"]),
        (SPACE.replace("0.3)", "300)"), ["lr is 300", "100"]),
        (SPACE.replace("trials=4", "trials=1000001"), ["trials is 1000001", "at most 1000000"]),
        (
            SPACE.replace('"batch_size": 64}', '"c": tune.choice([{"batch_size": 64}, {}])}', 1),
            ["missing in some branch"],
        ),
        # What only the architecture and the machine can tell.
        (SPACE.replace('"batch_size": 64', '"batch_size": 64, "image_size": 64'), ["image_size is 64", "32 px only"]),
        (SPACE.replace("trials=4", "trials=4, cpus_per_trial=100000"), ["100000 CPU cores"]),
    ],
)
def test_a_wrong_space_is_told_as_it_stands(
    source: str, words: list[str], space: Path, sound: list[str], told: Told
) -> None:
    space.write_text(source)
    sentence = told(run.prepare, *sound)
    for word in words:
        assert word in sentence
    assert told(run.prepare, *sound, "--dry-run") == sentence
    assert not Path("results").exists()


@pytest.mark.parametrize("sizes", ["tune.choice([0, 64])", "tune.choice([64, 32])", "tune.randint(16, 33)"])
def test_an_image_size_that_only_some_trials_would_draw_is_refused(
    sizes: str, space: Path, sound: list[str], told: Told
) -> None:
    inside = SPACE.replace('"batch_size": 64},\n', f'"batch_size": 64, "image_size": {sizes}}},\n', 1)
    fitting = 0 if "0" in sizes else 32
    space.write_text(inside.replace('"batch_size": 64},\n)', f'"batch_size": 64, "image_size": {fitting}}},\n)'))
    for arguments in (sound, [*sound, "--dry-run"]):
        assert "simple_cnn takes 32 px only" in told(run.prepare, *arguments)
    assert not Path("results").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("share", ["0.25", "1"])
def test_a_gpu_that_is_not_there_is_refused(share: str, sound: list[str], told: Told) -> None:
    sentence = told(run.prepare, *sound, "--gpus-per-trial", share)
    assert told(run.prepare, *sound, "--gpus-per-trial", share, "--dry-run") == sentence
    assert f"--gpus-per-trial is {share}, but there is no CUDA GPU here; use --gpus-per-trial 0." in sentence


def test_a_name_that_is_taken_is_refused(sound: list[str], told: Told, tmp_path: Path) -> None:
    create(tmp_path / "results", "one")
    for arguments in (sound, [*sound, "--dry-run"]):
        assert "results/one exists already; give another --name" in told(run.prepare, *arguments)


def test_without_data_and_without_a_network_one_is_told_what_to_put_where(
    sound: list[str], told: Told, tmp_path: Path
) -> None:
    sentence = told(run.prepare, *sound, "--data-dir", str(tmp_path / "empty"))
    assert "could not be fetched" in sentence
    assert f"{tmp_path}/empty/cifar-100-python lacks files" in sentence
    assert "--data synthetic" in sentence


def test_a_data_dir_that_is_a_file_is_refused(sound: list[str], told: Told) -> None:
    for more in ([], ["--dry-run"]):
        sentence = told(run.prepare, *sound, "--data-dir", "mine.py", *more)
        assert f"can not be prepared in {Path.cwd()}/mine.py (Not a directory)" in sentence
        assert "--data-dir" in sentence


def test_online_without_a_key_is_refused(
    sound: list[str], told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for more in ([], ["--dry-run"]):
        assert "--wandb online needs a key" in told(run.prepare, *sound, "--wandb", "online", *more)


def test_weights_that_are_none_are_refused(space: Path, sound: list[str], told: Told) -> None:
    space.write_text(SPACE.replace("simple_cnn", "resnet50"))
    sentence = told(run.prepare, *sound, "--weights", "mine.py")
    assert "--weights" in sentence
    assert "mine.py is damaged, or holds more than tensors and plain values." in sentence


# A dry run.


def test_a_dry_run_starts_nothing_loads_nothing_and_writes_nothing(space: Path, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code = (
        "import sys\n"
        "from tune import cli, run\n"
        "code = cli.run(run.prepare)\n"
        "import ray\n"
        "heavy = {'torch', 'torchvision', 'hyperopt', 'optuna'} & sys.modules.keys()\n"
        "sys.exit(f'{heavy} {ray.is_initialized()}' if heavy or ray.is_initialized() else code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--space", str(space), "--dry-run", "--name", "one"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Warning: cifar100 is not there yet in data; it will be downloaded." in done.stdout
    assert "Trials: 4 " in done.stdout
    assert done.stdout.endswith("Nothing was started. Without --dry-run the search goes to results/one.\n")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("model", cifar_models.NAMES)
def test_a_dry_run_takes_what_a_search_takes(
    model: str, sound: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = str(HERE / "search_spaces" / f"{model}.py")
    assert cli.run(run.prepare, [*sound, "--space", shipped, "--dry-run"]) == cli.DONE
    output = capsys.readouterr()
    assert output.err == ""
    assert f"Space: {shipped}, {model}\n" in output.out
    assert "not there yet in" not in output.out  # the data are
    assert not (tmp_path / "results").exists()


# A warm start: "one" of the fixture `finished` is the earlier run, and a search "two" begins.


def test_a_warm_start_is_told_and_kept(
    finished: RunFolder, sound: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = finished.read_rows("trials.parquet")
    more = [{"trial_id": "0001", "config.lr": 0.1, "val_acc": 30.0}, {"trial_id": "0002", "config.lr": 0.9}]
    finished.write_table("trials.parquet", [rows[0] | {"val_acc": 20.0} | values for values in ({}, *more)], TRIALS)
    lines = [
        "Warm start: one, its best, trial 0001, runs right after the reference",
        "  It trained 40,000 images for 2 epochs, this search 40,000 for 3: its accuracies do not compare, "
        "only its best trial is taken over",
        "  1 of 3 trials do not fit: lr outside log-uniform 0.001 to 0.3 (1)",
    ]
    arguments = [*sound, "--name", "two", "--warm-start", "one", "--max-epochs", "3"]
    finished.write_json("best.json", {"trial_id": "0001"})

    assert cli.run(run.prepare, [*arguments, "--dry-run"]) == cli.DONE
    foretold = capsys.readouterr().out.splitlines()
    assert [line for line in foretold if line in lines] == lines
    assert "Trials: 4 (1 reference, 1 warm start, 2 by hyperopt)" in foretold
    assert not (tmp_path / "results" / "two").exists()

    assert cli.run(only_checked(run.prepare), arguments) == cli.DONE
    assert capsys.readouterr().out.splitlines() == lines
    (kept,) = RunFolder(tmp_path / "results" / "two").read_rows("warm_start.parquet")
    assert (kept["trial_id"], kept["config.epochs"], kept["known"], kept["first"]) == ("0001", 3, False, True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("experiment.json", '{"settings": {"model": "resnet18"}}', ["experiment.json does not tell data"]),
        ("experiment.json", "{", ["experiment.json is damaged"]),
        ("trials.parquet", "PAR1", ["trials.parquet is damaged"]),
        ("best.json", "[]", ["best.json is damaged"]),
    ],
)
def test_a_warm_start_that_is_damaged_is_told(
    name: str, content: str, words: list[str], finished: RunFolder, sound: list[str], told: Told, tmp_path: Path
) -> None:
    (finished.path / name).write_text(content)
    arguments = [*sound, "--name", "two", "--warm-start", str(finished.path)]
    sentence = told(run.prepare, *arguments)
    for word in words:
        assert word in sentence
    assert told(run.prepare, *arguments, "--dry-run") == sentence
    assert not (tmp_path / "results" / "two").exists()


# A final training.


def finalize_sound(finished: RunFolder) -> list[str]:
    return ["--storage", str(finished.path.parent)]


def test_finalize_accepts_a_finished_run(finished: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for run_name in ([], ["one"], [str(finished.path)]):
        assert cli.run(only_checked(finalize.prepare), [*run_name, *finalize_sound(finished)]) == cli.DONE
    assert capsys.readouterr().err == ""


def test_finalize_without_any_run_says_how_to_start_one(told: Told) -> None:
    assert "There is no run in results; start one with `python -m tune.run" in told(finalize.prepare)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["two"], ["There is no run 'two'"]),
        (["one", "two"], ["unrecognized arguments: two"]),
        (["--trial", "7"], ["one has no trial 7", "0000"]),
        (["--trial", "best"], ["one has no trial best"]),
        (["--trial", ""], ["one has no trial ", "0000"]),
        (["--trial"], ["--trial", "expected one argument"]),
        (["--epochs", "0"], ["--epochs", "0 is less than 1"]),
        (["--epochs", "x"], ["--epochs", "'x'"]),
        (["--epochs", "1.5"], ["--epochs", "'1.5'"]),
        (["--epochs", "10001"], ["epochs is 10001"]),
        (["--train-on", "val"], ["--train-on", "all", "train"]),
        (["--train_on", "all"], ["--train_on"]),
        (["--over"], ["--over"]),
        (["--resume", "--overwrite"], ["--resume", "--overwrite", "one of them"]),
        (["--resume"], ["no checkpoint", "leave --resume out"]),
        (["--ood-only"], ["model.pt is not there", "without --ood-only first"]),
        (["--ood-dir", "broken"], ["distortion00.npy", "cannot be read"]),
        (["--data-dir", "empty"], ["could not be fetched", "cifar-100-python lacks files"]),
    ],
)
def test_a_wrong_option_of_finalize_is_named(
    options: list[str], words: list[str], finished: RunFolder, told: Told, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "distortion00.npy").write_text("nothing")
    sentence = told(finalize.prepare, *finalize_sound(finished), *options)
    for word in words:
        assert word in sentence
    assert not finished.final.exists()


def test_a_final_model_is_not_overwritten_unasked(finished: RunFolder, told: Told) -> None:
    finished.final.mkdir()
    (finished.final / "model.pt").write_bytes(b"model")
    assert "--overwrite replaces it, --ood-only only predicts." in told(finalize.prepare, *finalize_sound(finished))
    (finished.final / "checkpoint.pt").write_bytes(b"checkpoint")
    assert "--resume goes on with it." in told(finalize.prepare, *finalize_sound(finished))
    assert (finished.final / "model.pt").read_bytes() == b"model"


@pytest.mark.parametrize("content", [b"", b"model", b"PK"])
def test_a_damaged_model_does_not_predict(content: bytes, finished: RunFolder, told: Told, tmp_path: Path) -> None:
    finished.final.mkdir()
    (finished.final / "model.pt").write_bytes(content)
    (tmp_path / "ood").mkdir()
    for name in ood.NAMES:
        np.save(tmp_path / "ood" / f"{name}.npy", np.zeros((5, 32, 32, 3), np.uint8))
    sentence = told(finalize.prepare, *finalize_sound(finished), "--ood-only", "--ood-dir", str(tmp_path / "ood"))
    assert "final/model.pt can not be used; --overwrite trains it anew." in sentence


def test_a_checkpoint_of_something_else_is_not_gone_on_from(finished: RunFolder, told: Told) -> None:
    finished.final.mkdir()
    torch.save({"a": 1}, finished.final / "checkpoint.pt")
    arguments = [*finalize_sound(finished), "--resume"]
    assert "final holds no epochs.parquet" in told(finalize.prepare, *arguments)
    RunFolder(finished.final).write_table("epochs.parquet", [], EPOCHS)
    assert "checkpoint.pt is no checkpoint of a training; --overwrite" in told(finalize.prepare, *arguments)


def test_a_final_folder_that_is_a_file_is_told(finished: RunFolder, told: Told) -> None:
    finished.final.write_text("")
    for more in ([], ["--overwrite"]):
        assert "final can not be written to (Not a directory)" in told(
            finalize.prepare, *finalize_sound(finished), *more
        )


def test_ood_files_that_can_not_be_had_are_named_where_nothing_else_was_asked_for(
    finished: RunFolder, told: Told, tmp_path: Path
) -> None:
    finished.final.mkdir()
    (finished.final / "model.pt").write_bytes(b"model")
    sentence = told(finalize.prepare, *finalize_sound(finished), "--ood-only", "--ood-dir", str(tmp_path / "ood"))
    assert f"Out-of-distribution files are missing in {tmp_path}/ood: all 19" in sentence
    assert "--ood-dir" in sentence


def test_finalize_without_ood_files_says_so_and_does_the_rest(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(only_checked(finalize.prepare), finalize_sound(finished)) == cli.DONE
    said = capsys.readouterr()
    assert said.err == ""
    assert "No OOD predictions: " in said.out
    assert "`--ood-only` predicts them later." in said.out


def test_finalize_of_a_search_without_a_result(finished: RunFolder, told: Told) -> None:
    finished.write_json("best.json", {})
    assert "No trial of one has a result" in told(finalize.prepare, *finalize_sound(finished))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("experiment.json", "{", ["experiment.json is damaged"]),
        ("experiment.json", "[]", ["experiment.json is damaged"]),
        ("experiment.json", '{"settings": {"space": "mine.py"}}', ["another version"]),
        ("experiment.json", "{}", ["experiment.json is damaged", "another version"]),
        ("experiment.json", '{"settings": null}', ["experiment.json is damaged", "another version"]),
        ("best.json", "", ["best.json is damaged"]),
        ("best.json", '{"a": 1}', ["best.json of one is damaged", "--trial"]),
        ("best.json", '{"trial_id": "0000"}', ["best.json of one is damaged", "--trial"]),
        ("best.json", '{"trial_id": "0000", "config": null}', ["best.json of one is damaged", "--trial"]),
    ],
)
def test_finalize_of_a_damaged_run(name: str, content: str, words: list[str], finished: RunFolder, told: Told) -> None:
    (finished.path / name).write_text(content)
    sentence = told(finalize.prepare, *finalize_sound(finished))
    for word in words:
        assert word in sentence


@pytest.mark.parametrize("name", ["best.json", "trials.parquet"])
def test_finalize_of_a_run_that_lacks_a_file(name: str, finished: RunFolder, told: Told) -> None:
    (finished.path / name).unlink()
    which = ["--trial", "0"] if name == "trials.parquet" else []
    assert f"holds no {name}" in told(finalize.prepare, *finalize_sound(finished), *which)


def test_finalize_of_another_versions_trials(finished: RunFolder, told: Told) -> None:
    pq.write_table(pa.table({"trial_id": ["0000"]}), finished.path / "trials.parquet")
    sentence = told(finalize.prepare, *finalize_sound(finished), "--trial", "0")
    assert "trials.parquet was written by another version" in sentence


def test_another_versions_trials_do_not_matter_to_the_best_one(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"a": [1]}), finished.path / "trials.parquet")
    assert cli.run(only_checked(finalize.prepare), finalize_sound(finished)) == cli.DONE, capsys.readouterr().err
