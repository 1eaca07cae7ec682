"""Retrain, test and predict: python -m tune.finalize [RUN]"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C during the imports below should not print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tune import cli, final_checks, final_steps, final_tracking, results, storage, wandb_mode, wording
from tune.cli import at_least
from tune.files import FolderLock, Unwritable, sha256
from tune.final_tracking import FinalRun
from tune.reporting import write
from tune.settings import FINAL_EPOCHS, Settings
from tune.training.config import MAX_EPOCHS

if TYPE_CHECKING:
    from tune.training.final_folder import FinalFolder

MAX_SEEDS = 10
"""All weights go into one model.pt: 0.9 GB for ten ResNet-50."""


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = cli.parser("finalize", "Retrain a run's best configuration, test it once, predict the OOD files.")
    parser.add_argument("run", nargs="?", metavar="RUN", help="name or path of a run (default: the newest)")
    parser.add_argument("--trial", metavar="ID", help="use this trial's configuration instead of the best")
    parser.add_argument(
        "--epochs", type=at_least(1, MAX_EPOCHS), metavar="E", help=f"epochs to train (default: {FINAL_EPOCHS})"
    )
    parser.add_argument("--seeds", type=at_least(1, MAX_SEEDS), metavar="K",
                        help="train on K seeds; the mean of their probabilities is tested (default: 1)")  # fmt: skip
    parser.add_argument("--train-on", choices=("all", "train"),
                        help="all labelled images, or the search's training part (default: all)")  # fmt: skip
    parser.add_argument("--ood-dir", type=Path, metavar="DIR",
                        help="holds distortion00.npy to distortion18.npy (default: data/ood-test)")  # fmt: skip
    parser.add_argument("--tta", action="store_true",
                        help="test-time augmentation: the mean over shifted and mirrored views")  # fmt: skip
    parser.add_argument("--adapt-batch-norm", action="store_true",
                        help="re-estimate batch-norm statistics on each OOD file "
                             "(uses all its images at once)")  # fmt: skip
    parser.add_argument("--ood-only", action="store_true", help="only predict, with the existing model.pt")
    parser.add_argument("--resume", action="store_true", help="continue from the last epoch's checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing final/")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="holds cifar-100-python/ (default: the run's)")
    cli.add_wandb(parser, None, "the run's")
    cli.add_storage(parser)
    return parser.parse_args(arguments)


def prepare(arguments: list[str]) -> Callable[[], None]:
    """Checks everything, and returns the work to do."""
    options = parse(arguments)
    folder = storage.resolve(options.storage).find(options.run)
    settings = Settings.from_dict(folder.read_json("experiment.json").get("settings"))
    data_dir = options.data_dir if options.data_dir is not None else Path(settings.data_dir)
    console = Console()
    say = wording.printer(console)
    tracked = partial(final_tracking.tracked, wandb_mode.of_run(settings, options.wandb), settings, folder, say)
    # torch is imported only after the checks that do not need it.
    import torch

    from tune.training import host, images, sources
    from tune.training.final_folder import FinalFolder
    from tune.training.initial_weights import find_weights

    final = FinalFolder(folder, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    storage.fetch_final(folder)
    final_checks.check_folder(final, options)
    files = final_checks.ood_files(options, folder, settings, data_dir, say)
    if options.ood_only:
        return only_predict(final, files, options, tracked, arguments, console)
    request = final_checks.make_request(final, folder, settings, data_dir, options)
    if options.adapt_batch_norm:
        final_checks.check_batch_norm(request.config.model)
    weights = find_weights(request.config.model, request.weights)
    arrow = sources.prepare(settings.data, data_dir, "train")
    sources.prepare(settings.data, data_dir, "test")
    fingerprint = images.read_metadata(arrow)["fingerprint"]
    results.check_origin(folder, fingerprint, None if weights is None else sha256(weights))
    lock = final.lock()
    final_checks.check_folder(final, options)  # again, as another command may have worked there meanwhile

    def work() -> None:
        if options.overwrite:
            final.clear()
        with tracked() as run:
            run.start(request)
            with host.at_full_speed():  # already here, so that the threads that torch starts for the data inherit it
                final_steps.train(final, request, folder, console, run)
            if files:
                final_steps.predict(final, files, request.tta, options.adapt_batch_norm, console, run)

    return lambda: resumable(work, final, arguments, console, lock)


def only_predict(
    final: FinalFolder,
    files: list[Path],
    options: argparse.Namespace,
    tracked: Callable[[], AbstractContextManager[FinalRun]],
    arguments: list[str],
    console: Console,
) -> Callable[[], None]:
    """Checks the existing model, and returns the work of --ood-only."""
    classifier = final_checks.check_model(final)
    if options.adapt_batch_norm:
        final_checks.check_batch_norm(classifier.config.model)
    lock = final.lock()
    tta = options.tta or classifier.tta

    def work() -> None:
        with tracked() as run:
            run.reopen()
            final_steps.predict(final, files, tta, options.adapt_batch_norm, console, run)

    return lambda: resumable(work, final, arguments, console, lock)


def resumable(
    work: Callable[[], None], final: FinalFolder, arguments: list[str], console: Console, lock: FolderLock
) -> None:
    """Does the work. If Ctrl-C or a full disk interrupts it, names the command that continues it."""
    try:
        with storage.final_uploaded(final.run):
            work()
    except KeyboardInterrupt:
        wording.printer(console)(f"Interrupted. {how_to_continue(final, arguments)}")
        raise
    except Unwritable as error:
        raise cli.WorkFailed(f"{error}. {how_to_continue(final, arguments)}") from error
    finally:
        lock.release()
    write.write_and_announce(final.run, console)


def how_to_continue(final: FinalFolder, arguments: list[str]) -> str:
    """The command to type after an interruption."""
    options = parse(arguments)
    places = (("--data-dir", options.data_dir), ("--ood-dir", options.ood_dir), ("--wandb", options.wandb))
    again = [final.run.address, *(str(part) for place in places if place[1] for part in place)]
    again += ["--adapt-batch-norm"] if options.adapt_batch_norm else []
    if final.checkpoint.is_file():
        again += ["--resume", *(["--trial", options.trial] if options.trial else [])]
    elif final.model.is_file():
        again += ["--ood-only", *(["--tta"] if options.tta else [])]
    else:  # no epoch is complete
        again = arguments
    return f"To resume: python -m tune.finalize {shlex.join(again)}"


if __name__ == "__main__":
    sys.exit(cli.run(prepare))
