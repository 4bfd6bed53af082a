"""`python -m lnbench.roles model=FOLDER` finds the role table of an architecture, and says what a person must decide.

It builds a small model from the configuration alone, with random weights, and looks at what its parts compute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lnbench.backbone.config import ModelConfig
from lnbench.config.compose import compose_config, to_plain
from lnbench.core.config_folders import config_dir
from lnbench.core.packages import require_tuning
from lnbench.core.schema import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

DESCRIPTION = """Finds the parts of a transformer: its blocks, linear maps and norms.

It builds a small model of the architecture with random weights, makes forward passes, and observes what each part
reads and changes. Names do not count. It prints what a text passes, in order, and the table of roles for
lnbench/backbone/tables.py. Each line is marked as sure, or as not sure, with what a person must decide."""
EPILOG = """examples:
  python -m lnbench.roles model=gpt2                a name in conf/model
  python -m lnbench.roles model=FOLDER              a folder with config.json; weights are not needed
  python -m lnbench.roles model=USER/NAME           a model on the hub
"""


def main() -> None:
    """Entry point of `python -m lnbench.roles`."""
    parser = argparse.ArgumentParser(
        prog="python -m lnbench.roles",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="model=NAME_OR_FOLDER", help="a name in conf/model, a folder, or a hub id")
    word = parser.parse_args().model
    key, _, name = word.partition("=")
    if key != "model" or not name:
        parser.error(f"{word!r}: type model=NAME_OR_FOLDER")
    try:
        require_tuning()
        print(report(_config(name)))
    except ConfigError as error:
        sys.exit(str(error))


def report(config: PreTrainedConfig) -> str:
    """What is found in an architecture, as text.

    Raises:
        ConfigError: no role table can be of it.
    """
    from transformers.utils import logging

    from lnbench.backbone.trace.roles import find_roles
    from lnbench.backbone.trace.written import as_table, told

    logging.set_verbosity_error()
    found = find_roles(config)
    sure = sum(not finding.doubt for finding in found.values())
    note = "One with other switches may have its norms elsewhere: look at one of each kind."
    count = f"{sure} of {len(found)} fields are sure. The table is of this configuration."
    return "\n\n".join([f"{config.model_type}", told(found), as_table(config.model_type, found), f"{count}\n{note}"])


def _config(name: str) -> PreTrainedConfig:
    from lnbench.backbone.loading import stated_config

    if (config_dir() / "model" / f"{name}.yaml").is_file():
        return stated_config(ModelConfig(**to_plain(compose_config(f"model={name}"))["model"]))
    looks_local = name.startswith((".", "/", "~")) or name.count("/") != 1
    if looks_local and not Path(name).expanduser().is_dir():
        names = ", ".join(sorted(file.stem for file in (config_dir() / "model").glob("*.yaml")))
        raise ConfigError(f"model = {name!r}: there is no such folder, and no such name; known names: {names}")
    return stated_config(ModelConfig(name="traced", source=name, pooling="mean"))


if __name__ == "__main__":
    main()
