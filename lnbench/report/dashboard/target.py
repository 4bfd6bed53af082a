"""The W&B project of a report, and the checks before the report is begun. Importing this module is fast."""

import argparse
import re
from dataclasses import dataclass
from importlib.util import find_spec

NAME = re.compile(r"[^/\\#?%:\s][^/\\#?%:]*")
"""Pattern of the names that W&B allows for entities and projects."""


@dataclass(frozen=True)
class Target:
    """A project at W&B.

    Attributes:
        project: name of the project.
        entity: user or team that owns the project; None for the default entity of the API key.
    """

    project: str
    entity: str | None = None


def target(text: str) -> Target:
    """Reads `PROJECT` or `ENTITY/PROJECT`.

    Raises:
        argparse.ArgumentTypeError: the text has neither form.
    """
    parts = text.split("/")
    if len(parts) > 2 or not all(NAME.fullmatch(part) for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be PROJECT or ENTITY/PROJECT, each without any of / \\ # ? % :"
        )
    *entity, project = parts
    return Target(project, entity[0] if entity else None)


def obstacle() -> str | None:
    """The reason why nothing can be sent to W&B, and the remedy; None if it can."""
    if find_spec("wandb_workspaces") is None:
        return "--wandb: needs the package wandb-workspaces; pip install 'lnbench[wandb]'"
    import wandb

    try:
        ready = wandb.login(prompt=False, verify=False)
    except wandb.Error as error:
        return f"--wandb: {error}; run `wandb login --relogin`, or correct WANDB_API_KEY"
    if ready:
        return None
    mode = wandb.setup().settings.mode
    if mode in ("disabled", "dryrun", "offline"):
        return f"--wandb: W&B is {mode} here; unset WANDB_MODE, or run `wandb online`"
    return "--wandb: there is no W&B API key; run `wandb login`, or set WANDB_API_KEY, and repeat the command"
