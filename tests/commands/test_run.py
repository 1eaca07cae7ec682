"""What a user is told who asked for a search that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.commands.asking import SPACE, Told, only_checked
from tune import cli, run
from tune.results import create

# A search.


def test_sound_arguments_are_accepted(sound: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(only_checked(run.prepare), sound) == cli.DONE, capsys.readouterr().err
    assert (tmp_path / "results" / "one").is_dir()


def test_a_search_needs_a_space(told: Told) -> None:
    assert "--space is missing" in told(run.prepare)


ONLY_THE_DATA_TELL = (["--train-subset", "801"], ["--val-fraction", "0.01"])
"""Wrong for the thousand images here, right for the published data set."""


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_a_time_may_have_a_unit(text: str, value: float) -> None:
    assert run.seconds(text) == value


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
        (["--seeds", "3"], ["--seeds is for the reruns of --confirm", "omit --seeds"]),
        (["--confirm", "1", "--seed", str(2**31 - 1)], ["--seed is 2147483647", "--confirm; lower it"]),
        (["--max-epochs", "0"], ["--max-epochs", "0 is less than 1"]),
        (["--max-epochs", "x"], ["--max-epochs"]),
        (["--max-epochs", "10001"], ["--max-epochs", "more than 10000"]),
        (["--max-epochs", "1" * 400], ["--max-epochs", "more than 10000"]),
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
        (["--seed", str(2**31)], ["--seed", "2147483648 is more than 2147483647"]),
        (["--data", "mnist"], ["--data", "cifar100", "synthetic"]),
        (["--train-subset", "99"], ["--train-subset", "99 is less than 100"]),
        (["--train-subset", "801"], ["--train-subset is 801", "100", "800"]),
        (["--train-subset", "all"], ["--train-subset"]),
        *((["--val-fraction", value], ["--val-fraction is"]) for value in ("0", "1", "1.5", "nan", "inf")),
        (["--val-fraction", "-0.1"], ["--val-fraction"]),
        (["--val-fraction", "x"], ["--val-fraction", "'x'"]),
        (["--val-fraction", "0.01"], ["--val-fraction 0.01", "no validation image", "per class"]),
        (["--val-fraction", "0.999"], ["--val-fraction 0.999", "no training image", "per class"]),
        (["--val-fraction", "0.99999999", "--train-subset", "200"], ["--val-fraction 0.99999999", "no training image"]),
        (["--gpus-per-trial", "2"], ["--gpus-per-trial", "one device"]),
        (["--gpus-per-trial", "1.01"], ["--gpus-per-trial", "one device"]),
        (["--gpus-per-trial", "-1"], ["--gpus-per-trial"]),
        (["--gpus-per-trial", "1e-4"], ["--gpus-per-trial", "between 0.001 and 1"]),
        (["--gpus-per-trial", "nan"], ["--gpus-per-trial"]),
        (["--gpus-per-trial", "all"], ["--gpus-per-trial", "'all'"]),
        (["--cpus-per-trial", "0"], ["--cpus-per-trial", "0 is less than 1"]),
        (["--cpus-per-trial", "0.5"], ["--cpus-per-trial"]),
        (["--cpus-per-trial", "100000"], ["100000 CPU cores", "--cpus-per-trial"]),
        (["--address", "ray://head:10001"], ["--address", "Ray's client", "use auto"]),
        (["--address", "head"], ["--address", "'head' is neither local, nor auto, nor HOST:PORT"]),
        (["--address", "head:99999"], ["--address", "HOST:PORT"]),
        (["--address", "127.0.0.1:1"], ["--address", "nothing answers", "ray start --head"]),
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
        (["--name", "a\udcff"], ["a\\udcff is not valid UTF-8"]),
        (["--storage", "a\udcff"], ["a\\udcff is not valid UTF-8"]),
        (["--data-dir", "no\nwhere\udcff"], ["no\\nwhere\\udcff is not valid UTF-8"]),
        (["--wandb-project", "a/b"], ["--wandb-project is 'a/b'", "without any of / "]),
        (["--wandb-project", ""], ["--wandb-project is ''"]),
        (["--wandb-project", "p" * 129], ["at most 128 characters"]),
        (["--weights", "nowhere.pth"], ["--weights nowhere.pth is not a file"]),
        (["--weights", "."], ["--weights . is not a file"]),
        (["--weights", "mine.py"], ["simple_cnn starts from random weights", "--weights"]),
        (["--storage", "mine.py"], ["mine.py/one", "--storage"]),
        (["--storage", "nope://bucket/runs"], ["nope://bucket/runs", "Unrecognized filesystem type"]),
        (["--storage", "s3://me:hunter2@bucket/runs"], ["holds credentials", "in the environment"]),
        (["--warm-start", "s3://me:hunter2@bucket/runs/one"], ["holds credentials", "in the environment"]),
        (["--resume", "one", "--dry-run"], ["--dry-run", "new search", "--resume"]),
        (["--warm-start", "two"], ["There is no run 'two' in", "lists them"]),
        (["--warm-start", ""], ["There is no run ''"]),
        (["--space", "nowhere.py"], ["nowhere.py", "No such file"]),
        (["--space", "."], ["cannot be read: Is a directory"]),
    ],
)
def test_a_wrong_option_is_named(options: list[str], words: list[str], sound: list[str], told: Told) -> None:
    sentence = told(run.prepare, *sound, *options)
    for word in words:
        assert word in sentence
    assert "hunter2" not in sentence
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
        (SPACE.replace("cpus_per_trial=1", "cpus_per_trial=100000"), ["100000 CPU cores"]),
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
        assert "results/one already exists; give another --name" in told(run.prepare, *arguments)


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
        assert f"cannot be prepared in {Path.cwd()}/mine.py (Not a directory)" in sentence
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
