"""Finish: python -m tune.finalize [RUN]"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # A Ctrl-C while the rest is imported ends it without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tune import cli, final_checks, final_run, progress, results, storage, wandb_mode
from tune.cli import at_least
from tune.files import Claim, Unwritable, sha256
from tune.final_checks import EPOCHS
from tune.final_run import FinalRun
from tune.reporting import write
from tune.results import RunFolder
from tune.settings import Settings

if TYPE_CHECKING:
    from tune.training.final_folder import FinalFolder
    from tune.training.request import Request

MOST_SEEDS = 10
"""All weights lie in one model.pt: of ten ResNet-50 that is 0.9 GB."""


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = cli.parser("finalize", "Retrain a run's best configuration, test it once, predict the OOD files.")
    parser.add_argument("run", nargs="?", metavar="RUN", help="name or path of a run (default: the newest)")
    parser.add_argument("--trial", metavar="ID", help="this trial's configuration instead of the best")
    parser.add_argument("--epochs", type=at_least(1), metavar="E", help=f"epochs to train (default: {EPOCHS})")
    parser.add_argument("--seeds", type=at_least(1, MOST_SEEDS), metavar="K",
                        help="train on K seeds; the mean of their probabilities is tested (default: 1)")  # fmt: skip
    parser.add_argument("--train-on", choices=("all", "train"),
                        help="all labelled images, or the search's training part (default: all)")  # fmt: skip
    parser.add_argument("--ood-dir", type=Path, metavar="DIR",
                        help="holds distortion00.npy to distortion18.npy (default: data/ood-test)")  # fmt: skip
    parser.add_argument("--tta", action="store_true",
                        help="test-time augmentation: the mean over shifted and mirrored views")  # fmt: skip
    parser.add_argument("--adapt-batch-norm", action="store_true",
                        help="take batch norm's statistics from each OOD file, of which all is seen then")  # fmt: skip
    parser.add_argument("--ood-only", action="store_true", help="predict with the model.pt that is there")
    parser.add_argument("--resume", action="store_true", help="go on from the last epoch's checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="replace a final/ that is there")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="holds cifar-100-python/ (default: the run's)")
    cli.add_wandb(parser, None, "the run's")
    cli.add_storage(parser)
    return parser.parse_args(arguments)


def prepare(arguments: list[str]) -> Callable[[], None]:
    """Checks everything, and returns the work."""
    options = parse(arguments)
    folder = storage.resolve(options.storage).find(options.run)
    settings = Settings.from_dict(folder.read_json("experiment.json").get("settings"))
    data_dir = options.data_dir if options.data_dir is not None else Path(settings.data_dir)
    console = Console()
    tracked = partial(final_run.tracked, wandb_mode.of_run(settings, options.wandb), settings, folder, teller(console))
    # What needs torch comes after what may be wrong without it.
    import torch

    from tune.training import data, host, images
    from tune.training.architecture import find_weights
    from tune.training.final_folder import FinalFolder

    final = FinalFolder(folder, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    storage.fetch_final(folder)
    final_checks.check_folder(final, options)
    files = ood_files(options, folder, settings, data_dir, console)
    if options.ood_only:
        return only_predict(final, files, options, tracked, arguments, console)
    request = final_checks.make_request(final, folder, settings, data_dir, options)
    if options.adapt_batch_norm:
        final_checks.check_batch_norm(request.config.model)
    weights = find_weights(request.config.model, request.weights)
    arrow = data.prepare(settings.data, data_dir, "train")
    data.prepare(settings.data, data_dir, "test")
    fingerprint = images.read_metadata(arrow)["fingerprint"]
    results.check_origin(folder, fingerprint, None if weights is None else sha256(weights))
    claim = final.claim()
    final_checks.check_folder(final, options)  # once more: another command may have worked there meanwhile

    def work() -> None:
        if options.overwrite:
            final.clear()
        with tracked() as run:
            run.begins(request)
            with host.at_full_speed():  # from here on, as torch's threads, which the data start, inherit it
                train(final, request, folder, console, run)
            if files:
                predict(final, files, request.tta, options.adapt_batch_norm, console, run)

    return lambda: resumable(work, final, arguments, console, claim)


def only_predict(
    final: FinalFolder,
    files: list[Path],
    options: argparse.Namespace,
    tracked: Callable[[], AbstractContextManager[FinalRun]],
    arguments: list[str],
    console: Console,
) -> Callable[[], None]:
    """Checks the model that is there, and returns the work of --ood-only."""
    classifier = final_checks.check_model(final)
    if options.adapt_batch_norm:
        final_checks.check_batch_norm(classifier.config.model)
    claim = final.claim()
    tta = options.tta or classifier.tta

    def work() -> None:
        with tracked() as run:
            run.goes_on()
            predict(final, files, tta, options.adapt_batch_norm, console, run)

    return lambda: resumable(work, final, arguments, console, claim)


def ood_files(
    options: argparse.Namespace, run: RunFolder, settings: Settings, data_dir: Path, console: Console
) -> list[Path]:
    """The files of the challenge; none, and a sentence, if they are not to be had and there is more to do."""
    from tune.training import ood, synthetic_ood

    folder = options.ood_dir
    if folder is None:
        folder = synthetic_ood.prepare(data_dir) if settings.data == "synthetic" else Path("data/ood-test")
    try:
        return ood.locate(folder)
    except ood.OodMissing as error:
        if options.ood_only:
            raise ValueError(str(error)) from error
        later = f"python -m tune.finalize {shlex.quote(run.address)} --ood-only"
        say = teller(console)
        say(f"No OOD predictions: {error}")
        say(f"The rest goes on; `{later}` predicts them later.")
        return []


def resumable(
    work: Callable[[], None], final: FinalFolder, arguments: list[str], console: Console, claim: Claim
) -> None:
    """Does the work; if the user or a full disk interrupts it, names the command that goes on."""
    try:
        with storage.final_uploaded(final.run):
            work()
    except KeyboardInterrupt:
        again = to_go_on(final, arguments)
        console.print(f"Interrupted. {again}", soft_wrap=True, markup=False, highlight=False)
        raise
    except Unwritable as error:
        raise cli.WorkFailed(f"{error}. {to_go_on(final, arguments)}") from error
    finally:
        claim.release()
    write.after(final.run, console)


def to_go_on(final: FinalFolder, arguments: list[str]) -> str:
    """What to type after an interruption."""
    options = parse(arguments)
    places = (("--data-dir", options.data_dir), ("--ood-dir", options.ood_dir))
    again = [final.run.address, *(str(part) for place in places if place[1] for part in place)]
    again += ["--adapt-batch-norm"] if options.adapt_batch_norm else []
    if final.checkpoint.is_file():
        again += ["--resume"]
    elif final.model.is_file():
        again += ["--ood-only", *(["--tta"] if options.tta else [])]
    else:  # not an epoch is done
        again = arguments
    return f"To go on: python -m tune.finalize {shlex.join(again)}"


def train(final: FinalFolder, request: Request, folder: RunFolder, console: Console, run: FinalRun) -> None:
    """Trains and tests, and says so."""
    from tune.training import final_evaluation
    from tune.training.final_training import Diverged

    seeds = "" if request.seeds == 1 else f" on {request.seeds} seeds"
    console.print(
        f"Final model of {folder.name}: trial {request.trial_id}, {request.config.model}, "
        f"{request.config.epochs} epochs{seeds} on {request.train_on} images, {final.device}",
        highlight=False,
        soft_wrap=True,
    )
    try:
        learn(final, request, console, run)
    except Diverged as error:
        run.ends("diverged")
        raise cli.WorkFailed(f"{error}; choose another configuration with --trial ID.") from error
    with progress.shown("test", "images", console) as work:
        metrics = final_evaluation.evaluate(final, request, work.advance)
    run.tested(metrics, final.model)
    for line in figures(metrics):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"Model: {named(final, final.model)}", highlight=False, markup=False, soft_wrap=True)


def learn(final: FinalFolder, request: Request, console: Console, run: FinalRun) -> None:
    """Trains, a line an epoch."""
    from tune.training import final_training

    configs, epochs = request.configs(), request.config.epochs
    with progress.shown("training", "epochs", console, total=len(configs) * epochs) as work:
        for result in final_training.train(final, request):
            config = result.training.config
            run.epoch_ended(result)
            which = "" if request.seeds == 1 else f"seed {config.seed}, "
            accuracy = "" if result.val_acc is None else f", val_acc {result.val_acc:.2f} %"
            rate = f"{result.images_per_s:,.0f} images/s"
            line = f"epoch {result.epoch}: train_loss {result.train_loss:.4f}, train_acc {result.train_acc:.2f} %"
            told = "" if console.is_terminal else f", {rate}"  # beside the bar otherwise
            work.say(f"{which}{line}{accuracy}, {result.wall_s:.1f} s{told}")
            work.reached(configs.index(config) * epochs + result.epoch, len(configs) * epochs, rate)


def figures(metrics: dict[str, Any]) -> Iterator[str]:
    """The test's figures, in sentences."""
    if "over_seeds" in metrics:
        seeds = metrics["over_seeds"]["test_acc"]
        low, high = seeds["interval95"]
        mean = f"{seeds['mean']:.2f} % (95 % interval {low:.2f} to {high:.2f})"
        yield f"A single seed: {mean} in the mean, standard deviation {seeds['sd']:.2f}"
    validation = metrics["validation"] or {}
    if "val_acc_tta" in validation:
        yield (
            f"Test-time augmentation on the validation images: {validation['val_acc_tta']:.2f} %, "
            f"without it {validation['val_acc']:.2f} %"
        )
    low, high = metrics["test_acc_interval95"]
    together = " of the seeds together" if "over_seeds" in metrics else ""
    yield (
        f"Test accuracy{together} {metrics['test_acc']:.2f} % (95 % interval {low:.2f} to {high:.2f}), "
        f"loss {metrics['test_loss']:.4f}, {metrics['test_images']:,} images"
    )


def predict(final: FinalFolder, files: list[Path], tta: bool, adapt: bool, console: Console, run: FinalRun) -> None:
    """Predicts the OOD files, and says so."""
    from tune.training import final_predictions

    with progress.shown("OOD", "images", console) as work:
        images = final_predictions.predict(final, files, tta=tta, adapt=adapt, done=work.advance)
    run.predicted(final.submission)
    line = f"OOD predictions: {named(final, final.submission)} ({images:,} rows)"
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def teller(console: Console) -> Callable[[str], None]:
    """Prints sentences as they are."""
    return partial(console.print, highlight=False, markup=False, soft_wrap=True)


def named(final: FinalFolder, path: Path) -> str:
    """Of a file in final/, where it lies when all is done."""
    return str(path) if final.folder.remote is None else final.folder.remote.inside(path.name).uri


if __name__ == "__main__":
    sys.exit(cli.run(prepare))
