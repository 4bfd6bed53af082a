"""How runs are marked that are no better than the best answer that ignores the input."""

from collections.abc import Iterable

from lnbench.records.record import Record

MARK = "†"


def marked(text: str, no_better: bool) -> str:
    """A text about a run, or about several."""
    return f"{text} {MARK}" if no_better else text


def footnote(names: Iterable[str]) -> str:
    """What the mark says.

    Args:
        names: of the baselines of the marked runs.
    """
    return f"{MARK} {no_better_than(*names)} on the test or the validation split; that baseline ignores the input."


def no_better_than(*names: str) -> str:
    """In words."""
    return f"no better than the {' or the '.join(sorted(set(names)))}"


def note_on(record: Record) -> str:
    """That a run is no better than its baseline, and where; empty if it is better everywhere."""
    return f"{no_better_than(record.baseline_name)} on {' and '.join(record.no_better)}" if record.no_better else ""
