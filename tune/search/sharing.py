"""A trial's share of the machine when the user leaves it open: as measured, now or by an earlier search."""

from __future__ import annotations

from rich.console import Console

from tune import wording
from tune.files import short
from tune.search.calibrate import Calibration, Calibrator
from tune.search.checks import Checked
from tune.search.devices import Machine, Share
from tune.space import SearchSpace
from tune.training.side_by_side import CannotMeasure


def settle(
    checked: Checked, space: SearchSpace, machine: Machine, console: Console
) -> tuple[Share, Calibration | None]:
    """The share, measured if necessary, and the measurement. Prints the result."""
    if checked.settled:
        return checked.share, None
    say, calibrator = wording.printer(console), _calibrator(checked.share, space, machine)
    calibration = calibrator.cached()
    try:
        if calibration is None and len(calibrator.packings) > 1:
            line = f"Measuring how many trials of {space.model} run best side by side; later searches reuse the result."
            say(line)
            calibration = machine.run(calibrator.measure, calibrator.on_gpu)
            if not calibration.disturbed:
                calibrator.cache(calibration)
    except CannotMeasure as error:
        line = f"Warning: how many trials fit side by side could not be measured ({error}); trials run one at a time."
        say(line)
    if calibration is None:
        alone = calibrator.packings[0]
        return Share(alone.cpus, checked.share.gpus), None
    if calibration.disturbed:  # how much faster may be far off then
        line = f"{calibration.best.trials} at once, measured while other processes kept the cores busy"
        say(f"{line}; the next search measures again")
    else:
        say(f"{calibration.line()}; to measure again, remove {short(calibrator.path)}")
    return share_of(calibration, checked.share), calibration


def cached(checked: Checked, space: SearchSpace, machine: Machine) -> Calibration | None:
    """The measurement of an earlier search, if the share is left open."""
    return None if checked.settled else _calibrator(checked.share, space, machine).cached()


def share_of(calibration: Calibration, asked: Share) -> Share:
    best = calibration.best
    return Share(best.cpus, 1 / best.trials if asked.gpus else 0.0)


def _calibrator(share: Share, space: SearchSpace, machine: Machine) -> Calibrator:
    return Calibrator(space, machine, on_gpu=bool(share.gpus), cpus=share.cpus)
