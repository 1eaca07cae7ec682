"""Logs the final training to W&B, in the group of its search: one run, plus one per seed if there are several."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune import tracking
from tune.results import RunFolder
from tune.settings import Settings, WandbMode
from tune.tracking import BATCH_LOSS_POINTS, LOGGED, Tracker

if TYPE_CHECKING:
    from tune.training.loop import EpochResult
    from tune.training.request import Request


class FinalRun:
    """Logs a final training as it happens; does nothing if W&B is disabled.

    One W&B run holds the test results and the files, and the epochs if there is a single seed. With several, each seed
    has a run of its own for its epochs, with job type `final-seed`, so that their curves can be overlaid.
    """

    def __init__(self, tracker: Tracker, folder: RunFolder) -> None:
        """`folder` is that of the search."""
        self._tracker = tracker
        self._folder = folder
        self._final = RunFolder(folder.final)
        self._run = ""
        self._seed_configs: dict[int, dict[str, Any]] = {}
        """By seed, if there are several: the config that each run starts with."""

        self._seed_runs: dict[int, str] = {}
        """By seed: the ids of those that have started."""

    def start(self, request: Request) -> None:
        """To be called once final/ has been cleared or kept: --resume continues the run whose id is stored there."""
        about = {"trial_id": request.trial_id, "train_on": request.train_on, "origin": "final"}
        configs = request.configs()
        if len(configs) > 1:
            self._seed_configs = {config.seed: config.to_dict() | about for config in configs}
        asked = {"seeds": [config.seed for config in configs], "tta": request.tta}
        self._start(request.config.to_dict() | about | asked)

    def reopen(self) -> None:
        """Instead of `start`, to predict with an existing model."""
        self._start({})
        self._tracker.remember(self._run, self._final)

    def _start(self, about: dict[str, Any]) -> None:
        new = tracking.run_ids(self._folder)(f"final-{secrets.token_hex(3)}")  # --overwrite starts another run
        self._run = tracking.recall(self._final) or new
        self._tracker.start(self._run, f"{self._folder.name}-final", "final", about)

    def _run_of(self, seed: int) -> str:
        """The run for the epochs of a seed, started if necessary."""
        if seed not in self._seed_configs:
            return self._run
        if seed not in self._seed_runs:
            self._seed_runs[seed] = f"{self._run}-seed{seed}"
            name = f"{self._folder.name}-final-seed{seed}"
            self._tracker.start(self._seed_runs[seed], name, "final-seed", self._seed_configs[seed])
        return self._seed_runs[seed]

    def log_epoch(self, result: EpochResult) -> None:
        metrics = {name: getattr(result, name, None) for name in LOGGED}
        losses = tracking.thinned(result.batch_loss, BATCH_LOSS_POINTS)
        rows = tracking.epoch_rows(metrics, losses, len(result.batch_loss))
        self._tracker.log(self._run_of(result.training.config.seed), rows)
        self._tracker.remember(self._run, self._final)  # not earlier: an empty final/ holds nothing to resume

    def log_test(self, metrics: dict[str, Any], model: Path) -> None:
        """`metrics` as in metrics.json; its results become the run's summary."""
        also = ("train_s", "over_seeds")
        results = {name: value for name, value in metrics.items() if name.startswith("test_") or name in also}
        self._tracker.summarise(self._run, results)
        for row in metrics.get("each_seed", ()):
            own = {name: value for name, value in row.items() if name.startswith("test_")}
            self._tracker.summarise(self._run_of(row["seed"]), own)
        self._tracker.log_artifact(self._run, f"{self._folder.name}-model", "model", [model])

    def log_predictions(self, submission: Path) -> None:
        """Also logs how it was predicted, from metrics.json, if that exists."""
        self._tracker.log_artifact(self._run, f"{self._folder.name}-ood", "predictions", [submission])
        if (self._final.path / "metrics.json").is_file():
            self._tracker.summarise(self._run, {"ood": self._final.read_json("metrics.json").get("ood")})

    def end(self, tag: str) -> None:
        """Ends all runs. Anything logged afterwards is dropped."""
        for run in (*self._seed_runs.values(), self._run):
            self._tracker.end(run, tag)


@contextmanager
def tracked(mode: WandbMode, settings: Settings, folder: RunFolder, say: Callable[[str], None]) -> Iterator[FinalRun]:
    """Logs the final training in the block, and ends its runs with a tag for how the block ended."""
    with tracking.opened(mode, settings, folder, say) as tracker:
        run = FinalRun(tracker, folder)
        try:
            yield run
        except KeyboardInterrupt:
            run.end("interrupted")
            raise
        except BaseException:
            run.end("failed")
            raise
        run.end("finished")
    if mode == "offline":
        say(f"W&B, kept offline: {tracking.sync_command(folder)}")
