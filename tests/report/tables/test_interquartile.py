"""The table of interquartile means."""

from collections.abc import Mapping
from typing import Any

import pytest

from lnbench.records.record import Record
from lnbench.report.load import frame
from lnbench.report.tables.formats import to_csv, to_latex, to_markdown
from lnbench.report.tables.interquartile import interquartile_table, normalised
from lnbench.report.tables.table import Table
from tests.report.builders import finished

Scores = Mapping[tuple[str, str], tuple[float, ...]]
SCORES: Scores = {
    ("ln", "rte"): (0.80, 0.82, 0.84),
    ("ln", "cb"): (0.60, 0.62, 0.64),
    ("bitfit", "rte"): (0.72, 0.72, 0.72),
    ("bitfit", "cb"): (0.70, 0.70, 0.70),
}


def runs(scores: Scores, **changes: Any) -> list[Record]:
    return [
        finished(method, task, seed, score, **changes)
        for (method, task), row in scores.items()
        for seed, score in enumerate(row)
    ]


def made(*records: Record) -> Table:
    table = interquartile_table(frame(records), "interquartile-x", "x")
    assert table is not None
    return table


def with_baseline(score: float, metric: str = "accuracy") -> dict[str, Any]:
    return {"baseline": {"test": {metric: score}}}


def test_scores_of_one_unit_have_their_mean_and_without_a_baseline_no_other() -> None:
    table = made(*runs(SCORES))
    assert table.columns == ["method", "accuracy (%)"]
    texts = {row[0].text: row[1].text for row in table.rows}
    assert texts["bitfit"] == "71.00 [71.00, 71.00]"
    assert texts["ln"].startswith("72.00 ["), "0.62, 0.64, 0.80 and 0.82 count, the outer two with half"
    assert len(table.notes) == 2


def test_normalised_scores_go_from_the_baseline_to_the_best_method() -> None:
    records = runs(SCORES, **with_baseline(0.5))
    scaled = frame(records).assign(scaled=normalised(frame(records))).groupby(["variant", "task"])["scaled"].mean()
    expected = {("ln", "rte"): 1.0, ("ln", "cb"): 0.12 / 0.2, ("bitfit", "rte"): 0.22 / 0.32, ("bitfit", "cb"): 1.0}
    assert scaled.to_dict() == pytest.approx(expected)
    table = made(*records)
    assert table.columns == ["method", "accuracy (%)", "normalised (%)"]
    assert [row[2].rank for row in table.rows] == [1, 2]


def test_a_smaller_loss_is_normalised_to_a_larger_score() -> None:
    scores = {("ln", "samsum"): (2.0, 2.0, 2.0), ("bitfit", "samsum"): (3.0, 3.0, 3.0)}
    records = runs(scores, **with_baseline(4.0, "loss"))
    assert normalised(frame(records)).tolist() == pytest.approx([1.0] * 3 + [0.5] * 3)


def test_tasks_of_several_units_meet_only_normalised() -> None:
    mixed = {("ln", "rte"): (0.8, 0.8, 0.8), ("ln", "cola"): (0.4, 0.4, 0.4)}
    records = [
        *runs({place: row for place, row in mixed.items() if place[1] == "rte"}, **with_baseline(0.5)),
        *runs({place: row for place, row in mixed.items() if place[1] == "cola"}, **with_baseline(0.0, "mcc")),
    ]
    table = made(*records)
    assert table.columns == ["method", "normalised (%)"]
    assert [[cell.text for cell in row] for row in table.rows] == [["ln", "100.0 [100.0, 100.0]"]]


def test_a_task_on_which_no_method_beats_the_baseline_has_no_scale() -> None:
    assert made(*runs(SCORES, **with_baseline(0.7))).columns == ["method", "accuracy (%)"]


@pytest.mark.parametrize(
    "scores",
    [
        {place: row[:2] for place, row in SCORES.items()},
        {place: row for place, row in SCORES.items() if place[1] == "rte"},
        {("ln", "rte"): SCORES["ln", "rte"], ("bitfit", "cb"): SCORES["bitfit", "cb"]},
    ],
    ids=["two seeds", "one task", "no method on both tasks"],
)
def test_without_three_seeds_on_several_tasks_there_is_no_table(
    scores: Scores,
) -> None:
    assert interquartile_table(frame(runs(scores, **with_baseline(0.5))), "x", "x") is None


def test_a_method_with_too_few_seeds_is_left_out() -> None:
    table = made(*runs({**SCORES, ("bitfit", "cb"): (0.7, 0.7)}))
    assert [row[0].text for row in table.rows] == ["ln"]


def test_every_format_has_it() -> None:
    table = made(*runs(SCORES, **with_baseline(0.5)))
    assert r"| bitfit | *71.00 \[71.00, 71.00\]* |" in to_markdown(table)
    assert r"bitfit & \underline{71.00 [71.00, 71.00]} &" in to_latex(table)
    lines = to_csv(table).splitlines()
    assert lines[0] == "method,scores,tasks,interquartile_mean,low,high"
    assert len(lines) == 1 + 2 * 2
    assert lines[1].startswith('bitfit,accuracy (%),"cb, rte",0.')
