"""Runs the final training, its test and its predictions, and reports their progress."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tune import cli, progress, wording
from tune.final_tracking import FinalRun
from tune.results import RunFolder

if TYPE_CHECKING:
    from tune.training.final_folder import FinalFolder
    from tune.training.request import Request


def train(final: FinalFolder, request: Request, folder: RunFolder, console: Console, run: FinalRun) -> None:
    """Trains and tests, and prints the results."""
    from tune.training import final_evaluation
    from tune.training.final_training import Diverged

    seeds = "" if request.seeds == 1 else f" on {request.seeds} seeds"
    say = wording.printer(console)
    say(
        f"Final model of {folder.name}: trial {request.trial_id}, {request.config.model}, "
        f"{wording.counted(request.config.epochs, 'epoch')}{seeds} on {request.train_on} images, {final.device}"
    )
    try:
        _train(final, request, console, run)
    except Diverged as error:
        run.end("diverged")
        raise cli.WorkFailed(f"{error}; choose another configuration with --trial ID.") from error
    with progress.shown("test", "images", console) as work:
        metrics = final_evaluation.evaluate(final, request, work.advance)
    run.log_test(metrics, final.model)
    for line in result_lines(metrics):
        say(line)
    say(f"Model: {final_place(final, final.model)}")


def _train(final: FinalFolder, request: Request, console: Console, run: FinalRun) -> None:
    """Trains, and prints a line per epoch."""
    from tune.training import final_training

    configs, epochs = request.configs(), request.config.epochs
    with progress.shown("training", "epochs", console, total=len(configs) * epochs) as work:
        for result in final_training.train(final, request):
            config = result.training.config
            run.log_epoch(result)
            which = "" if request.seeds == 1 else f"seed {config.seed}, "
            accuracy = "" if result.val_acc is None else f", val_acc {result.val_acc:.2f} %"
            rate = f"{result.images_per_s:,.0f} images/s"
            line = f"epoch {result.epoch}: train_loss {result.train_loss:.4f}, train_acc {result.train_acc:.2f} %"
            shown = "" if console.is_terminal else f", {rate}"  # in a terminal the bar shows it
            work.say(f"{which}{line}{accuracy}, {result.wall_s:.1f} s{shown}")
            work.reached(configs.index(config) * epochs + result.epoch, len(configs) * epochs, rate)


def result_lines(metrics: dict[str, Any]) -> Iterator[str]:
    """The results of the test, in sentences."""
    if "over_seeds" in metrics:
        seeds = metrics["over_seeds"]["test_acc"]
        low, high = seeds["interval95"]
        mean = f"{seeds['mean']:.2f} % (95 % interval {low:.2f} to {high:.2f})"
        yield f"Single seeds: {mean} on average, standard deviation {seeds['sd']:.2f}"
    validation = metrics["validation"] or {}
    if "val_acc_tta" in validation:
        yield (
            f"Test-time augmentation on the validation images: {validation['val_acc_tta']:.2f} %, "
            f"without it {validation['val_acc']:.2f} %"
        )
    low, high = metrics["test_acc_interval95"]
    together = " of the ensemble of seeds" if "over_seeds" in metrics else ""
    yield (
        f"Test accuracy{together} {metrics['test_acc']:.2f} % (95 % interval {low:.2f} to {high:.2f}), "
        f"loss {metrics['test_loss']:.4f}, {metrics['test_images']:,} images"
    )


def predict(final: FinalFolder, files: list[Path], tta: bool, adapt: bool, console: Console, run: FinalRun) -> None:
    """Predicts the OOD files, and prints where the predictions are."""
    from tune.training import final_predictions

    with progress.shown("OOD", "images", console) as work:
        images = final_predictions.predict(final, files, tta=tta, adapt=adapt, done=work.advance)
    run.log_predictions(final.submission)
    wording.printer(console)(f"OOD predictions: {final_place(final, final.submission)} ({images:,} rows)")


def final_place(final: FinalFolder, path: Path) -> str:
    """Where a file in final/ will be at the end: its path, or its URI if the run is mirrored to a store."""
    return str(path) if final.folder.remote is None else final.folder.remote.inside(path.name).uri
