"""The command `lnbench` (`python -m lnbench`) tunes a model as its configuration says."""

import sys

from lnbench.cli import command_line
from lnbench.config.run import RunConfig
from lnbench.core.errors import INTERRUPTED


def main() -> None:
    """Entry point of `lnbench`."""
    command_line(tune)


def tune(config: RunConfig) -> float:
    """Does one run; returns the validation score that selected its checkpoint."""
    from lnbench.core.interruption import RunInterrupted
    from lnbench.run.lifecycle import run

    try:
        return run(config).score
    except RunInterrupted:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
