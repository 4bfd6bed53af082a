"""The steps around the measurements that all benchmarks share."""

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
    """Measures, shows the numbers, and saves them if asked to.

    Args:
        bench: function from the options and a temporary folder to the numbers, as JSON values.
        show: function that prints the numbers.
        options: options of the command line; `save` is the file for the numbers, or None.

    Raises:
        SystemExit: a requested measurement is not possible.
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
