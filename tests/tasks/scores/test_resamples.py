"""The metrics of many test sets at once are those that the scorers give one after the other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from lnbench.config.compose import compose_config, to_plain
from lnbench.tasks.base import TASKS, Task
from lnbench.tasks.scores.resamples import Values

ROWS = 40
RESAMPLES = 25


def task(*overrides: str) -> Task:
    return TASKS.parse(to_plain(compose_config(*overrides, "method=ln"))["task"], "task")


def labels(rng: np.random.Generator, classes: int) -> dict[str, list[Any]]:
    """Labels that are right more often than by chance, and one that is never said."""
    true = rng.integers(classes, size=ROWS)
    said = np.where(rng.random(ROWS) < 0.6, true, rng.integers(classes - 1, size=ROWS))
    return {"answer": said.tolist(), "reference": true.tolist()}


def numbers(rng: np.random.Generator) -> dict[str, list[Any]]:
    """Numbers with ties, as a scale of few steps gives them."""
    true = rng.integers(0, 6, ROWS) / 2
    said = np.round(true + rng.normal(0, 1, ROWS), 1)
    return {"answer": said.tolist(), "reference": true.tolist()}


def tags(rng: np.random.Generator, places: int) -> dict[str, list[Any]]:
    """Sentences of one to eight words, also with I- tags that begin an entity, and some without any entity."""
    lengths = rng.integers(1, 9, ROWS).tolist()
    true = [rng.integers(places if row % 4 else 1, size=length) for row, length in enumerate(lengths)]
    said = [np.where(rng.random(len(row)) < 0.7, row, rng.integers(places, size=len(row))) for row in true]
    return {"answer": [row.tolist() for row in said], "reference": [row.tolist() for row in true]}


def losses(rng: np.random.Generator) -> dict[str, list[Any]]:
    tokens = rng.integers(1, 30, ROWS)
    return {"nll": (tokens * rng.exponential(2, ROWS)).tolist(), "tokens": tokens.tolist()}


def agreement(rng: np.random.Generator) -> dict[str, list[Any]]:
    return {"exact_match": rng.integers(0, 2, ROWS).tolist(), "f1": rng.random(ROWS).tolist()}


Draw = Callable[[np.random.Generator], dict[str, list[Any]]]
FAMILIES: dict[str, tuple[tuple[str, ...], Draw]] = {
    "two labels": (("task=sst2",), lambda rng: labels(rng, 2)),
    "many labels": (("task=sst2", "task.labels=[a,b,c,d,e]"), lambda rng: labels(rng, 5)),
    "numbers": (("task=stsb",), numbers),
    "entities": (("task=conll2004",), lambda rng: tags(rng, 9)),
    "answers": (("task=squad",), agreement),
    "losses": (("task=e2e_nlg",), losses),
}


def taken(values: Mapping[str, Sequence[Any]], rows: Sequence[int]) -> dict[str, list[Any]]:
    return {name: [column[row] for row in rows] for name, column in values.items()}


def scores(family: Task, found: Mapping[str, Sequence[Any]], metric: str, counts: Values) -> Values:
    of_rows = family.row_scores(found, metric)
    together = family.resampled(found, metric, counts) if of_rows is None else counts @ of_rows / counts.sum(axis=1)
    assert together is not None
    return together


@pytest.mark.parametrize("name", FAMILIES)
def test_every_metric_of_the_numbers_is_that_of_the_scorer(name: str) -> None:
    overrides, draw = FAMILIES[name]
    rng, family = np.random.default_rng(0), task(*overrides)
    found = draw(rng)
    drawn = [list(range(ROWS)), *rng.integers(ROWS, size=(RESAMPLES, ROWS)).tolist(), [0] * ROWS]
    counts = np.array([np.bincount(rows, minlength=ROWS) for rows in drawn], np.float64)
    for metric in family.score_numbers(found):
        one_by_one = [family.score_numbers(taken(found, rows))[metric] for rows in drawn]
        assert scores(family, found, metric, counts) == pytest.approx(one_by_one, abs=1e-12), metric
        assert len(set(one_by_one)) > 5, "the test sets differ"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_metric_that_the_numbers_do_not_determine_is_not_known(name: str) -> None:
    overrides, draw = FAMILIES[name]
    family, found = task(*overrides), draw(np.random.default_rng(0))
    assert family.row_scores(found, "bleu") is None
    assert family.resampled(found, "bleu", np.ones((2, ROWS))) is None


def test_answers_that_are_all_equal_have_no_correlation() -> None:
    found = {"answer": [2.7] * ROWS, "reference": numbers(np.random.default_rng(0))["reference"]}
    for metric in ("pearson", "spearman"):
        assert (scores(task("task=stsb"), found, metric, np.ones((1, ROWS))) == 0).all()
    same = {"answer": [1] * ROWS, "reference": labels(np.random.default_rng(0), 2)["reference"]}
    assert (scores(task("task=sst2"), same, "mcc", np.ones((1, ROWS))) == 0).all()


def test_answers_that_are_no_numbers_have_no_scores() -> None:
    found = {"answer": [float("nan"), 1.0], "reference": [1.0, 2.0]}
    assert task("task=stsb").resampled(found, "rmse", np.ones((1, 2))) is None


def test_a_row_without_an_answer_for_each_word_is_refused() -> None:
    found = {"answer": [[0, 1], [0]], "reference": [[0], [0, 1]]}
    with pytest.raises(ValueError, match="a row has not as many answers as references"):
        task("task=conll2004").resampled(found, "f1", np.ones((1, 2)))
