"""Search: python -m tune.run --space search_spaces/simple_cnn.py"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C during the imports below ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

from rich.console import Console

from tune import cli, results, space, storage, wording
from tune.cli import at_least
from tune.results import RunFolder
from tune.search import resume
from tune.settings import METRICS, EarlyStopping, Method, Settings, Source
from tune.training.config import MAX_EPOCHS, MAX_SEED


def parser() -> argparse.ArgumentParser:
    parser = cli.parser("run", "Search hyperparameters with Ray Tune.")
    add = parser.add_argument_group("what to try").add_argument
    add(
        "--space",
        type=space.find,
        metavar="FILE",
        help="search-space file, which is executed as Python; or the name of a shipped one",
    )
    add("--resume", metavar="RUN",
        help="resume a run, by name, path or URI; a larger --trials or --time-budget extends it")  # fmt: skip
    add("--warm-start", metavar="RUN", help="learn from an earlier run as far as it fits, by name, path or URI")
    add(
        "--trials",
        type=at_least(1, space.MAX_TRIALS),
        metavar="N",
        help="configurations to try (default: the space's)",
    )
    add("--max-epochs", type=at_least(1, MAX_EPOCHS), metavar="E", help="epochs of a full trial (default: the space's)")
    add("--time-budget", type=seconds, metavar="TIME",
        help="end the search after this time, as in 90s, 30m or 2h (reruns of --confirm are not counted)")  # fmt: skip
    add(
        "--search",
        choices=get_args(Method),
        default="hyperopt",
        help="what proposes configurations (default: hyperopt)",
    )
    add(
        "--scheduler",
        choices=get_args(EarlyStopping),
        default="asha",
        help="what stops poor trials early (default: asha)",
    )
    add("--metric", choices=METRICS, default="val_acc",
        help="what is maximised: accuracy on clean or on corrupted validation images (default: val_acc)")  # fmt: skip
    add("--confirm", type=at_least(0, space.MAX_TRIALS), default=0, metavar="K",
        help="retrain the K best trials on other seeds before choosing one (default: 0)")  # fmt: skip
    add(
        "--seeds",
        type=at_least(2, space.MAX_TRIALS),
        default=3,
        metavar="S",
        help="seeds per trial for --confirm (default: 3)",
    )
    add(
        "--seed",
        type=at_least(0, MAX_SEED),
        default=42,
        metavar="N",
        help="seed of proposals, split and training (default: 42)",
    )

    add = parser.add_argument_group("data and weights").add_argument
    add("--data", choices=get_args(Source), default="cifar100", help="the data set (default: cifar100)")
    add("--data-dir", type=Path, default=Path("data"), metavar="DIR",
        help="folder of cifar-100-python/, which is downloaded and verified if missing (default: data)")  # fmt: skip
    add("--train-subset", type=at_least(100), metavar="N", help="train on N images only, equally many per class")
    add("--val-fraction", type=float, default=0.2, metavar="F",
        help="share of the training images held out for validation (default: 0.2)")  # fmt: skip
    add("--weights", type=Path, metavar="PATH", help="pretrained state_dict to start from (ResNet-50)")

    add = parser.add_argument_group("machine").add_argument
    add("--gpus-per-trial", type=gpu_share, default="auto", metavar="{auto,0,0.25,1}",
        help="share of a GPU, 0 for CPU only (default: auto, the space's share or as measured)")  # fmt: skip
    add("--cpus-per-trial", type=at_least(1), metavar="N",
        help="CPU cores per trial (default: the space's, or as measured)")  # fmt: skip
    add("--address", type=cluster_address, metavar="ADDRESS",
        help="Ray cluster to run on, auto or HOST:PORT (default: local, which starts its own Ray)")  # fmt: skip

    group = parser.add_argument_group("results and tracking")
    cli.add_storage(group)
    group.add_argument("--name", help="name of the run's folder (default: the model and the time)")
    cli.add_wandb(group, "auto", "auto, online where there is a key, else offline")
    group.add_argument("--wandb-project", default="cifar100-tune", metavar="NAME",
                       help="W&B project (default: cifar100-tune)")  # fmt: skip
    group.add_argument("--dashboard", action=argparse.BooleanOptionalAction, default=True,
                       help="Ray's dashboard (default: on)")  # fmt: skip
    parser.add_argument("--then-finalize", action="store_true",
                        help="then train and test the best configuration, with tune.finalize's defaults")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true",
                        help="check all but data and weights, print the expected cost, start nothing")  # fmt: skip
    return parser


def prepare(arguments: list[str]) -> Callable[[], None]:
    """Checks everything, creates the run's folder and returns the search; with --dry-run only returns its preview."""
    options, given = resume.given_options(parser(), arguments)
    options.storage = storage.resolve(options.storage)
    before: Settings | None = None
    if options.resume is not None:
        options, before = resume.reopened(options, given)
    elif options.space is None:
        raise ValueError("--space is missing: the search-space file, as in --space search_spaces/simple_cnn.py.")
    if not 0 < options.val_fraction < 1:
        raise ValueError(f"--val-fraction is {options.val_fraction}; it must lie between 0 and 1.")
    if "seeds" in given and not options.confirm:
        raise ValueError(
            "--seeds is for the reruns of --confirm, and there are none; add --confirm K, or omit --seeds."
        )
    search_space, digest = space.load(options.space)
    name, console = default_name(search_space.model), Console()
    if "dry_run" in given:
        from tune.search import dry_run

        return dry_run.prepare(options, search_space, digest, name, arguments, console)
    # What needs torch and Ray comes after the quick checks. All of it precedes the creation of the folder, so that a
    # folder without a search exists for milliseconds only.
    from tune.search import confirm, ending, history, plan, warm_start
    from tune.training import host

    with host.at_full_speed():  # inherited by torch's threads, which start with the data
        prepared = plan.prepare(options, search_space, digest, name, console)
    if before is None:
        folder = options.storage.create(prepared.settings.name)
        lock = results.lock(folder)
        if prepared.settings.warm_start is not None:
            warm_start.write(folder, prepared.taken)
        so_far = history.empty(prepared.settings)
    else:
        folder = options.storage.folder(options.name)
        resume.check_agrees(before, prepared.settings)
        lock = results.lock(folder)
        so_far = history.load(folder, prepared.settings.metric, prepared.data_fingerprint, prepared.weights_sha256)
        confirm.reruns(folder)  # fails now if the file is damaged
    so_far = replace(so_far, head_start=warm_start.load(folder, prepared.settings))
    for line in (*(f"Warning: {warning}" for warning in prepared.warnings), *prepared.taken.lines):
        wording.printer(console)(line)
    finalizes = "then_finalize" in given
    search = partial(ending.searched, prepared, folder, so_far, console, lock, " --then-finalize" if finalizes else "")
    tell = partial(ending.tell, prepared.settings, folder, console)
    return partial(_then_finalize if finalizes else _then_tell, search, tell, folder)


def _then_tell(search: Callable[[], None], tell: Callable[[], None], folder: RunFolder) -> None:
    """Searches, and prints what was found."""
    search()
    tell()


def _then_finalize(search: Callable[[], None], tell: Callable[[], None], folder: RunFolder) -> None:
    """Searches, prints what was found, and trains the final model."""
    from tune import finalize
    from tune.search import summary

    search()
    try:
        tell()
        try:
            finish = finalize.prepare([folder.address])
        except ValueError as error:
            raise cli.WorkFailed(f"the search is complete, but there will be no final model: {error}") from error
    except KeyboardInterrupt:
        print(f"Interrupted. To resume: {summary.command('tune.finalize', folder)}")
        raise
    finish()


def default_name(model: str) -> str:
    return f"{model}-{time.strftime('%Y%m%d-%H%M%S')}"


def seconds(text: str) -> float:
    """An argparse type: 90, 90s, 30m or 2h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None or not 0 < float(found[1]) < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 30m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def gpu_share(text: str) -> float | None:
    """An argparse type: None for `auto`, else 0, or MIN_GPU_SHARE to 1."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value != 0 and not space.MIN_GPU_SHARE <= value <= 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither auto, nor 0, nor between {space.MIN_GPU_SHARE} and 1; a trial uses one device"
        )
    return value


def cluster_address(text: str) -> str | None:
    """An argparse type: None for `local`, else `auto` or HOST:PORT."""
    if text in ("local", "auto"):
        return None if text == "local" else text
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is for Ray's client, but a search must run on a node of its cluster; log in there and use auto"
        )
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} is neither local, nor auto, nor HOST:PORT")
    return text


if __name__ == "__main__":
    sys.exit(cli.run(prepare))
