"""Whether W&B runs go online, into local files, or nowhere."""

from __future__ import annotations

import os
from typing import Literal

from tune.settings import Settings, WandbMode

Asked = Literal["auto", "online", "offline", "disabled"]


def check_project(name: str) -> None:
    """ValueError for a name that W&B would refuse, which it does only once trials run."""
    if not name or len(name) > 128 or not name.isprintable() or set(name) & set("/\\#?%:"):
        raise ValueError(
            f"--wandb-project is {name!r}; it must be a name of at most 128 characters without any of / \\ # ? % and :."
        )


def of_run(settings: Settings, asked: Asked | None) -> WandbMode:
    """The mode for a run whose search had these settings: by default the search's own.

    Online only if there is a key here as well. ValueError as in `resolve`.
    """
    if asked is None:
        asked = "auto" if settings.wandb == "online" else settings.wandb
    return resolve(asked)


def resolve(mode: Asked) -> WandbMode:
    """Resolves `auto`: WANDB_MODE if it is offline or disabled, else online if there is a key, else offline.

    ValueError if online is asked for without a key.
    """
    if mode == "auto" and os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        mode = "offline" if os.environ["WANDB_MODE"] == "offline" else "disabled"
    if mode in ("offline", "disabled"):
        return mode
    if mode == "online":
        # The option wins over the variable: with that at offline, login finds no key.
        os.environ.pop("WANDB_MODE", None)
    import wandb  # takes half a second

    os.environ["WANDB_SILENT"] = "true"
    has_key = wandb.login(prompt=False, verify=False)
    if mode == "online" and not has_key:
        raise ValueError("--wandb online needs a key: run `wandb login`, set WANDB_API_KEY, or use --wandb offline.")
    return "online" if has_key else "offline"
