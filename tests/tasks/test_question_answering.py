import json
import math
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError, parse
from lnbench.exchange.tuned import load
from lnbench.records.files import PREDICTIONS
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.tasks.data.read import read_splits
from lnbench.tasks.data.source import Source
from lnbench.tasks.data.split import sample
from lnbench.tasks.question_answering import ExtractiveQA
from lnbench.tasks.tokens.examples import Examples
from lnbench.tasks.tokens.windows import NO_ANSWER
from tests.conftest import Configure
from tests.tasks.builders import Rows, new_byte_tokenizer, tokenizer_of
from tests.tasks.conftest import Writer

CONTEXT = "a good film, a bad film"


def new_qa(**changes: Any) -> ExtractiveQA:
    fields = {
        "name": "films",
        "source": {"folder": "films"},
        "splits": {"validation": "validation", "test": "test"},
        "max_length": 16,
        "stride": 4,
    }
    return parse(ExtractiveQA, {**fields, **changes}, "task")


def asked(*answers: tuple[str, int], question: str = "b", context: Any = CONTEXT, **more: Any) -> dict[str, Any]:
    texts, starts = [text for text, _ in answers], [start for _, start in answers]
    return {
        "id": 7,
        "question": question,
        "context": context,
        "answers": {"text": texts, "answer_start": starts},
        **more,
    }


def clean(*rows: Any, task: ExtractiveQA | None = None) -> pd.DataFrame:
    return (task or new_qa()).clean(pd.DataFrame(list(rows)), "films, split 'train'")


def perfect(examples: Examples) -> list[dict[str, NDArray[Any]]]:
    """Logits of a model that has learned the labels, padded as a batch's are."""
    logits = np.zeros((len(examples), examples.lengths.max() + 3, 2), np.float32)
    for side in range(2):
        logits[np.arange(len(examples)), examples.labels[:, side], side] = 10
    return [{"logits": row} for row in logits]


def answered(task: ExtractiveQA, frame: pd.DataFrame, tokenizer: Any, logits: Any = None) -> Rows:
    examples = task.encode(frame, tokenizer)
    outputs = perfect(examples) if logits is None else [{"logits": np.array(row, float)} for row in logits]
    return task.predictions(outputs, frame, examples)


def test_rows_become_plain_and_lose_other_columns() -> None:
    row = asked(("good", 2), ("film", 8), title="x")  # one place off
    row["answers"] = {name: np.array(values, object) for name, values in row["answers"].items()}
    assert clean(row).to_dict("records") == [{**asked(("good", 2), ("film", 7)), "id": "7"}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": 1, "question": "b", "context": "c"}, "films, split 'train': has no column 'answers'"),
        (asked(("good", 2), question=" "), "row 2: question = ' '; must be a text that is not empty"),
        (asked(("good", 2), context=5), "row 2: context = 5; must be a text"),
        (asked(), "row 2: answers = .*; must be .* at least one"),
        (asked(("great", 2)), "row 2: answers = .*'great'.*; must be .* texts that occur in the context"),
    ],
)
def test_rows_that_cannot_be_used_are_named(row: dict[str, Any], message: str) -> None:
    rows = [row] if "answers" not in row else [asked(("good", 2)), row]
    with pytest.raises(DataError, match=message):
        clean(*rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": 16}, "stride = 16: must be less than max_length = 16"),
        ({"metric": "accuracy"}, "task.metric = 'accuracy'"),
        ({"n_best": 0}, "task.n_best = 0"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new_qa(**changes)


def test_questions_about_one_context_stay_together() -> None:
    rows = [
        asked(("film", 7), question="b"),
        asked(("film", 7), question="c", context="A  GOOD film"),
        asked(("bad", 15)),
    ]
    keys = new_qa().group_keys(clean(asked(("film", 7), context="a good film"), *rows))
    assert keys[0] == keys[2]
    assert keys[1] == keys[3] != keys[0]


def test_the_loss_is_the_mean_over_start_and_end_and_blind_to_padding() -> None:
    logits = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(0))
    batch = {"attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]), "labels": torch.tensor([[1, 3], [0, 1]])}
    rows = [(logits[0], (1, 3)), (logits[1, :2], (0, 1))]
    expected = -sum(row.log_softmax(0)[place, side] for row, places in rows for side, place in enumerate(places)) / 4
    torch.testing.assert_close(new_qa().loss(logits, batch), expected)
    logits[1, 2:] = 1e4
    torch.testing.assert_close(new_qa().loss(logits, batch), expected)


def test_the_best_answer_of_all_windows_wins(tokenizer: PreTrainedTokenizerFast) -> None:
    task = new_qa(max_length=8, stride=1)
    frame = clean(asked(("bad film", 15)), asked(("good", 2), question="c"), task=task)
    examples = task.encode(frame, tokenizer)
    assert len(examples) == 4
    assert task.balance(frame, examples) == {"windows with the answer": 2, "windows without": 2}
    assert task.label_texts(examples.labels[1]) == ["from token 5 to token 6"]
    predictions = task.predictions(perfect(examples), frame, examples)
    assert [row["answer"] for row in predictions] == ["bad film", "good"]
    assert task.score(predictions) == {"exact_match": 1.0, "f1": 1.0}


def test_a_prediction_shows_the_three_best_with_their_shares(tokenizer: PreTrainedTokenizerFast) -> None:
    task = new_qa(n_best=4)
    # [CLS] b [SEP] a good film , a bad film [SEP]; the comma is a token, and nothing outside the context counts.
    starts = [50, 50, 50, 0, math.log(6), 0, 0, 0, math.log(2), 0, 50]
    ends = [50, 50, 50, -9, 0, -9, -9, -9, 0, -9, 50]
    frame = clean(asked(("good", 2), ("a good", 0)), task=task)
    (prediction,) = answered(task, frame, tokenizer, [list(zip(starts, ends, strict=True))])
    # Starts at 4 and 8 end at 8 or 4; "good film, a bad" has the same score as "good", the next ones follow.
    shares = np.array([6, 6, 2, 1]) / 15
    assert prediction == {
        "input": {"id": "7", "question": "b", "context": CONTEXT},
        "answer": "good",
        "n_best": [
            {"answer": text, "probability": pytest.approx(share)}
            for text, share in zip(["good", "good film, a bad", "bad"], shares, strict=False)
        ],
        "references": ["good", "a good"],
    }
    assert task.readable(prediction) == "good  (0.400)  b"
    short = new_qa(n_best=4, max_answer_length=4)
    (prediction,) = answered(short, frame, tokenizer, [list(zip(starts, ends, strict=True))])
    assert [row["answer"] for row in prediction["n_best"]] == ["good", "bad", "a good"]


@pytest.mark.parametrize(("threshold", "answer"), [(0.0, ""), (1.9, ""), (2.1, "good")])
def test_no_answer_is_said_where_its_score_is_higher_by_the_threshold(
    tokenizer: PreTrainedTokenizerFast, threshold: float, answer: str
) -> None:
    task = new_qa(null_threshold=threshold)
    logits = np.zeros((1, 11, 2))
    logits[0, 0], logits[0, 4] = 3, 2  # 6 for none, 4 for "good"
    (prediction,) = answered(task, clean(asked(), task=task), tokenizer, logits)
    assert prediction["answer"] == prediction["n_best"][0]["answer"] == answer
    assert prediction["references"] == []
    (forced,) = answered(new_qa(), clean(asked(("good", 2))), tokenizer, logits)
    assert forced["answer"] == "good"
    assert all(row["answer"] for row in forced["n_best"])


def test_no_answer_must_win_in_every_window(tokenizer: PreTrainedTokenizerFast) -> None:
    task = new_qa(max_length=8, stride=1, null_threshold=0.0)
    frame = clean(asked(), task=task)
    examples = task.encode(frame, tokenizer)
    outputs = perfect(examples)
    assert task.predictions(outputs, frame, examples)[0]["answer"] == ""
    outputs[1]["logits"][examples.extras[NO_ANSWER][1]] = -1
    assert task.predictions(outputs, frame, examples)[0]["answer"] != ""


def test_answers_and_their_lack_are_learned(tokenizer: PreTrainedTokenizerFast) -> None:
    task = new_qa(null_threshold=0.0)
    frame = clean(asked(("good", 2)), asked(), task=task)
    predictions = answered(task, frame, tokenizer)
    assert [row["answer"] for row in predictions] == ["good", ""]
    assert task.score(predictions) == {"exact_match": 1.0, "f1": 1.0}
    assert task.readable(predictions[1]).startswith("(no answer)  (1.000)")
    assert task.score(task.trivial(frame, frame) or []) == {"exact_match": 0.5, "f1": 0.5}
    assert new_qa().trivial(frame, frame) is None


def test_references_without_words_count_in_one_scorer_only() -> None:
    rows = [{"answer": "", "references": ["."]}, {"answer": "film", "references": ["the film", "."]}]
    assert new_qa().score(rows) == {"exact_match": 1.0, "f1": 0.5}
    assert new_qa(null_threshold=0.0).score(rows) == {"exact_match": 1.0, "f1": 1.0}


def test_new_questions_are_answered_without_references() -> None:
    task = new_qa(max_length=40)
    frame = task.unlabelled(["b?\tan apple\tor two", ("c?", "a pear\nor none")])
    assert frame["context"].tolist() == ["an apple\tor two", "a pear\nor none"]
    predictions = answered(task, frame, new_byte_tokenizer())
    assert [row["input"]["id"] for row in predictions] == ["1", "2"]
    assert all("references" not in row for row in predictions)


@pytest.mark.parametrize("text", ["b", "b\t ", ("b",), ("b", "c", "d")])
def test_new_texts_of_the_wrong_kind_are_named(text: Any) -> None:
    with pytest.raises(
        DataError, match=r"text 2 = .*: must be a question and its context, neither of them empty, with a tab"
    ):
        new_qa().unlabelled(["a\tb", text])


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_a_run_learns_to_answer(
    configure: Configure, sources: dict[str, Path], write_root: Writer, architecture: str
) -> None:
    rng = np.random.default_rng(0)
    splits = {"train": [quiz(rng) for _ in range(96)], "validation": [quiz(rng) for _ in range(24)]}
    config = configure(
        f"model.source={sources[architecture]}",
        f"data_root={write_root('squad', **splits)}",
        "task=squad",
        "task.splits.validation_fraction=0.25",
        "task.max_length=14",
        "task.stride=3",
        "method=full",
        "method.full.lr=3e-3",
        "trainer.max_epochs=6",
        "trainer.validate_every=null",
    )
    record = run(config)
    assert record.data.rows["test"] == 24
    assert record.metrics["test"]["f1"] > 0.8
    lines = (run_dir(config) / PREDICTIONS).read_text().splitlines()
    assert [json.loads(line)["input"]["question"] for line in lines] == [
        row["question"] for row in splits["validation"]
    ]
    (prediction,) = load(run_dir(config)).predict(["b\ta e c c bad d e"])
    assert prediction["answer"] == "bad"


def quiz(rng: np.random.Generator) -> dict[str, Any]:
    """The answer is the only word of its kind, somewhere in a context of several windows."""
    words = rng.choice(["a", "b", "c", "d", "e", "film"], size=rng.integers(5, 25)).tolist()
    answer, place = rng.choice(["good", "bad"]).item(), int(rng.integers(len(words)))
    start = len(" ".join([*words[:place], ""]))
    return asked((answer, start), context=" ".join([*words[:place], answer, *words[place:]]))


@pytest.mark.shared_data
@pytest.mark.parametrize("kind", ["minilm", "bytes"])
def test_a_perfect_model_answers_squad_as_it_is_asked(kind: Literal["bytes", "minilm"]) -> None:
    task = new_qa(max_length=384, stride=128, max_answer_length=30 if kind == "minilm" else 200)
    whole = read_splits(Source(folder="squad"), ["validation"], Path(os.environ["LNBENCH_DATA_ROOT"]))["validation"]
    frame = task.clean(whole.iloc[sample(whole, lambda rows: rows["id"], 400, 0)], "squad")
    assert task.score(answered(task, frame, tokenizer_of(kind)))["exact_match"] >= 0.99
