"""The share of a trial where nobody has asked for one: as measured, now or by an earlier search."""

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
    """Measures if need be, and says what came out."""
    if checked.settled:
        return checked.share, None
    say, calibrator = wording.printer(console), _calibrator(checked.share, space, machine)
    calibration = calibrator.kept()
    try:
        if calibration is None and len(calibrator.packings) > 1:
            line = f"Measuring how many trials of {space.model} share this machine best; once, for later searches too."
            say(line)
            calibration = machine.run(calibrator.measure, calibrator.on_gpu)
            calibrator.keep(calibration)
    except CannotMeasure as error:
        line = f"Warning: how many trials fit side by side could not be measured ({error}); one has all to itself."
        say(line)
    if calibration is None:
        alone = calibrator.packings[0]
        return Share(alone.cpus, checked.share.gpus), None
    line = f"{calibration.line()}; to measure again, remove {short(calibrator.path)}"
    say(line)
    return share_of(calibration, checked.share), calibration


def kept(checked: Checked, space: SearchSpace, machine: Machine) -> Calibration | None:
    """What an earlier search has measured, if the share is not settled."""
    return None if checked.settled else _calibrator(checked.share, space, machine).kept()


def share_of(calibration: Calibration, asked: Share) -> Share:
    best = calibration.best
    return Share(best.cpus, 1 / best.trials if asked.gpus else 0.0)


def _calibrator(share: Share, space: SearchSpace, machine: Machine) -> Calibrator:
    return Calibrator(space, machine, on_gpu=bool(share.gpus), cpus=share.cpus)
