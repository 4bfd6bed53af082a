"""The identity of a run: a hash of all settings that can change its numbers."""

import hashlib
import json
from pathlib import Path

from lnbench.config.run import RunConfig
from lnbench.core.names import plain_name

ID_LENGTH = 12
PROTOCOL = 2
"""Version of the way runs are made. It is raised, with a line in CHANGELOG.md, when the numbers of a run may change.
Records of another protocol are listed and loaded, but they never stand for a run of this protocol. They are not
averaged or paired with such runs either."""


def run_id(config: RunConfig) -> str:
    """12 hexadecimal digits, equal for two configurations exactly when their runs give equal numbers."""
    canonical = json.dumps({"protocol": PROTOCOL, **config.identity()}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:ID_LENGTH]


def run_dir(config: RunConfig) -> Path:
    """The run's folder: task, model and method, then the run's id."""
    groups = map(plain_name, (config.task.name, config.model.name, config.method_name))
    return config.runs_dir.joinpath(*groups, run_id(config))
