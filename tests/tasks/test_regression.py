import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError, parse
from lnbench.tasks.regression import Regression
from tests.tasks.builders import new_tokenizer

pytestmark = pytest.mark.usefixtures("both_ways")


def new_task(**changes: Any) -> Regression:
    fields = {"name": "likeness", "source": {"folder": "x"}, "splits": {}, "text": "text", "label": "label"}
    return parse(Regression, {**fields, "low": 0, "high": 5, **changes}, "task")


def clean(*labels: Any, task: Regression | None = None) -> pd.DataFrame:
    return (task or new_task()).clean(pd.DataFrame([{"text": "a", "label": label} for label in labels]), "x, train")


def scored(said: list[float], true: list[float]) -> dict[str, float]:
    return new_task().score([{"label": s, "reference": t} for s, t in zip(said, true, strict=True)])


def test_numbers_may_come_as_numbers_or_as_text() -> None:
    assert clean(2.5, 0, "5", " 1e0 ")["label"].tolist() == [2.5, 0.0, 5.0, 1.0]


@pytest.mark.parametrize("label", [5.1, -0.1, math.nan, None, "", "much", math.inf, [1]])
def test_what_is_no_number_of_the_range_is_named_with_its_row(label: Any) -> None:
    with pytest.raises(
        DataError, match=r"x, train, row 2: label = .*; must be a number from 0 to 5, which are task.low and"
    ):
        clean(1, label)


def test_rows_to_skip_are_left_out() -> None:
    assert clean(-1.0, 3, task=new_task(skip=["-1"]))["label"].tolist() == [3.0]


@pytest.mark.parametrize(("low", "high"), [(5, 0), (1, 1)])
def test_a_range_must_have_a_width(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="low must be less than high"):
        new_task(low=low, high=high)


def test_the_model_learns_the_place_in_the_range_and_predicts_in_the_labels_unit() -> None:
    task = new_task(low=-10, high=30)
    frame = clean(-10, 0, 30, task=task)
    examples = task.encode(frame, new_tokenizer())
    assert examples.labels.tolist() == [0.0, 0.25, 1.0]
    assert examples.labels.dtype == np.float32
    outputs = [{"logits": np.array([place])} for place in examples.labels]
    assert [row["label"] for row in task.predictions(outputs, frame, examples)] == [-10.0, 0.0, 30.0]
    assert [row["reference"] for row in task.predictions(outputs, frame, examples)] == [-10.0, 0.0, 30.0]


@pytest.mark.parametrize("column", ["label", "reference", "input"])
def test_a_text_column_may_be_called_like_an_output(column: str) -> None:
    task = new_task(text=column, label="score", pair="rmse")
    frame = task.clean(pd.DataFrame([{column: "a", "rmse": "b", "score": 3}]), "films")
    outputs = [{"logits": np.ones(1)}]
    (prediction,) = task.predictions(outputs, frame, task.encode(frame, new_tokenizer()))
    assert prediction == {"input": {column: "a", "rmse": "b"}, "label": 5.0, "reference": 3.0}
    assert task.readable(prediction).endswith("  a | b")


def test_the_loss_is_the_mean_squared_error() -> None:
    loss = new_task().loss(torch.tensor([[0.5], [1.0]]), {"labels": torch.tensor([0.0, 0.4])})
    assert loss.item() == pytest.approx((0.25 + 0.36) / 2)


def test_the_head_gives_one_logit() -> None:
    head = new_task().head(4, "mean", 0.0)
    assert head.get_parameter("classifier.weight").shape == (1, 4)
    assert head.get_parameter("classifier.bias").tolist() == [0.5], "the middle of the range"


def test_scores_agree_with_their_definitions() -> None:
    said, true = [0.0, 1.0, 2.0, 5.0], [1.0, 1.5, 4.0, 3.0]
    assert scored(said, true) == {
        "pearson": pytest.approx(np.corrcoef(said, true)[0, 1]),
        "spearman": pytest.approx(0.8),  # 1 - 6 * (1 + 1) / (4 * 15)
        "rmse": pytest.approx(math.sqrt((1 + 0.25 + 4 + 4) / 4)),
    }


def test_scores_are_in_double_precision() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(2.5, 1e-3, 300)
    said = true + rng.normal(0, 1e-3, 300)
    scores = scored(said.tolist(), true.tolist())
    # Ranks of distinct numbers are 1 to n, whose variance is (n^2 - 1) / 12.
    places = [np.argsort(np.argsort(numbers)) for numbers in (said, true)]
    distances = int(((places[0] - places[1]) ** 2).sum())
    assert scores["pearson"] == pytest.approx(np.corrcoef(said, true)[0, 1], rel=1e-13)
    assert scores["spearman"] == pytest.approx(1 - 6 * distances / (300 * (300**2 - 1)), rel=1e-14)
    assert scores["rmse"] == pytest.approx(math.sqrt(np.square(said - true).mean()), rel=1e-14)


@pytest.mark.parametrize(("said", "true"), [([2.0, 2.0], [1.0, 3.0]), ([1.0, 3.0], [2.0, 2.0]), ([1.0], [2.0])])
def test_nothing_correlates_with_a_constant(said: list[float], true: list[float]) -> None:
    scores = scored(said, true)
    assert (scores["pearson"], scores["spearman"]) == (0.0, 0.0)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_number_that_is_not_finite_leaves_no_correlation(broken: float) -> None:
    assert math.isnan(scored([1.0, broken, 2.0], [1.0, 2.0, 3.0])["pearson"])


def test_the_trivial_answer_is_the_mean_of_the_training_split() -> None:
    task = new_task()
    predictions = list(task.trivial(clean(1, 3), clean(0, 5)))
    assert [row["label"] for row in predictions] == [2.0, 2.0]
    assert task.score(predictions)["rmse"] == pytest.approx(math.sqrt((4 + 9) / 2))


def test_numbers_are_shown_in_their_unit() -> None:
    task, frame = new_task(), clean(0, 0.5, 5)
    assert task.balance(frame, task.encode(frame, new_tokenizer())) == {
        "0 to 1": 2, "1 to 2": 0, "2 to 3": 0, "3 to 4": 0, "4 to 5": 1,
    }  # fmt: skip
    assert task.label_texts(np.array(0.5, np.float32)) == ["2.5"]
    assert task.readable({"input": {"text": "a"}, "label": 1.23456}) == "1.235  a"


def test_new_texts_need_no_number() -> None:
    task = new_task()
    frame = task.unlabelled(["a", "b"])
    predictions = task.predictions([{"logits": np.ones(1)}] * 2, frame, task.encode(frame, new_tokenizer()))
    assert predictions == [{"input": {"text": text}, "label": 5.0} for text in "ab"]
