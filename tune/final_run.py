"""The final training as a run of its own in W&B, in the group of its search."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune import tracking
from tune.results import RunFolder
from tune.settings import Settings
from tune.tracking import BATCH_LOSS_POINTS, LOGGED, Tracker
from tune.training.config import TrainConfig
from tune.wandb_mode import Mode

if TYPE_CHECKING:
    from tune.training.loop import EpochResult


class FinalRun:
    """What happens in the final training, told as it happens; where W&B is disabled, it is told nobody."""

    def __init__(self, tracker: Tracker, folder: RunFolder) -> None:
        """`folder`: of the search's run."""
        self._tracker = tracker
        self._folder = folder
        self._final = RunFolder(folder.final)
        self._run = ""

    def begins(self, config: TrainConfig, trial_id: str, train_on: str) -> None:
        """To be called when final/ is as the training wants it: --resume goes on with the id that lies there."""
        self._start(config.to_dict() | {"trial_id": trial_id, "train_on": train_on, "origin": "final"})

    def goes_on(self) -> None:
        """In the place of `begins`, for the predictions of a model that is there."""
        self._start({})

    def _start(self, about: dict[str, Any]) -> None:
        new = tracking.run_id(self._folder, f"final-{secrets.token_hex(3)}")  # --overwrite makes another run
        self._run = tracking.recall(self._final) or new
        self._tracker.start(self._run, f"{self._folder.name}-final", "final", about)

    def epoch_ended(self, result: EpochResult, seed: int | None = None) -> None:
        """`seed` where there are several: each has its epochs."""
        metrics = {name: getattr(result, name, None) for name in LOGGED}
        losses = tracking.thinned(result.batch_loss, BATCH_LOSS_POINTS)
        of = {} if seed is None else {"seed": seed}
        rows = tracking.epoch_rows(metrics, losses, len(result.batch_loss))
        self._tracker.log(self._run, [row | of for row in rows])
        self._tracker.remember(self._run, self._final)  # no earlier: an empty final/ is nothing to go on with

    def tested(self, metrics: dict[str, Any], model: Path) -> None:
        """`metrics` as metrics.json has them; its figures are the run's summary."""
        figures = {name: value for name, value in metrics.items() if name.startswith("test_") or name == "train_s"}
        self._tracker.summarise(self._run, figures)
        self._tracker.keep(self._run, f"{self._folder.name}-model", "model", [model])

    def predicted(self, submission: Path) -> None:
        self._tracker.keep(self._run, f"{self._folder.name}-ood", "predictions", [submission])

    def ends(self, tag: str) -> None:
        """What comes after it is not heard."""
        self._tracker.end(self._run, tag)


@contextmanager
def tracked(mode: Mode, settings: Settings, folder: RunFolder, say: Callable[[str], None]) -> Iterator[FinalRun]:
    """For the length of the final training and its predictions. Its run ends as the block does."""
    with tracking.opened(mode, settings, folder, say) as tracker:
        run = FinalRun(tracker, folder)
        try:
            yield run
        except KeyboardInterrupt:
            run.ends("interrupted")
            raise
        except BaseException:
            run.ends("failed")
            raise
        run.ends("finished")
    if mode == "offline":
        say(f"W&B, kept offline: {tracking.sync_command(folder)}")
