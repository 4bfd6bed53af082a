from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from lnbench.tasks.scores.answers import exact_match, f1, words_of

WORDS = st.lists(st.sampled_from(["the", "A", "cat", "Cat.", "sat", "an", "$5", "-", "naïve", "U.S."]), max_size=5)
TEXTS = WORDS.map("  ".join)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The  Cat, an a!", ["cat"]),
        ("the-cat", ["thecat"]),
        ("theatre", ["theatre"]),
        ("U.S. $5.00\n", ["us", "500"]),
        ("«été»", ["«été»"]),
        (".", []),
    ],
)
def test_case_ascii_punctuation_articles_and_white_space_do_not_count(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("answer", "references", "exact", "overlap"),
    [
        ("The cat.", ["cat", "a dog"], 1.0, 1.0),
        ("black cat", ["cat"], 0.0, 2 / 3),  # precision 1/2, recall 1
        ("cat cat", ["cat cat cat"], 0.0, 4 / 5),  # repeated words count as often as they occur in both
        ("cat cat", ["cat dog"], 0.0, 1 / 2),
        ("black cat", ["dog", "cat", "black"], 0.0, 2 / 3),
        ("", ["cat"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
        ("the", [], 1.0, 1.0),
        ("cat", [], 0.0, 0.0),
        (".", ["."], 1.0, 0.0),  # as in SQuAD 1.1's scorer: equal, but without a common word
    ],
)
def test_scores_agree_with_the_official_rules(answer: str, references: list[str], exact: float, overlap: float) -> None:
    assert exact_match(answer, references) == exact
    assert f1(answer, references) == pytest.approx(overlap)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_scores_agree_with_another_implementation(answer: str, references: list[str]) -> None:
    assume(all(words_of(reference) for reference in references))
    target: Any = {"answers": {"answer_start": [0] * len(references), "text": references}, "id": "1"}
    theirs = squad({"prediction_text": answer, "id": "1"}, target)
    assert 100 * exact_match(answer, references) == pytest.approx(theirs["exact_match"].item())
    assert 100 * f1(answer, references) == pytest.approx(theirs["f1"].item(), abs=1e-4)
