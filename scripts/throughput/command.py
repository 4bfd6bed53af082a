"""What the command lines of benchmarks do around their measurements."""

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers.utils import logging

from lnbench.core.atomic_files import write_atomically
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError

Report = dict[str, Any]


def carry_out(
    bench: Callable[[argparse.Namespace, Path], Report], show: Callable[[Report], None], options: argparse.Namespace
) -> None:
    """Measures, shows the numbers, and saves them if asked.

    Args:
        bench: from the options, and a folder that is gone afterwards, to the numbers as JSON values.
        show: prints them.
        options: among them `save`, the file for the numbers or None.

    Raises:
        SystemExit: what was asked for cannot be measured.
    """
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = bench(options, Path(folder))
    except (ConfigError, DataError) as error:
        sys.exit(str(error))
    show(report)
    if options.save:
        write_atomically(options.save, json.dumps(report, indent=2) + "\n")
