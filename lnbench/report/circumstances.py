"""Finds differences between the runs of several folders that are not settings: versions and hardware."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from lnbench.records.record import Record
from lnbench.report.load import Loaded, hardware_of

IGNORED = ("lnbench",)
"""Packages whose version cannot change a number within one protocol."""


def other_circumstances(loaded: Loaded, places: Sequence[Path]) -> Iterator[str]:
    """One line for each version, and one for the hardware, that is not the same in all folders.

    Args:
        loaded: runs of all folders.
        places: the folders. There is nothing to compare in one.
    """
    found: dict[str, dict[Path, set[str]]] = defaultdict(lambda: {place: set() for place in places})
    for record in loaded.records:
        place = next(place for place in places if loaded.folders[record.id].is_relative_to(place))
        for name, value in _circumstances(record):
            found[name][place].add(value)
    for name, values in found.items():
        here = {place: value for place, value in values.items() if value}
        if len(here) > 1 and len({frozenset(value) for value in here.values()}) > 1:
            told = "; ".join(f"{place}: {', '.join(sorted(value))}" for place, value in here.items())
            yield f"{name} differs, so {_effect(name)}: {told}"


def _circumstances(record: Record) -> Iterator[tuple[str, str]]:
    for package, version in sorted(record.versions.items()):
        if package not in IGNORED:
            yield package, version
    yield "hardware", hardware_of(record)


def _effect(name: str) -> str:
    return "times cannot be compared and scores only to rounding" if name == "hardware" else "last digits may differ"
