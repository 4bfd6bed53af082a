"""Marks runs that are no better than their input-free baseline."""

from collections.abc import Iterable

from lnbench.records.record import Record

MARK = "†"


def marked(text: str, no_better: bool) -> str:
    """Adds the mark to a text about a run, or about several, if they are no better than the baseline."""
    return f"{text} {MARK}" if no_better else text


def footnote(names: Iterable[str]) -> str:
    """Explains the mark.

    Args:
        names: names of the marked runs' baselines.
    """
    return f"{MARK} {no_better_than(*names)} on the test or the validation split; that baseline ignores the input."


def no_better_than(*names: str) -> str:
    """The words `no better than` with the names of some baselines."""
    return f"no better than the {' or the '.join(sorted(set(names)))}"


def note_on(record: Record) -> str:
    """A sentence on the splits where a run is no better than its baseline; empty if there are none."""
    return f"{no_better_than(record.baseline_name)} on {' and '.join(record.no_better)}" if record.no_better else ""
