"""Chooses runs by method, task, model and seed."""

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace

from lnbench.core.schema import ConfigError
from lnbench.methods.base import SEPARATOR, canonical_name
from lnbench.records.foreign import foreign_logs
from lnbench.records.record import Record
from lnbench.report.load import Loaded, told

FILTERS = ("method", "task", "model", "seed")


def add_filter(parser: ArgumentParser) -> None:
    """Adds the option `--filter`, of whose values `filtered` takes the list."""
    parser.add_argument(
        "--filter",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUES",
        help=f"only the runs with one of these values, separated by commas; names: {', '.join(FILTERS)}",
    )


def filtered(loaded: Loaded, filters: Sequence[str]) -> Loaded:
    """The runs that fit every filter.

    Args:
        loaded: all runs.
        filters: filters such as `task=rte,cb`.

    Raises:
        ConfigError: a filter is malformed, no run passes it, or there are no finished runs at all.
    """
    if not loaded.records:
        lines = [f"{loaded.runs_dir}: has no finished runs; python -m lnbench does one", *map(told, loaded.problems)]
        lines += foreign_logs(loaded.runs_dir)
        raise ConfigError("\n  ".join(lines))
    records = loaded.records
    for one in filters:
        name, separator, values = one.partition("=")
        if not separator or name not in FILTERS:
            raise ConfigError(f"--filter {one}: must be NAME=VALUE[,VALUE...] with a name of {', '.join(FILTERS)}")
        wanted = {canonical_name(value.split(SEPARATOR)) for value in values.split(",")}
        known = sorted({_value(record, name) for record in records})
        records = [record for record in records if _value(record, name) in wanted]
        if not records:
            raise ConfigError(f"--filter {one}: no finished run fits; there are {', '.join(known)}")
    return replace(loaded, records=records)


def _value(record: Record, name: str) -> str:
    return str(getattr(record, name))
