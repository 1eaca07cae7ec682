"""Which configuration won."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tune.results import Row, config_of
from tune.settings import METRICS


def choose(rows: Iterable[Row], metric: str) -> dict[str, Any]:
    """The content of best.json, or {} if no trial has a result.

    Whole trials are compared by the metric after their last epoch, which is where finalize takes its model from:
    the best of all epochs would reward noise. Without a whole trial the one that was let go furthest wins.
    """
    judged = [row for row in rows if row["status"] not in ("diverged", "failed") and row.get(metric) is not None]
    whole = [row for row in judged if row["status"] == "finished"]
    if not judged:
        return {}
    # Of equals the one proposed first: the rows come in the order in which Ray has started them.
    best = min(whole or judged, key=lambda row: (-row["epochs"], -row[metric], row["trial_id"]))
    if whole:
        how = f"the highest {metric} after the last epoch, among {len(whole)} finished trials"
    else:
        how = f"no trial finished; the highest {metric} among those that were trained longest"
    return {
        "trial_id": best["trial_id"],
        "origin": best["origin"],
        "chosen": how,
        **{name: best.get(name) for name in METRICS},
        "val_loss": best["val_loss"],
        "train_acc": best["train_acc"],
        "epochs": best["epochs"],
        "config": config_of(best).to_dict(),
    }
