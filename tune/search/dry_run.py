"""--dry-run: what a search would try, and its expected cost in epochs, and in time if earlier runs measured it."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.search.sample import Domain
from rich.console import Console

from tune import domains, storage
from tune.files import short
from tune.search import checks, cluster, devices, epoch_time, expectation, sharing, warm_start
from tune.search.asha import Asha
from tune.search.checks import Checked
from tune.search.devices import Machine
from tune.search.expectation import Expected
from tune.search.warm_start import Taken
from tune.settings import FINAL_EPOCHS, Settings
from tune.space import SearchSpace
from tune.storage import Storage
from tune.training import sources
from tune.wording import counted, duration, printer


def prepare(
    options: argparse.Namespace,
    space: SearchSpace,
    space_sha256: str,
    name: str,
    arguments: Sequence[str],
    console: Console,
) -> Callable[[], None]:
    """Checks the search; returns what prints the preview. ValueError says what to change."""
    machine = devices.at_a_glance() if options.address is None else cluster.look(options.address)
    checked = checks.check(options, space, space_sha256, name, machine)
    fingerprint = sources.fingerprint(options.data, options.data_dir)
    taken = warm_start.take(checked.earlier, space, checked.settings, fingerprint)
    return lambda: show(checked, space, machine, arguments, console, taken, finalizes=options.then_finalize)


def show(
    checked: Checked,
    space: SearchSpace,
    machine: Machine,
    arguments: Sequence[str],
    console: Console,
    taken: Taken,
    *,
    finalizes: bool = False,
) -> None:
    """Prints the preview. `arguments`: the command's, to suggest one that measures the time.

    `finalizes`: whether a final training follows.
    """
    calibration = sharing.cached(checked, space, machine)
    if calibration is not None:
        share = sharing.share_of(calibration, checked.share)
        settings = replace(checked.settings, gpus_per_trial=share.gpus, cpus_per_trial=share.cpus)
        checked = replace(checked, share=share, settings=settings, settled=True)
    settings = checked.settings
    runs = storage.resolve(settings.storage)
    at_once = machine.at_once(checked.share)
    asha = settings.scheduler == "asha"
    expected = expectation.expect(settings.trials, settings.max_epochs, at_once, asha=asha)
    reruns = min(settings.confirm, settings.trials) * settings.seeds
    confirm = expectation.expect(reruns, settings.max_epochs, at_once, asha=False) if reruns else None
    lines = [
        *(
            f"Warning: {warning}"
            for warning in (*checked.warnings, *_used_up(settings, space), *_still_to_do(settings))
        ),
        f"Space: {short(Path(settings.space))}, {settings.model}",
        *_space(space.parameters),
        *(f"{origin.capitalize()}: {_point(space, values)}" for origin, values in space.points()),
        *taken.lines,
        f"Data: {settings.data} in {short(Path(settings.data_dir))}, {checked.train_images:,} training images, "
        f"{checked.val_images:,} validation images",
        f"Device: {_device(settings, machine)}, {counted(at_once, 'trial')} at once"
        + ("" if checked.settled else "; to be measured at the start"),
        f"Trials: {_trials(settings, space, taken)}",
        f"Horizon: {counted(settings.max_epochs, 'epoch')} per trial; {_stopping(settings)}",
        f"Epochs: {_epochs(settings, expected)}",
        *_metric(settings),
        *_confirm(settings, confirm),
        *_time(checked, runs, machine, expected, confirm, arguments, finalizes=finalizes),
        f"Nothing was started. Without --dry-run the search goes to {runs.folder(settings.name).place}.",
    ]
    for line in lines:
        printer(console)(line)


def _used_up(settings: Settings, space: SearchSpace) -> Iterator[str]:
    """Warns if the space has fewer configurations than trials."""
    if (most := domains.size(space.parameters)) < settings.trials:
        yield f"the space has at most {counted(int(most), 'configuration')}, so the search will end before --trials."


def _still_to_do(settings: Settings) -> Iterator[str]:
    """Warns of data or weights that are still missing."""
    if todo := sources.still_to_do(settings.data, Path(settings.data_dir)):
        yield f"{short(Path(settings.data_dir))} does not hold {settings.data} yet; {todo}."
    if settings.weights is not None and not Path(settings.weights).exists():
        yield f"the weights {settings.weights} do not exist yet; they will be downloaded."


def _space(parameters: Mapping[str, Any]) -> Iterator[str]:
    """One line per parameter, and one per branch of a conditional parameter."""
    width = max(map(len, parameters))
    for name, parameter in parameters.items():
        if not domains.is_conditional(parameter):
            yield f"  {name:<{width}}  {domains.describe(parameter)}"
            continue
        yield f"  {name:<{width}}  one of"
        for branch in parameter.categories:
            facts = "; ".join(f"{key}: {domains.describe(value)}" for key, value in branch.items())
            yield f"  {'':<{width}}    {facts or 'nothing'}"


def _point(space: SearchSpace, values: Mapping[str, Any]) -> str:
    """The values of a point, without those that are fixed in the space."""
    fixed = {name for name, parameter in space.parameters.items() if not isinstance(parameter, Domain)}
    return ", ".join(f"{name} {value}" for name, value in values.items() if name not in fixed)


def _device(settings: Settings, machine: Machine) -> str:
    if settings.gpus_per_trial:
        gpus = f"{machine.gpus} x {machine.names[1]} (as the driver reports)"
        cores = counted(settings.cpus_per_trial, "CPU core")
        return f"{gpus}, {settings.gpus_per_trial:g} of one and {cores} per trial"
    return f"{machine.names[0]}, {settings.cpus_per_trial} of {machine.cpus} cores per trial"


def _trials(settings: Settings, space: SearchSpace, taken: Taken) -> str:
    reference, *baselines = [origin for origin, _ in space.points()]
    origins = [reference, *(["warm start"] if taken.first else []), *baselines][: settings.trials]
    parts = [f"{origins.count(origin)} {origin}" for origin in dict.fromkeys(origins)]
    if proposed := settings.trials - len(origins):
        parts.append(f"{proposed} proposed by {settings.search}")
    return f"{settings.trials} ({', '.join(parts)})"


def _stopping(settings: Settings) -> str:
    if settings.scheduler == "none":
        return "no trial is stopped early"
    asha = Asha(settings.max_epochs)
    if not asha.rungs:
        return "too short for ASHA to stop any trial"
    epochs = "epoch" if len(asha.rungs) == 1 else "epochs"
    return f"ASHA continues the best 1/{asha.reduction} after {epochs} {', '.join(map(str, asha.rungs))}"


def _epochs(settings: Settings, expected: Expected) -> str:
    whole = settings.trials * settings.max_epochs
    if expected.low == expected.high:
        return f"{whole:,}"
    share = 100 * expected.epochs / whole
    between = f"{expected.low:,.0f} to {expected.high:,.0f}"
    return f"about {expected.epochs:,.0f} of {whole:,} ({share:.0f} %) with ASHA; {between} in 8 searches of 10"


def _metric(settings: Settings) -> Iterator[str]:
    if settings.metric != "val_acc":
        when = "after the last epoch" if settings.scheduler == "none" else "at ASHA's rungs and after the last epoch"
        yield f"Metric: {settings.metric}, measured {when}"


def _confirm(settings: Settings, confirm: Expected | None) -> Iterator[str]:
    if confirm is not None:
        best, seeds = min(settings.confirm, settings.trials), settings.seeds
        yield f"Confirm: up to {confirm.epochs:,.0f} more epochs, for the best {best} on {seeds} seeds each"


def _time(
    checked: Checked,
    runs: Storage,
    machine: Machine,
    expected: Expected,
    confirm: Expected | None,
    arguments: Sequence[str],
    *,
    finalizes: bool,
) -> Iterator[str]:
    """The estimated time, and how it compares with the time budget."""
    settings = checked.settings
    budget = settings.time_budget_s
    speed = epoch_time.find(runs, settings, machine)
    if speed is None:
        yield (
            f"Time: unknown, as {runs.place} holds no run of {settings.model} with the same share of the same device"
        )
        yield f"  To measure it: python -m tune.run {shlex.join(_short_run(settings, arguments))}"
        if budget is not None:
            beside = "" if confirm is None else ", not counting the reruns of --confirm"
            yield f"  --time-budget ends the search after {duration(budget)}{beside}"
        return
    epoch_s = speed.epoch_s(checked.train_images, checked.val_images)
    seconds = expected.span * epoch_s
    more = "" if confirm is None else f", {duration(confirm.span * epoch_s)} for --confirm"
    yield (
        f"Time: about {duration(seconds)}{more} and the start of Ray, estimated from {epoch_s:.3g} s per epoch, "
        f"the mean of {speed.epochs} epochs in run {shlex.quote(speed.run)}, scaled to these images"
    )
    if budget is not None and seconds > budget:
        yield f"  That exceeds --time-budget: the search will end after {duration(budget)} with the results it has"
    elif budget is not None:
        yield f"  That is within --time-budget, {duration(budget)}"
    if finalizes:
        images = sources.DATA_SETS[settings.data].train_images
        final_s = FINAL_EPOCHS * speed.epoch_s(images, 0)
        yield (
            f"  Then the final training: about {duration(final_s)}, {FINAL_EPOCHS} epochs on all {images:,} "
            "images at a trial's speed, or less, as it has the device to itself"
        )


def _short_run(settings: Settings, arguments: Sequence[str]) -> list[str]:
    """Arguments for a short run of the same kind."""
    kept, last = [], ""
    for argument in arguments:
        if argument.startswith("--"):
            last = argument.split("=")[0]
        if last not in ("--dry-run", "--then-finalize", "--trials", "--max-epochs", "--confirm", "--seeds", "--name"):
            kept.append(argument)
    named = any(argument.split("=")[0] == "--name" for argument in arguments)
    name = ["--name", f"{settings.name}-speed"] if named else []
    return [*kept, "--trials", "4", "--max-epochs", "1", *name]
