"""Finish: python -m tune.finalize [RUN]"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # A Ctrl-C while the rest is imported ends it without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tune import cli, final_run, results, storage, wandb_mode
from tune.cli import at_least
from tune.files import Claim, Unwritable, obstacle, sha256
from tune.final_run import FinalRun
from tune.reporting import write
from tune.results import RunFolder, config_of
from tune.settings import Settings
from tune.training.config import TrainConfig

if TYPE_CHECKING:
    from tune.training.final import Final, Request

EPOCHS = 50


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = cli.parser("finalize", "Retrain a run's best configuration, test it once, predict the OOD files.")
    parser.add_argument("run", nargs="?", metavar="RUN", help="name or path of a run (default: the newest)")
    parser.add_argument("--trial", metavar="ID", help="this trial's configuration instead of the best")
    parser.add_argument("--epochs", type=at_least(1), metavar="E", help=f"epochs to train (default: {EPOCHS})")
    parser.add_argument("--train-on", choices=("all", "train"),
                        help="all labelled images, or the search's training part (default: all)")  # fmt: skip
    parser.add_argument("--ood-dir", type=Path, metavar="DIR",
                        help="holds distortion00.npy to distortion18.npy (default: data/ood-test)")  # fmt: skip
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

    from tune.training import data, host, images, ood, synthetic_ood
    from tune.training.architecture import find_weights
    from tune.training.final import Final

    final = Final(folder, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    storage.fetch_final(folder)
    check_folder(final, options)
    ood_dir = options.ood_dir
    if ood_dir is None:
        ood_dir = synthetic_ood.prepare(data_dir) if settings.data == "synthetic" else Path("data/ood-test")
    try:
        files = ood.locate(ood_dir)
    except ood.OodMissing as error:
        if options.ood_only:
            raise ValueError(str(error)) from error
        console.print(f"No OOD predictions: {error}", highlight=False, markup=False)
        console.print("The rest goes on; `--ood-only` predicts them later.", highlight=False)
        files = []
    if options.ood_only:
        check_model(final)
        claim = final.claim()

        def predict_only() -> None:
            with tracked() as run:
                run.goes_on()
                predict(final, files, console, run)

        return lambda: resumable(predict_only, final, arguments, console, claim)
    request = make_request(final, folder, settings, data_dir, options)
    weights = find_weights(request.config.model, request.weights)
    arrow = data.prepare(settings.data, data_dir, "train")
    data.prepare(settings.data, data_dir, "test")
    fingerprint = images.read_metadata(arrow)["fingerprint"]
    results.check_origin(folder, fingerprint, None if weights is None else sha256(weights))
    claim = final.claim()
    check_folder(final, options)  # once more: another command may have worked there meanwhile

    def work() -> None:
        if options.overwrite:
            final.clear()
        with tracked() as run:
            run.begins(request.config, request.trial_id, request.train_on)
            with host.at_full_speed():  # from here on, as torch's threads, which the data start, inherit it
                train(final, request, folder, console, run)
            if files:
                predict(final, files, console, run)

    return lambda: resumable(work, final, arguments, console, claim)


def resumable(work: Callable[[], None], final: Final, arguments: list[str], console: Console, claim: Claim) -> None:
    """Does the work; if the user or a full disk interrupts it, names the command that goes on."""
    try:
        with storage.final_uploaded(final.run):
            work()
        write.after(final.run, console)
    except KeyboardInterrupt:
        again = to_go_on(final, arguments)
        console.print(f"Interrupted. {again}", soft_wrap=True, markup=False, highlight=False)
        raise
    except Unwritable as error:
        raise cli.WorkFailed(f"{error}. {to_go_on(final, arguments)}") from error
    finally:
        claim.release()


def to_go_on(final: Final, arguments: list[str]) -> str:
    """What to type after an interruption."""
    options = parse(arguments)
    places = (("--data-dir", options.data_dir), ("--ood-dir", options.ood_dir))
    again = [final.run.address, *(str(part) for place in places if place[1] for part in place)]
    if final.checkpoint.is_file():
        again += ["--resume"]
    elif final.model.is_file():
        again += ["--ood-only"]
    else:  # not an epoch is done
        again = arguments
    return f"To go on: python -m tune.finalize {shlex.join(again)}"


def check_folder(final: Final, options: argparse.Namespace) -> None:
    """ValueError if what lies in final/ and what is asked for do not go together."""
    if why := obstacle(final.folder.path):
        raise ValueError(f"{final.folder.path} can not be written to ({why}); make it a folder of yours, or remove it.")
    there = final.folder.path.is_dir() and any(final.folder.path.iterdir())
    if options.resume and options.overwrite:
        raise ValueError("--resume goes on and --overwrite starts anew; give one of them.")
    if options.ood_only:
        if options.resume or options.overwrite or options.trial or options.epochs or options.train_on:
            raise ValueError("--ood-only predicts with the model that is there; give it no option of the training.")
        if not final.model.is_file():
            raise ValueError(f"{final.model} is not there; run `python -m tune.finalize` without --ood-only first.")
    elif options.resume:
        if not final.checkpoint.is_file():
            raise ValueError(f"{final.folder.path} holds no checkpoint to go on from; leave --resume out.")
        final.folder.read_rows("epochs.parquet")  # ValueError now rather than a traceback later
    elif there and not options.overwrite:
        raise ValueError(
            f"{final.folder.path} is there already; --overwrite replaces it"
            + (", --resume goes on with it." if final.checkpoint.is_file() else ", --ood-only only predicts.")
        )


def check_model(final: Final) -> None:
    """ValueError if the model that is there can not predict."""
    from tune.training import checkpoint

    try:
        checkpoint.load_model(final.model, final.device)
    except ValueError as error:
        why = textwrap.shorten(str(error), 250).rstrip(".")
        raise ValueError(f"{final.model} can not be used; --overwrite trains it anew. ({why})") from error


def make_request(
    final: Final, folder: RunFolder, settings: Settings, data_dir: Path, options: argparse.Namespace
) -> Request:
    """Which configuration to train, for how long, on what. ValueError if a checkpoint was made for something else."""
    from tune.training.final import Request, at_horizon

    trial_id, config = pick(folder, options.trial)
    request = Request(
        config=at_horizon(config, options.epochs or EPOCHS),
        trial_id=trial_id,
        train_on=options.train_on or "all",
        data=settings.data,
        data_dir=data_dir,
        val_fraction=settings.val_fraction,
        split_seed=settings.seed,
        weights=None if settings.weights is None else Path(settings.weights),
    )
    if not options.resume:
        return request
    try:
        resumed = request.resumed(final.kept_request())
    except (KeyError, TypeError) as error:
        raise ValueError(f"{final.checkpoint} is no checkpoint of a training; --overwrite starts anew.") from error
    asked = {"--trial": options.trial and trial_id, "--epochs": options.epochs, "--train-on": options.train_on}
    kept = {"--trial": resumed.trial_id, "--epochs": resumed.config.epochs, "--train-on": resumed.train_on}
    for option, value in asked.items():
        if value is not None and value != kept[option]:
            raise ValueError(f"The checkpoint was made for {option} {kept[option]}, not {value}; leave {option} out.")
    return resumed


def pick(folder: RunFolder, trial: str | None) -> tuple[str, TrainConfig]:
    """The id and configuration of the best trial, or of the one asked for."""
    if trial is not None:
        rows = {str(row.get("trial_id")): row for row in folder.read_rows("trials.parquet")}
        row = rows.get(trial.zfill(4) if trial.isdecimal() else trial)
        if row is None:
            raise ValueError(f"{folder.name} has no trial {trial}; it has {', '.join(rows) or 'none'}.")
        return row["trial_id"], config_of(row)
    best = folder.read_json("best.json")
    if not best:
        raise ValueError(f"No trial of {folder.name} has a result; search again, or name one with --trial.")
    try:
        return str(best["trial_id"]), TrainConfig.from_dict(best["config"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"best.json of {folder.name} is damaged; name a trial with --trial.") from error


def train(final: Final, request: Request, folder: RunFolder, console: Console, run: FinalRun) -> None:
    """Trains and tests, and says so."""
    from tune.training.final import Diverged

    console.print(
        f"Final model of {folder.name}: trial {request.trial_id}, {request.config.model}, "
        f"{request.config.epochs} epochs on {request.train_on} images, {final.device}",
        highlight=False,
    )
    try:
        with progress(console) as bar:
            task = bar.add_task("training", total=request.config.epochs)
            for result in final.train(request):
                run.epoch_ended(result)
                accuracy = "" if result.val_acc is None else f", val_acc {result.val_acc:.2f} %"
                line = f"epoch {result.epoch}: train_loss {result.train_loss:.4f}, train_acc {result.train_acc:.2f} %"
                bar.console.print(f"{line}{accuracy}, {result.wall_s:.1f} s", highlight=False)
                bar.update(task, completed=result.epoch)
    except Diverged as error:
        run.ends("diverged")
        raise cli.WorkFailed(f"{error}; choose another configuration with --trial ID.") from error
    metrics = final.test(request)
    run.tested(metrics, final.model)
    low, high = metrics["test_acc_interval95"]
    console.print(
        f"Test accuracy {metrics['test_acc']:.2f} % (95 % interval {low:.2f} to {high:.2f}), "
        f"loss {metrics['test_loss']:.4f}, {metrics['test_images']:,} images",
        highlight=False,
    )
    console.print(f"Model: {named(final, final.model)}", highlight=False, soft_wrap=True)


def predict(final: Final, files: list[Path], console: Console, run: FinalRun) -> None:
    """Predicts the OOD files, and says so."""
    from tune.training import ood

    with progress(console) as bar:
        task = bar.add_task("OOD files", total=len(files) * ood.SEVERITIES)

        def counted() -> Iterator[ood.Prediction]:
            for prediction in final.predictions(files):
                yield prediction
                bar.advance(task)

        images = ood.write_submission(final.submission, counted())
    run.predicted(final.submission)
    console.print(
        f"OOD predictions: {named(final, final.submission)} ({images:,} rows)", highlight=False, soft_wrap=True
    )


def teller(console: Console) -> Callable[[str], None]:
    """Prints sentences as they are."""
    return partial(console.print, highlight=False, markup=False, soft_wrap=True)


def named(final: Final, path: Path) -> str:
    """Of a file in final/, where it lies when all is done."""
    return str(path) if final.folder.remote is None else final.folder.remote.inside(path.name).uri


def progress(console: Console) -> Progress:
    """A bar in a terminal, nothing elsewhere."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(cli.run(prepare))
