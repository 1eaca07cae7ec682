"""A search told beforehand: what it would try, what that costs in epochs, and in time where time was measured."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.search.sample import Domain
from rich.console import Console

from tune import domains, final_checks, storage
from tune.files import short
from tune.search import checks, cluster, devices, epoch_time, expectation, sharing, warm_start
from tune.search.asha import Asha
from tune.search.checks import Checked
from tune.search.devices import Machine
from tune.search.expectation import Expected
from tune.search.warm_start import Taken
from tune.settings import Settings
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
    """Checks what can be checked, and returns what prints the rest. ValueError says what to mend."""
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
    """Prints it. `arguments` are those of the command, for the one that would measure the time.

    `finalizes`: whether a final training follows.
    """
    calibration = sharing.kept(checked, space, machine)
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
        f"Data: {settings.data} in {short(Path(settings.data_dir))}, {checked.train_images:,} images to train on, "
        f"{checked.val_images:,} to validate on",
        f"Device: {_device(settings, machine)}, {counted(at_once, 'trial')} side by side"
        + ("" if checked.settled else "; to be measured when it starts"),
        f"Trials: {_trials(settings, space, taken)}",
        f"Horizon: {counted(settings.max_epochs, 'epoch')} a trial; {_stopping(settings)}",
        f"Epochs: {_epochs(settings, expected)}",
        *_metric(settings),
        *_confirm(settings, confirm),
        *_time(checked, runs, machine, expected, confirm, arguments, finalizes=finalizes),
        f"Nothing was started. Without --dry-run the search goes to {runs.folder(settings.name).place}.",
    ]
    for line in lines:
        printer(console)(line)


def _used_up(settings: Settings, space: SearchSpace) -> Iterator[str]:
    """That the space does not hold as many configurations as trials."""
    if (most := domains.size(space.parameters)) < settings.trials:
        yield f"the space holds {counted(int(most), 'configuration')} at most; the search will end short of --trials."


def _still_to_do(settings: Settings) -> Iterator[str]:
    """What is missing and will be had at the start."""
    if todo := sources.still_to_do(settings.data, Path(settings.data_dir)):
        yield f"{settings.data} is not there yet in {short(Path(settings.data_dir))}; {todo}."
    if settings.weights is not None and not Path(settings.weights).exists():
        yield f"the weights {settings.weights} are not there yet; they will be downloaded."


def _space(parameters: Mapping[str, Any]) -> Iterator[str]:
    """A line a parameter; the branches of a conditional have lines of their own."""
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
    """What a point sets, without what the space holds fixed."""
    fixed = {name for name, parameter in space.parameters.items() if not isinstance(parameter, Domain)}
    return ", ".join(f"{name} {value}" for name, value in values.items() if name not in fixed)


def _device(settings: Settings, machine: Machine) -> str:
    if settings.gpus_per_trial:
        gpus = f"{machine.gpus} x {machine.names[1]} (as the driver says)"
        return f"{gpus}, {settings.gpus_per_trial:g} of one and {settings.cpus_per_trial} CPU cores a trial"
    return f"{machine.names[0]}, {settings.cpus_per_trial} of {machine.cpus} cores a trial"


def _trials(settings: Settings, space: SearchSpace, taken: Taken) -> str:
    reference, *baselines = [origin for origin, _ in space.points()]
    origins = [reference, *(["warm start"] if taken.first else []), *baselines][: settings.trials]
    parts = [f"{origins.count(origin)} {origin}" for origin in dict.fromkeys(origins)]
    if proposed := settings.trials - len(origins):
        parts.append(f"{proposed} by {settings.search}")
    return f"{settings.trials} ({', '.join(parts)})"


def _stopping(settings: Settings) -> str:
    if settings.scheduler == "none":
        return "each is trained whole"
    asha = Asha(settings.max_epochs)
    if not asha.rungs:
        return "too few for ASHA to stop any"
    return f"ASHA lets the best 1/{asha.reduction} go on after {', '.join(map(str, asha.rungs))}"


def _epochs(settings: Settings, expected: Expected) -> str:
    whole = settings.trials * settings.max_epochs
    if expected.low == expected.high:
        return f"{whole:,}"
    share = 100 * expected.epochs / whole
    between = f"{expected.low:,.0f} to {expected.high:,.0f}"
    return f"about {expected.epochs:,.0f} of {whole:,} ({share:.0f} %) with ASHA; {between} in 8 searches of 10"


def _metric(settings: Settings) -> Iterator[str]:
    if settings.metric != "val_acc":
        when = "in the end" if settings.scheduler == "none" else "at ASHA's rungs and in the end"
        yield f"Metric: {settings.metric}, measured {when}"


def _confirm(settings: Settings, confirm: Expected | None) -> Iterator[str]:
    if confirm is not None:
        best, seeds = min(settings.confirm, settings.trials), settings.seeds
        yield f"Confirm: up to {confirm.epochs:,.0f} epochs more, for the {best} best on {seeds} seeds each"


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
    """What is known of the time, and how the time budget compares."""
    settings = checked.settings
    budget = settings.time_budget_s
    speed = epoch_time.find(runs, settings, machine)
    if speed is None:
        yield (
            f"Time: no estimate, as {runs.place} holds no run of {settings.model} "
            "with the same share of the same device"
        )
        yield f"  This measures it: python -m tune.run {shlex.join(_short_run(settings, arguments))}"
        if budget is not None:
            beside = "" if confirm is None else ", reruns of --confirm not counted"
            yield f"  --time-budget ends the search after {duration(budget)}{beside}"
        return
    epoch_s = speed.epoch_s(checked.train_images, checked.val_images)
    seconds = expected.span * epoch_s
    more = "" if confirm is None else f", {duration(confirm.span * epoch_s)} for --confirm"
    yield (
        f"Time: about {duration(seconds)}{more} and the start of Ray; an estimate, from {epoch_s:.3g} s an epoch, "
        f"the mean of {speed.epochs} in run {speed.run}, scaled to these images"
    )
    if budget is not None and seconds > budget:
        yield f"  That is over --time-budget: the search will end with what there is after {duration(budget)}"
    elif budget is not None:
        yield f"  That is within --time-budget, {duration(budget)}"
    if finalizes:
        images = sources.TRAIN_IMAGES[settings.data]
        final_s = final_checks.EPOCHS * speed.epoch_s(images, 0)
        yield (
            f"  After it the final training: about {duration(final_s)}, {final_checks.EPOCHS} epochs of all {images:,} "
            "images at a trial's pace; with the device to itself it is faster"
        )


def _short_run(settings: Settings, arguments: Sequence[str]) -> list[str]:
    """The command's arguments for a short run of the same kind; where an option is given twice, the last one counts."""
    again = [argument for argument in arguments if argument not in ("--dry-run", "--then-finalize")]
    again += ["--trials", "4", "--max-epochs", "1", *(["--confirm", "0"] if settings.confirm else [])]
    named = any(argument.split("=")[0] == "--name" for argument in arguments)
    return [*again, "--name", f"{settings.name}-speed"] if named else again
