"""Weights & Biases, through Ray's callback."""

from __future__ import annotations

import os
import time
from typing import Any

import ray
import wandb
from ray.air.integrations import wandb as ray_wandb
from ray.tune import Callback

from tune.results import EPOCHS, RunFolder
from tune.search.watchdog import Watchdog
from tune.settings import METRICS, Settings

UPLOAD_TIMEOUT_S = 60
"""How long the end of a search waits for uploads; Ray would wait for half an hour."""

INTERRUPTED_TIMEOUT_S = 4
"""The same when the user waits for the prompt."""

SETTINGS = wandb.Settings(silent=True, console="off")

LOGGED = (*(name for name in EPOCHS.names if name != "trial_id"), "peak_memory_mb")
"""What a run shows over its epochs; `batch_loss` comes beside it, over steps."""


def callbacks(settings: Settings, folder: RunFolder) -> list[Callback]:
    """One W&B run a trial, grouped by the search."""
    if settings.wandb == "disabled":
        return []
    os.environ["WANDB_MODE"] = settings.wandb  # Ray's callback wants a key unless this says offline
    return [
        Wandb(
            project=settings.wandb_project,
            group=settings.name,
            excludes=["trial_id"],
            mode=settings.wandb,
            dir=str(folder.path),
            settings=SETTINGS,
        )
    ]


NOT_INHERITED = {"api_key": "WANDB_API_KEY", "base_url": "WANDB_BASE_URL", "entity": "WANDB_ENTITY"}
"""Settings of W&B, and the environment variables of the command that they come from."""


class WandbActor(ray_wandb._WandbLoggingActor):  # type: ignore[misc]  # Ray ships no types for it
    """Logs under the report's names: `batch_loss` over steps, all else over `epoch`."""

    def run(self) -> None:
        run = wandb.init(*self.args, **self.kwargs)
        run.define_metric("step")
        run.define_metric("batch_loss", step_metric="step")
        run.define_metric("epoch")
        for name in ("train_loss", "val_loss", "train_acc", "val_acc", "val_robust_acc", "lr"):
            run.define_metric(name, step_metric="epoch")
        while True:
            kind, result = self.queue.get()
            if kind == ray_wandb._QueueItem.END:
                break
            losses, steps = result["batch_loss"], result["steps"]
            for point, loss in enumerate(losses, start=1):
                step = (result["epoch"] - 1) * steps + steps * point // len(losses)
                run.log({"batch_loss": loss, "step": step})
            measured = {name: result[name] for name in LOGGED if result.get(name) is not None}
            if result["diverged"]:
                for name in METRICS:  # verdicts for the searchers, not measurements
                    del measured[name]
            run.log(measured)
        run.finish()


class Wandb(ray_wandb.WandbLoggerCallback):  # type: ignore[misc]
    """Ray's callback with that actor, and with run ids that a resumed search finds again."""

    _logger_actor_cls = WandbActor
    _remote_logger_class: Any

    def _start_logging_actor(self, trial: Any, exclude_results: list[str], **init: Any) -> None:
        trial_id = trial.config["trial_id"]
        if self._remote_logger_class is None:
            # Ray's own would put the key into a runtime environment, and so into a log of Ray's; the logger
            # inherits it from us. It would also restart for ever, and Ray prints an error about that.
            self._remote_logger_class = ray.remote(num_cpus=0, **ray_wandb._force_on_current_node())(WandbActor)
        # Of the same id as before a crash: W&B goes on with that run, and `wandb sync` joins their offline files.
        init |= {"id": f"{self.group}-{trial_id}", "name": str(trial), "resume": "allow"}
        # On a cluster it inherits nothing of ours. Only here: Tune writes what the callback itself holds to a file.
        ours = {name: os.environ[variable] for name, variable in NOT_INHERITED.items() if os.environ.get(variable)}
        init["settings"] = SETTINGS.model_copy(update=ours)
        super()._start_logging_actor(trial, exclude_results, **init)

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        if trial in self._trial_queues:  # else it failed before it started
            super().log_trial_end(trial, failed)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        # Ray does not end the loggers of trials that a time budget or the user ended, and would wait for them.
        for trial in self._trial_queues:
            self._signal_logging_actor_stop(trial)
        # Second by second, so that an interrupt shortens it.
        deadline = time.monotonic() + UPLOAD_TIMEOUT_S
        while self._trial_logging_futures and not Watchdog.interrupted and time.monotonic() < deadline:
            self._cleanup_logging_actors(timeout=1)
        self._cleanup_logging_actors(timeout=INTERRUPTED_TIMEOUT_S, kill_on_timeout=True)
