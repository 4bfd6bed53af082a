import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import matthews_corrcoef

from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.tasks.sequence_classification import SequenceClassification
from tests.tasks.builders import films, new_task, new_tokenizer

pytestmark = pytest.mark.usefixtures("both_ways")


def clean(rows: list[dict[str, Any]], task: SequenceClassification | None = None) -> pd.DataFrame:
    return (task or new_task()).clean(pd.DataFrame(rows), "films, split 'train'")


@pytest.mark.parametrize("labels", [["good", "bad"], [1, 0], ["1", "0"]])
def test_labels_may_be_names_or_places(labels: list[Any]) -> None:
    rows = [{"text": "a", "label": labels[0], "more": 1}, {"text": "b", "label": labels[1], "more": 2}]
    frame = clean(rows)
    assert frame.to_dict("list") == {"text": ["a", "b"], "label": [1, 0]}
    assert frame["label"].dtype == np.int64


def test_truth_values_are_labels_too() -> None:
    assert clean([{"text": "a", "label": True}, {"text": "b", "label": False}], new_task(labels=["False", "True"]))[
        "label"
    ].tolist() == [1, 0]


def test_names_that_are_numbers_are_never_taken_for_places() -> None:
    task = new_task(labels=["1", "2"])
    assert clean(films(("a", 2), ("b", 1)), task)["label"].tolist() == [1, 0]
    with pytest.raises(DataError, match="row 2: label = 0"):
        clean(films(("a", 1), ("b", 0), ("c", 2)), task)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a"}], "films, split 'train': has no column 'label'; it has: text"),
        (films(("a", 0), (" \n", 1)), "split 'train', row 2: text = ' \\\\n'; must be a text that is not empty"),
        (films(("a", 0), ("b", 1), (math.nan, 1)), "row 3: text = nan; must be a text"),  # type: ignore[arg-type]
        (films(("a", 0), (7, 1)), "row 2: text = 7; must be a text"),  # type: ignore[arg-type]
        (films(("a", 0), ("b", "fine")), "row 2: label = 'fine'; must be one of bad, good, or a number from 0"),
        (films(("a", 0), ("b", 1), ("c", 2)), "row 3: label = 2; must be one of bad, good"),
        (films(("a", 0), ("b", -1)), "row 2: label = -1; must be one of bad, good"),
        (films(("a", 0), ("b", None)), "row 2: label = nan; must be one of bad, good"),  # type: ignore[arg-type]
        (films(("a", 0), ("b", 0)), "'label' has fewer than two of the labels bad, good"),
    ],
)
def test_rows_that_cannot_be_used_are_named(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        clean(rows)


def test_rows_to_skip_are_left_out_and_still_counted() -> None:
    task = new_task(skip=["-1"], skip_empty=True)
    rows = films(("a", -1), ("", 0), ("b", 0), ("c", 1))
    assert clean(rows, task)["text"].tolist() == ["b", "c"]
    with pytest.raises(DataError, match="row 5: label = 5"):
        clean([*rows, *films(("d", 5))], task)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "f1"}, "task.metric = 'f1': .*'accuracy', 'macro_f1' or 'mcc'"),
        ({"mode": "min"}, "task.mode = 'min': .*'max'"),
        ({"labels": ["a", "a"]}, "task.labels .*must not name a label twice"),
        ({"labels": ["a"]}, "task.labels"),
        ({"pair": "text"}, "text, pair and label must be different columns, not text, text, label"),
        ({"max_length": 2}, "task.max_length = 2"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new_task(**changes)


def test_keys_of_pairs_need_both_texts_to_be_the_same() -> None:
    task = new_task(pair="other")
    frame = pd.DataFrame({"text": ["A b", "a  B", "a", "a b"], "other": ["c", "C", "b c", "d"]})
    keys = task.group_keys(frame)
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_the_loss_agrees_with_its_definition() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.5], [0.0, 0.0, 4.0]])
    batch = {"labels": torch.tensor([0, 1, 1, 2])}
    expected = -logits.softmax(1)[range(4), batch["labels"]].log().mean()
    torch.testing.assert_close(new_task(labels=["x", "y", "z"]).loss(logits, batch), expected)


def test_scores_agree_with_their_definitions() -> None:
    pairs = [("x", "x"), ("y", "y"), ("x", "y"), ("z", "z")]
    predictions = [{"label": said, "reference": true} for said, true in pairs]
    assert new_task(labels=["x", "y", "z"]).score(predictions) == {
        "accuracy": pytest.approx(3 / 4),
        "macro_f1": pytest.approx((2 / 3 + 2 / 3 + 1) / 3),
        # Gorodkin's R_K: correct 3 of 4; true counts 1, 2, 1 and predicted counts 2, 1, 1.
        "mcc": pytest.approx((3 * 4 - 5) / math.sqrt((16 - 6) * (16 - 6))),
    }


def test_scores_are_in_double_precision() -> None:
    said, true = ["x"] * 200 + ["y"] * 77, ["x"] * 150 + ["y"] * 127
    scores = new_task(labels=["x", "y"]).score(
        [{"label": label, "reference": reference} for label, reference in zip(said, true, strict=True)]
    )
    assert scores["accuracy"] == 227 / 277
    # 150 of x and 77 of y are right; 50 of y were taken for x.
    assert scores["macro_f1"] == pytest.approx((300 / 350 + 154 / 204) / 2, rel=1e-15)
    assert scores["mcc"] == pytest.approx(150 * 77 / math.sqrt(200 * 150 * 127 * 77), rel=1e-15)


def test_a_label_that_nobody_says_and_nothing_has_does_not_count_in_macro_f1() -> None:
    rows = [{"label": "x", "reference": "x"}, {"label": "x", "reference": "y"}]
    assert new_task(labels=["x", "y", "z"]).score(rows)["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize("labels", [["x", "y"], ["x", "y", "z"]])
def test_nothing_correlates_with_a_constant_answer(labels: list[str]) -> None:
    rows = [{"label": "x", "reference": "x"}] * 3 + [{"label": "x", "reference": "y"}]
    swapped = [{"label": row["reference"], "reference": row["label"]} for row in rows]
    assert [new_task(labels=labels).score(some)["mcc"] for some in (rows, swapped, rows[:1])] == [0.0, 0.0, 0.0]


def test_the_correlation_of_many_labels_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    task = new_task(labels=[str(place) for place in range(300)])
    true = rng.integers(0, 200, 2000)
    said = np.where(rng.random(2000) < 0.4, true, rng.integers(100, 300, 2000))
    rows = [{"label": str(one), "reference": str(other)} for one, other in zip(said, true, strict=True)]
    assert task.score(rows)["mcc"] == float(matthews_corrcoef(true, said))


def test_predictions_of_many_labels_have_the_likeliest_ones() -> None:
    task = new_task(labels=[f"label {place}" for place in range(1000)])
    logits = np.zeros((1, 1000), np.float32)
    logits[0, [7, 900]] = 5, 6
    frame = pd.DataFrame({"text": ["a"]})
    (row,) = task.predictions([{"logits": logits[0]}], frame, task.encode(frame, new_tokenizer()))
    assert row["label"] == "label 900"
    assert len(row["probabilities"]) == 100
    assert list(row["probabilities"])[:9] == [f"label {place}" for place in range(9)]
    assert row["probabilities"]["label 900"] == pytest.approx(math.exp(6) / (math.exp(5) + math.exp(6) + 998))
    assert task.readable(row).startswith("label 900  (label 900 0.260, label 7 0.096, ")


def test_the_trivial_answer_is_the_training_splits_most_frequent_label() -> None:
    task = new_task()
    train, test = clean(films(("a", 1), ("b", 1), ("c", 0))), clean(films(("a", 0), ("b", 0), ("c", 0), ("d", 1)))
    assert task.score(task.trivial(train, train))["accuracy"] == pytest.approx(2 / 3)
    assert task.score(task.trivial(train, test))["accuracy"] == 0.25


def test_predictions_name_labels_and_carry_texts_and_references() -> None:
    task, frame = new_task(), clean(films(("a", 1), ("b", 0)))
    logits = [{"logits": np.array([0.0, math.log(3)])}, {"logits": np.array([1e4, -1e4])}]
    assert task.predictions(logits, frame, task.encode(frame, new_tokenizer())) == [
        {
            "input": {"text": "a"},
            "label": "good",
            "probabilities": {"bad": pytest.approx(0.25), "good": pytest.approx(0.75)},
            "reference": "good",
        },
        {"input": {"text": "b"}, "label": "bad", "probabilities": {"bad": 1.0, "good": 0.0}, "reference": "bad"},
    ]


def test_predictions_for_new_texts_have_no_reference() -> None:
    task = new_task()
    frame = task.unlabelled(["a"])
    (prediction,) = task.predictions([{"logits": np.zeros(2)}], frame, task.encode(frame, new_tokenizer()))
    assert "reference" not in prediction
    assert task.readable(prediction) == "bad  (bad 0.500, good 0.500)  a"


def test_new_texts_are_encoded_without_labels() -> None:
    frame = new_task(pair="other").unlabelled(["a\tb", ("c", "d")])
    assert frame[["text", "other"]].to_numpy().tolist() == [["a", "b"], ["c", "d"]]
    assert len(new_task().encode(new_task().unlabelled(["a", "b"]), new_tokenizer())) == 2


@pytest.mark.parametrize(
    ("pair", "text"), [(None, " "), (None, ("a", "b")), ("other", "a"), ("other", ("a", "")), ("other", "a\tb\tc")]
)
def test_new_texts_of_the_wrong_kind_are_named(pair: str | None, text: Any) -> None:
    with pytest.raises(DataError, match="text 2 = "):
        new_task(pair=pair).unlabelled([("a", "b") if pair else "a", text])
