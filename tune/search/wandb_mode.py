"""Where W&B's runs go: apart from `tracking`, as it is asked for before Ray's callback needs to be imported."""

from __future__ import annotations

import os
from typing import Literal

Mode = Literal["online", "offline", "disabled"]


def check_project(name: str) -> None:
    """ValueError if W&B would refuse the name, which it does when trials run."""
    if not name or len(name) > 128 or not name.isprintable() or set(name) & set("/\\#?%:"):
        raise ValueError(
            f"--wandb-project is {name!r}; it must be a name of at most 128 characters without any of / \\ # ? % and :."
        )


def resolve(mode: Literal["auto", "online", "offline", "disabled"]) -> Mode:
    """`auto` is WANDB_MODE, or online where a key is at hand, else offline.

    ValueError if online is asked for without a key.
    """
    if mode == "auto" and os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        mode = "offline" if os.environ["WANDB_MODE"] == "offline" else "disabled"
    if mode in ("offline", "disabled"):
        return mode
    import wandb  # half a second

    os.environ["WANDB_SILENT"] = "true"
    has_key = wandb.login(prompt=False, verify=False)
    if mode == "online" and not has_key:
        raise ValueError("--wandb online needs a key: run `wandb login`, set WANDB_API_KEY, or use --wandb offline.")
    return "online" if has_key else "offline"
