"""Labels in one form, whatever file and type they come in, and what is odd about them."""

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import PreTrainedTokenizerFast

from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.tasks.data.load import TaskData, load_data
from lnbench.tasks.parts.labels import label_name, label_names, look_alikes
from lnbench.tasks.token_classification import TokenClassification
from tests.tasks.builders import Rows, films, new_task
from tests.tasks.conftest import Writer


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["pos", " pos", "pos ", "\tpos\u00a0"], "pos"),
        ([1, 1.0, "1", "1.0", " 1 ", "+1", "1.", np.int64(1), np.float32(1), Decimal("1.0")], "1"),
        ([0, -0.0, "0", "-0", "0.00", "-0.0"], "0"),
        ([-1, "-1", "-1.0"], "-1"),
        ([0.1, np.float32(0.1), "0.1", ".1", "0.10"], "0.1"),
        ([1e22, "10000000000000000000000", "10000000000000000000000.0"], "10000000000000000000000"),
        ([True, np.bool_(True), "True", "true", "TRUE "], "True"),
        ([False, "false"], "False"),
        (["007"], "007"),
        (["1e3", "1E+3", "10.0e02", 1e3, 1000], "1000"),
        (["1e0", "1"], "1"),
        (["1e-05", 1e-05, "0.00001", "1.0E-5", np.float32(1e-05)], "0.00001"),
        (["-0e9"], "0"),
        (["1e1000"], "1e1000"),
        (["01e3"], "01e3"),
        (["1e"], "1e"),
        (["Pos"], "Pos"),
        (["not  equivalent"], "not  equivalent"),
        (["1" * 40 + ".0"], "1" * 40),
    ],
)
def test_equal_values_have_one_name(values: list[Any], name: str) -> None:
    assert [label_name(value) for value in values] == [name] * len(values)


@pytest.mark.parametrize("value", [1, -7, 0.1, 2.5, 1e22, 1e-7, True, "x", "1.10", "007", "tRue"])
def test_a_name_is_its_own_name(value: Any) -> None:
    assert label_name(label_name(value)) == label_name(value)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pd.Series([1, 2, None]), ["1", "2", "nan"]),
        (pd.Series(np.array([0.1, 2], np.float32)), ["0.1", "2"]),
        (pd.Series([True, False]), ["True", "False"]),
        (pd.Series([" a", "b"], dtype="category"), ["a", "b"]),
        (pd.Series([" a", "b"], dtype="str"), ["a", "b"]),
        (pd.Series([2**53 + 1, None], dtype="Int64"), ["9007199254740993", "<NA>"]),
    ],
)
def test_a_columns_type_does_not_matter(values: pd.Series, names: list[str]) -> None:
    assert label_names(values).tolist() == names


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["good", "bad"], []),
        (["Good", "good", "bad"], ["'Good', 'good'"]),
        (["not equal", "not  equal", "notequal"], ["'not equal', 'not  equal', 'notequal'"]),
        (["caf\u00e9", "cafe\u0301"], ["'café', 'cafe\u0301'"]),
        (["a\u200b", "a"], ["'a\\u200b', 'a'"]),
        (["7", "007"], ["'7', '007'"]),
        (["1", "-1", "10", "0"], []),
    ],
)
def test_labels_that_look_alike_are_named(names: list[str], groups: list[str]) -> None:
    notes = look_alikes(names)
    assert len(notes) == len(groups)
    assert all(note.startswith(f"the labels {group} look alike") for note, group in zip(notes, groups, strict=True))


def resolved(root: Path, **changes: Any) -> Any:
    return new_task(labels=[], **changes).resolved(root)


def load(root: Path, tokenizer: PreTrainedTokenizerFast, **changes: Any) -> TaskData:
    return load_data(resolved(root, **changes), tokenizer, root, root / "cache")


def numbered(*labels: Any) -> Rows:
    return films(*((f"a {number}", label) for number, label in enumerate(labels)))


def test_spellings_of_a_label_are_one_class_in_all_splits_and_counted(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(
        train=numbered("pos", "pos ", " pos", "neg"), validation=numbered("neg ", "pos"), test=numbered("neg", "\npos")
    )
    assert resolved(root).labels == ["neg", "pos"]
    loaded = load(root, tokenizer)
    assert loaded.train.labels.tolist() == [1, 1, 1, 0]
    assert loaded.warnings["train"] == ["column 'label' writes 2 labels in another form, such as 'pos ' for 'pos'"]
    assert loaded.warnings["validation"][0].startswith("column 'label' writes 1 label in another form")
    assert loaded.warnings["test"][0].startswith("column 'label' writes 1 label in another form")


def test_a_number_is_one_class_whichever_file_and_type_it_comes_in(
    write_root: Writer, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(train=numbered("1", "2.0", "1.0", "2"), validation=numbered(1, 2))
    (root / "films" / "test.csv").write_text("text,label\na,1.0\nb,2\n")
    loaded = load(root, tokenizer)
    assert resolved(root).labels == ["1", "2"]
    assert [rows.labels.tolist() for rows in loaded.splits.values()] == [[0, 1, 0, 1], [0, 1], [0, 1]]


def test_labels_that_differ_in_case_are_named_before_training(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(
        **dict.fromkeys(("train", "validation", "test"), numbered("Pos", "pos", "neg", "neg", "neg", "Pos"))
    )
    loaded = load(root, tokenizer)
    assert "the labels 'Pos', 'pos' look alike and are different classes" in loaded.warnings["train"][0]


def test_a_class_without_training_rows_is_named(write_root: Writer, tokenizer: PreTrainedTokenizerFast) -> None:
    root = write_root(train=numbered("a", "b"), validation=numbered("a", "c"), test=numbered("c", "c", "a"))
    loaded = load_data(new_task(labels=["a", "b", "c"]), tokenizer, root, root / "cache")
    assert "nothing is labelled 'c' here (1 in validation, 2 in test), so that cannot be learned" in "".join(
        loaded.warnings["train"]
    )


def test_a_type_of_entity_without_training_rows_and_tags_with_white_space_are_named(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows: Rows = [{"tokens": ["a", "b"], "tags": ["B-PER ", "O"]}]
    root = write_root(train=rows, validation=rows, test=[{"tokens": ["c"], "tags": ["B-LOC"]}])
    task = TokenClassification(
        **{**new_task().model_dump(include={"name"}), "source": new_task().source, "splits": new_task().splits},
        metric="f1",
        mode="max",
        tokens="tokens",
        tags="tags",
        labels=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    )
    warnings = load_data(task, tokenizer, root, root / "cache").warnings
    assert warnings["train"] == [
        "column 'tags' writes 1 label in another form, such as 'B-PER ' for 'B-PER'",
        "nothing is labelled 'LOC' here (0 in validation, 1 in test), so that cannot be learned",
    ]


def test_labels_given_and_skipped_are_compared_in_the_same_form(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(**dict.fromkeys(("train", "validation", "test"), numbered("true", "FALSE", "-1.0")))
    loaded = load_data(new_task(labels=["False", "True"], skip=["-1"]), tokenizer, root, root / "cache")
    assert loaded.train.labels.tolist() == [1, 0]
    with pytest.raises(ConfigError, match="must not name a label twice"):
        new_task(labels=["1", "1.0"])


def test_an_empty_text_is_refused_with_the_setting_that_skips_it_and_counted_when_skipped(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    whole = numbered("a", "b")
    root = write_root(train=[*whole, {"text": " ", "label": "a"}], validation=whole, test=whole)
    with pytest.raises(DataError, match=r"row 3: text = ' '; must be a text that is not empty; task.skip_empty=true"):
        load(root, tokenizer)
    assert load(root, tokenizer, skip_empty=True).warnings["train"] == [
        "left out: 1 row without a text, as task.skip_empty says"
    ]


def test_only_rows_without_a_text_are_skipped(write_root: Writer, tokenizer: PreTrainedTokenizerFast) -> None:
    whole = numbered("a", "b")
    root = write_root(
        train=[*whole, {"text": None, "label": "a"}, {"text": 7, "label": "b"}], validation=whole, test=whole
    )
    with pytest.raises(DataError, match=r"row 4: text = 7.*; must be a text$"):
        load(root, tokenizer, skip_empty=True)


def test_a_number_with_an_exponent_is_one_class_in_all_splits(
    write_root: Writer, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(train=numbered(1e-05, 1, 1e-05), validation=numbered("1e-05", "1"), test=numbered("1e0", 1e-5))
    assert resolved(root).labels == ["0.00001", "1"]
    loaded = load(root, tokenizer)
    assert [rows.labels.tolist() for rows in loaded.splits.values()] == [[0, 1, 0], [0, 1], [1, 0]]


def test_large_whole_numbers_are_in_order_whatever_python_hashes(write_root: Writer) -> None:
    large = [2**60 + place for place in range(6)]
    assert resolved(write_root(train=numbered(*large, *large))).labels == [str(number) for number in large]


@pytest.mark.parametrize("label", [b"pos", [1], {"a": 1}, np.array([0, 1]), None, math.nan, " "])
def test_what_is_neither_text_nor_number_nor_truth_value_is_no_label(label: Any) -> None:
    frame = pd.DataFrame({"text": ["a", "b", "c", "d"], "label": ["pos", "neg", label, label]})
    with pytest.raises(DataError, match=r"^films, row 3: label = .*; must be a label: a text, a number, true or f"):
        new_task(labels=[])._labels_in(frame, "films")
    with pytest.raises(DataError, match=r"^films, row 3: label = .*; must be one of pos, neg, or a number from 0"):
        new_task(labels=["pos", "neg"]).clean(frame, "films")


@pytest.mark.parametrize(
    ("labels", "allowed"),
    [
        (["bad", "good"], "one of bad, good, or a number from 0 (bad) to 1 (good)"),
        (["1", "2"], "one of 1, 2"),
    ],
)
def test_an_unknown_label_is_refused_with_what_is_allowed(labels: list[str], allowed: str) -> None:
    with pytest.raises(DataError) as caught:
        new_task(labels=labels).clean(pd.DataFrame(numbered(*labels, "x")), "films")
    assert str(caught.value) == f"films, row 3: label = 'x'; must be {allowed}"


@pytest.mark.parametrize("column", ["self", "cls", "frame", "index"])
def test_a_column_may_have_any_name(write_root: Writer, tokenizer: PreTrainedTokenizerFast, column: str) -> None:
    rows = [{"text": row["text"], column: row["label"]} for row in numbered("a", "b")]
    root = write_root(**dict.fromkeys(("train", "validation", "test"), rows))
    loaded = load_data(new_task(labels=["a", "b"], label=column), tokenizer, root, root / "cache")
    assert loaded.train.labels.tolist() == [0, 1]


def test_not_a_number_is_never_a_label() -> None:
    with pytest.raises(DataError, match="row 2: label = nan; must be one of a, b"):
        new_task(labels=["a", "b"]).clean(pd.DataFrame(films(("x", "a"), ("y", math.nan), ("z", "b"))), "films")  # type: ignore[arg-type]
    assert json.loads(json.dumps(label_name(math.inf))) == "inf"
