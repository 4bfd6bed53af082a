import math
from typing import Any

import pytest

from lnbench.records.baseline import footnote, note_on
from lnbench.records.record import Selection
from tests.records.builders import new_record

MAX, MIN = (Selection(metric="m", mode=mode, score=0.0) for mode in ("max", "min"))


@pytest.mark.parametrize(
    ("selection", "validation", "test", "splits"),
    [
        (MAX, 0.6, 0.6, ()),
        (MAX, 0.6, 0.5, ("test",)),
        (MAX, 0.4, 0.6, ("validation",)),
        (MAX, 0.5 + 1e-8, math.nan, ("validation", "test")),
        (MIN, 0.4, 0.4, ()),
        (MIN, 0.6, 0.4, ("validation",)),
    ],
)
def test_a_run_is_compared_with_its_baseline_on_each_split(
    selection: Selection, validation: float, test: float, splits: tuple[str, ...]
) -> None:
    metrics = {"validation": {"m": validation}, "test": {"m": test}}
    baseline = {split: {"m": 0.5} for split in ("train", *metrics)}
    assert new_record(selection=selection, metrics=metrics, baseline=baseline).no_better == splits


@pytest.mark.parametrize("baseline", [{}, {"test": {}}, {"test": {"other": 1.0}}])
def test_without_a_baseline_nothing_is_said(baseline: dict[str, Any]) -> None:
    record = new_record(baseline=baseline)
    assert (record.no_better, note_on(record)) == ((), "")


def test_a_correlation_of_nothing_is_no_better_than_that_of_the_majority() -> None:
    metrics = {"validation": {"mcc": 0.1}, "test": {"mcc": 0.0}}
    selection = Selection(metric="mcc", mode="max", score=0.1)
    record = new_record(
        selection=selection, metrics=metrics, baseline={"test": {"mcc": 0.0}}, baseline_name="majority baseline"
    )
    assert note_on(record) == "no better than the majority baseline on test"


def test_the_footnote_names_each_baseline_once() -> None:
    names = ["majority baseline", "input-free baseline", "majority baseline"]
    assert footnote(names).startswith("† no better than the input-free baseline or the majority baseline on ")
