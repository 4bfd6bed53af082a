"""Finds differences between the runs of several folders that are not settings: versions and hardware."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from lnbench.records.record import Record
from lnbench.report.load import Loaded, hardware_of

IGNORED = ("lnbench",)
"""Packages whose version cannot change a number within one protocol."""


def other_circumstances(loaded: Loaded) -> Iterator[str]:
    """One line for each version, and one for the hardware, that is not the same in all folders of runs."""
    found: dict[str, dict[Path, set[str]]] = defaultdict(lambda: defaultdict(set))
    for place, records in loaded.by_place().items():
        for record in records:
            for name, value in _circumstances(record):
                found[name][place].add(value)
    for name, values in found.items():
        if len({frozenset(value) for value in values.values()}) > 1:
            told = "; ".join(f"{place}: {', '.join(sorted(value))}" for place, value in values.items())
            yield f"{name} differs, so {_effect(name)}: {told}"


def _circumstances(record: Record) -> Iterator[tuple[str, str]]:
    for package, version in sorted(record.versions.items()):
        if package not in IGNORED:
            yield package, version
    yield "hardware", hardware_of(record)


def _effect(name: str) -> str:
    return "times cannot be compared and scores only to rounding" if name == "hardware" else "last digits may differ"
