import math
from statistics import fmean
from typing import get_args

import pytest

from lnbench.tasks.base import Task
from lnbench.tasks.generation import ConditionalGeneration
from lnbench.tasks.question_answering import ExtractiveQA
from lnbench.tasks.regression import Regression
from lnbench.tasks.scores.metric import METRICS, metric_of
from lnbench.tasks.scores.texts import Metric as TextMetric
from lnbench.tasks.scores.texts import score
from lnbench.tasks.sequence_classification import SequenceClassification
from lnbench.tasks.token_classification import TokenClassification


@pytest.mark.parametrize(
    ("name", "value", "written", "difference", "heading"),
    [
        ("accuracy", 0.6667, "66.67%", "-5.00 points", "accuracy (%)"),
        ("macro_f1", 0.5, "50.00%", "-5.00 points", "macro F1 (%)"),
        ("mcc", -0.25, "-0.2500", "-0.0500 MCC", "MCC (-1 to 1)"),
        ("bleu", 0.61, "0.61", "-0.05 BLEU", "BLEU (0 to 100)"),
        ("bleu", 54.9, "54.90", "-0.05 BLEU", "BLEU (0 to 100)"),
        ("ter", 120.0, "120.00", "-0.05 TER", "TER (from 0)"),
        ("nist", 7.5, "7.500", "-0.050 NIST", "NIST (from 0)"),
        ("cider", 1.25, "1.250", "-0.050 CIDEr", "CIDEr (0 to 10)"),
        ("loss", 2.25, "2.2500 nats", "-0.0500 nats", "loss (nats)"),
        ("loss", math.nan, "nan", "-0.0500 nats", "loss (nats)"),
        ("wer", 0.5, "0.5000", "-0.0500 wer", "wer"),
    ],
)
def test_a_score_is_written_in_its_own_unit(
    name: str, value: float, written: str, difference: str, heading: str
) -> None:
    metric = metric_of(name, "min")
    assert (metric.written(value), metric.difference(-0.05), metric.heading) == (written, difference, heading)


def test_an_interval_has_its_unit_once() -> None:
    assert metric_of("bleu", "max").difference(2.1, 1.0, 3.2) == "+2.10 [+1.00, +3.20] BLEU"


@pytest.mark.parametrize(
    "task", [SequenceClassification, Regression, TokenClassification, ExtractiveQA, ConditionalGeneration], ids=str
)
def test_every_metric_that_selects_is_known_with_its_direction(task: type[Task]) -> None:
    names = {name for part in get_args(task.model_fields["metric"].annotation) for name in get_args(part) or [part]}
    assert names <= set(METRICS)
    modes = get_args(task.model_fields["mode"].annotation)
    assert {METRICS[name].mode for name in names} == set(modes)


def test_every_score_of_a_text_is_known_and_lies_in_its_scale() -> None:
    names: list[TextMetric] = list(get_args(TextMetric))
    assert set(names) <= set(METRICS)
    texts, references = ["a cat sat on the mat today", "b c d e f"], [["a cat sat on the mat"], ["x y z"]]
    for name, value in score(names, texts, references).items():
        assert METRICS[name].low <= value <= METRICS[name].high
    for name, value in score(names, texts, [[text] for text in texts]).items():
        meteor = fmean(1 - 0.5 / len(text.split()) ** 3 for text in texts)  # one chunk of n words
        best = {"ter": 0.0, "meteor": meteor}.get(name, METRICS[name].high)
        assert value == pytest.approx(best) or math.isinf(METRICS[name].high)


@pytest.mark.parametrize("metric", ["rmse", "mae of a task of one's own"])
def test_errors_in_the_unit_of_a_label_are_of_its_task_alone(metric: str) -> None:
    assert metric_of(metric).unit_on("stsb") != metric_of(metric).unit_on("sick")


def test_shares_have_one_unit() -> None:
    assert METRICS["accuracy"].unit_on("rte") == METRICS["macro_f1"].unit_on("cb")
    assert METRICS["accuracy"].unit_on("rte") != METRICS["mcc"].unit_on("cola")
