"""Answers as numbers hold no text of the data, and give the scores of the answers themselves."""

import json
from typing import Any

import pytest

from lnbench.config.compose import compose_config, to_plain
from lnbench.tasks.base import TASKS, Task

CONTEXT = "the film was good, and the cat sat on the mat"
TAGS = ["O", "B-Peop", "I-Peop"]


def task(name: str) -> Task:
    return TASKS.parse(to_plain(compose_config(f"task={name}", "method=ln"))["task"], "task")


def question(answer: str, *references: str) -> dict[str, Any]:
    asked = {"id": "1", "question": "what?", "context": CONTEXT}
    return {"input": asked, "answer": answer, "n_best": [], "references": list(references)}


CASES: dict[str, tuple[list[dict[str, Any]], dict[str, list[Any]]]] = {
    "sst2": (
        [
            {"input": {"sentence": CONTEXT}, "label": "positive", "reference": "negative"},
            {"input": {"sentence": CONTEXT}, "label": "negative", "reference": "negative"},
        ],
        {"answer": [1, 0], "reference": [0, 0]},
    ),
    "conll2004": (
        [{"input": {"tokens": CONTEXT.split()[:3]}, "tags": TAGS, "reference": ["O", "B-Peop", "O"]}],
        {},
    ),
    "stsb": (
        [
            {"input": {"sentence1": CONTEXT, "sentence2": "a"}, "label": 4.25, "reference": 5.0},
            {"input": {"sentence1": CONTEXT, "sentence2": "b"}, "label": 1.5, "reference": 0.5},
        ],
        {"answer": [4.25, 1.5], "reference": [5.0, 0.5]},
    ),
    "squad": (
        [question("good", "good", "was good"), question("the cat", "mat"), question("", "film")],
        {"answer": [[13, 4], [23, 7], [0, 0]], "exact_match": [1.0, 0.0, 0.0], "f1": [1.0, 0.0, 0.0]},
    ),
    "e2e_nlg": (
        [{"input": {"source": CONTEXT}, "references": [CONTEXT], "nll": 30.5, "tokens": 15}],
        {"nll": [30.5], "tokens": [15]},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_have_no_text_and_give_the_scores(name: str) -> None:
    predictions, numbers = CASES[name]
    family = task(name)
    found = json.loads(json.dumps(family.numbers(predictions)))
    assert "'" not in str(list(found.values()))
    if numbers:
        assert found == numbers
    assert family.score_numbers(found) == family.score(predictions)


def test_tags_are_places_among_the_labels() -> None:
    predictions, _ = CASES["conll2004"]
    family = task("conll2004")
    found = family.numbers(predictions)
    assert [[family.labels[place] for place in row] for row in found["answer"]] == [TAGS]  # type: ignore[attr-defined]
