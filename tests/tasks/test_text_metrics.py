"""Scores of texts against values that the official scorers give, or that their documentation states."""

from typing import get_args

import pytest

from lnbench.tasks.scores import texts as module
from lnbench.tasks.scores.nist import nist
from lnbench.tasks.scores.texts import WORDNET, Metric, missing, score
from lnbench.tasks.scores.words import words

TEXTS = [
    "The Mill is a cheap pub near the river.",
    "Aromi serves Thai food and it isn't family-friendly.",
    "Strada is a pub with a low rating.",
    "Zizzi costs more than £30.",
]
REFERENCES = [
    ["The Mill is a cheap riverside pub.", "Near the river there is a cheap pub, The Mill."],
    [
        "Aromi is a Thai place that isn't for families.",
        "Thai food is served at Aromi, which isn't family-friendly.",
        "No family-friendly Thai food at Aromi.",
    ],
    ["Strada is a pub with 3 stars."],
    ["Zizzi is more than £30 a head.", "At Zizzi you pay more than £30."],
]
COMPUTABLE: list[Metric] = [name for name in get_args(Metric) if name not in missing([name])]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # The E2E challenge's scorer: BLEU and NIST of pymteval; CIDEr-D of coco-caption with the Java tokenizer.
        ("bleu", 47.735349332944544),
        ("nist", 4.479095311562984),
        ("cider", 4.181569783380684),
    ],
)
def test_table_to_text_is_scored_as_the_challenge_does(name: Metric, value: float) -> None:
    assert score([name], TEXTS, REFERENCES, lowercase=True) == {name: pytest.approx(value, abs=1e-9)}


@pytest.mark.parametrize(("name", "value"), [("bleu", 48.530827009929865), ("chrf", 59.73)])
def test_the_example_of_sacrebleu(name: Metric, value: float) -> None:
    texts = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    references = [
        ["The dog bit the man.", "The dog had bit the man."],
        ["It was not unexpected.", "No one was surprised."],
        ["The man bit him first.", "The man had bitten the dog."],
    ]
    assert score([name], texts, references)[name] == pytest.approx(value, abs=0.01)


def test_ter_counts_a_moved_phrase_as_one_edit() -> None:
    assert score(["ter"], ["c d a b e"], [["a b c d f"]]) == {"ter": pytest.approx(100 * 2 / 5)}


@pytest.mark.parametrize(("name", "value"), [("rouge1", 12 / 17), ("rougeL", 10 / 17)])
def test_the_example_of_rouge_score(name: Metric, value: float) -> None:
    texts, references = ["The quick brown dog jumps on the log."], [["The quick brown fox jumps over the lazy dog"]]
    assert score([name], texts, references) == {name: pytest.approx(value)}


@pytest.mark.skipif(bool(missing(["meteor"])), reason=WORDNET)
def test_the_example_of_nltk() -> None:
    text = "It is a guide to action which ensures that the military always obeys the commands of the party"
    references = [
        "It is a guide to action that ensures that the military will forever heed Party commands",
        "It is the guiding principle which guarantees the military forces always being under the command of the Party",
        "It is the practical guide for the army always to heed the directions of the party",
    ]
    assert score(["meteor"], [text], [references])["meteor"] == pytest.approx(0.6944, abs=1e-4)


def test_a_metric_that_cannot_be_computed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_has_wordnet", lambda: False)
    assert missing(["bleu", "meteor"]) == {"meteor": WORDNET}
    assert list(score(["bleu", "meteor"], TEXTS, REFERENCES)) == ["bleu"]


@pytest.mark.parametrize("name", COMPUTABLE)
def test_a_repeated_reference_is_the_best_and_an_empty_text_the_worst(name: Metric) -> None:
    best, worst = ([row[0] for row in REFERENCES], [""] * len(REFERENCES))
    """METEOR's best is below 1: it takes half of (chunks / matches)³ off even for a text that is one chunk."""
    ideal = {"bleu": 100.0, "chrf": 100.0, "ter": 0.0, "cider": None, "nist": None, "meteor": None}.get(name, 1.0)
    scores = [score([name], texts, REFERENCES)[name] for texts in (best, TEXTS, worst)]
    assert scores == sorted(scores, reverse=name != "ter")
    assert ideal is None or scores[0] == pytest.approx(ideal)
    assert scores[2] > 80 if name == "ter" else scores[2] == 0


@pytest.mark.parametrize("name", COMPUTABLE)
def test_the_order_of_references_does_not_matter(name: Metric) -> None:
    turned = [row[::-1] for row in REFERENCES]
    assert score([name], TEXTS, turned)[name] == pytest.approx(score([name], TEXTS, REFERENCES)[name])


@pytest.mark.parametrize("name", COMPUTABLE)
def test_case_counts_where_it_should(name: Metric) -> None:
    upper = [text.upper() for text in TEXTS]
    ignored = score([name], upper, REFERENCES, lowercase=True)
    assert ignored == pytest.approx(score([name], TEXTS, REFERENCES, lowercase=True))
    assert (score([name], upper, REFERENCES) == pytest.approx(ignored)) == (name not in ("bleu", "chrf", "nist"))


def test_cider_of_equal_texts_is_ten() -> None:
    texts = ["one two three four", "five six seven eight"]
    assert score(["cider"], texts, [[text] for text in texts]) == {"cider": pytest.approx(10)}


def test_nist_of_one_text_by_hand() -> None:
    # Of the references' 6 words "a" occurs 2 times and "b" 2 times, and 1 of 2 "a" is followed by "b".
    references = [["a", "b", "c"], ["a", "d", "b"]]
    unigrams, bigrams = (1.584962500721156 * 2) / 2, 1.0
    penalty = 0.5  # two words, where the references have three
    assert nist([["a", "b"]], [references]) == pytest.approx((unigrams + bigrams) * penalty)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Aromi isn't family-friendly, it's cheap.", "aromi is n't family-friendly it 's cheap"),
        ("A price of £4.50: 'low'!", "a price of £ 4.50 low"),
        ("Café  Brazil -- (a pub)", "café brazil ( a pub )"),
        ("", ""),
    ],
)
def test_words_are_those_of_the_treebank_without_punctuation(text: str, expected: str) -> None:
    assert words(text) == expected.split()
