"""This project's search with a driver that dies repeatedly, and continues from its result folder."""

from __future__ import annotations

from collections.abc import Container

from benchmarks.replay.methods import METRIC, RayMethod
from tune.results import RunFolder, Status
from tune.search import history
from tune.search.asha import AshaScheduler
from tune.search.history import History
from tune.search.journal import Journal
from tune.search.proposals import ProposalSearcher, Proposer
from tune.training.config import TrainConfig


class Mortal:
    """A `Method`. Workers outlive the driver here, so only its memory is lost."""

    def __init__(self, proposer: Proposer, begun: History, folder: RunFolder, deaths: Container[int]) -> None:
        """`begun`: what a new search starts from. `deaths`: the total epoch counts at which the driver dies."""
        about = {
            "data_fingerprint": "",
            "weights_sha256": None,
            "started": "",
            "spent_s": 0,
            "repeats_refused": 0,
            "used_up": False,
        }
        folder.write_json("experiment.json", about)
        self.proposer = proposer
        self.folder = folder
        self.deaths = deaths
        self.epochs = 0
        self._live(begun)

    def _live(self, so_far: History) -> None:
        assert so_far.asha is not None
        self.journal = Journal(self.folder, METRIC, so_far)
        searcher = ProposalSearcher(self.proposer, METRIC, so_far.known, so_far.unfinished, self.journal.trial_proposed)
        self.method = RayMethod(searcher, AshaScheduler(so_far.asha))
        for number, (_, config) in sorted(so_far.unfinished.items()):  # for the workers, they never stopped
            assert self._trial(number) == config

    def _trial(self, number: int) -> TrainConfig | None:
        """Gets the next trial from the searcher, which must have this number."""
        trial_id = f"{number:04d}"
        proposal = self.method.suggest(trial_id)
        if proposal is None:
            return None
        assert self.method.trials[trial_id].config["trial_id"] == trial_id
        return proposal[1]

    def suggest(self) -> tuple[str, TrainConfig] | None:
        number = len(self.journal.trials)
        config = self._trial(number)
        return None if config is None else (f"{number:04d}", config)

    def report(self, trial_id: str, epoch: int, value: float) -> bool:
        goes_on = self.method.report(trial_id, epoch, value)
        self._epoch(trial_id, epoch, value, diverged=False)
        if goes_on:
            self._die_if_due()
        return goes_on

    def ended(self, trial_id: str, epoch: int, value: float, status: Status) -> None:
        if status != "stopped":
            self._epoch(trial_id, epoch, value, diverged=status == "diverged")
        self.method.ended(trial_id, epoch, value, status)
        self.journal.trial_ended(trial_id, status, None)
        self._die_if_due()

    def _epoch(self, trial_id: str, epoch: int, value: float, *, diverged: bool) -> None:
        self.epochs += 1
        self.journal.epoch_ended(
            trial_id,
            {
                "epoch": epoch,
                METRIC: None if diverged else value,
                "trained_s": float(epoch),
                "train_loss": 1.0,
                "checkpoint_due": False,
                "micro_batches": 1,
            },
        )

    def _die_if_due(self) -> None:
        if self.epochs in self.deaths:
            self._live(history.load(self.folder, METRIC, ""))
