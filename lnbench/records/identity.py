"""What a run is called: its id, a hash of all settings that can change its numbers, its folder, and its title."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnbench.config.run import RunConfig, identity_of_saved
from lnbench.core.names import plain_name

ID_LENGTH = 12
PROTOCOL = 2
"""Version of the way runs are made. It is raised, with a line in CHANGELOG.md, when the numbers of a run may change.
Records of another protocol are listed and loaded, but they never stand for a run of this protocol. They are not
averaged or paired with such runs either."""
BF16 = 2
"""Version of the way runs in bf16 compute. It is raised, with a line in CHANGELOG.md, when the numbers of such a run
may change, and only their ids change then."""


@dataclass(frozen=True)
class Address:
    """The id of a run, and where the run is kept."""

    id: str
    folder: Path
    """Folder of the run: below `runs_dir`, task, model and method, then the id."""
    runs_dir: Path
    """Folder of all runs."""


def address_of(config: RunConfig) -> Address:
    """The address of the run with a configuration."""
    run = run_id(config)
    groups = map(plain_name, (config.task.name, config.model.name, config.method_name))
    return Address(run, config.runs_dir.joinpath(*groups, run), config.runs_dir)


def run_id(config: RunConfig) -> str:
    """12 hexadecimal digits, equal for two configurations exactly when their runs give equal numbers."""
    return _id(config.identity())


def run_dir(config: RunConfig) -> Path:
    """Folder of the run with a configuration."""
    return address_of(config).folder


def id_of_saved(config: Mapping[str, Any]) -> str:
    """`run_id` of a configuration that a run of this protocol has saved.

    Raises:
        ConfigError: the configuration is damaged, or is of another version.
    """
    return _id(identity_of_saved(config))


def title(method: str, task: str, model: str, seed: int | None) -> str:
    """Names a run in one line, for people. The seed is None if a damaged file does not contain it."""
    return f"{method} on {task} with {model}, seed {'?' if seed is None else seed}"


def _id(identity: Mapping[str, Any]) -> str:
    in_bf16 = {"bf16": BF16} if identity["trainer"]["precision"] == "bf16" else {}
    canonical = json.dumps({"protocol": PROTOCOL, **in_bf16, **identity}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:ID_LENGTH]
