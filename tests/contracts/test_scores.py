"""What lnbench relies on in libraries of scores and statistics, and what breaks here if it changes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import seqeval.metrics.sequence_labeling
import statsmodels.stats.multitest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

HYPOTHESES = ["the cat sat on the mat", "a dog ran in the park"]
FIRST, SECOND = "the cat sat on the mat", "a dog that nobody knows ran in the park on a cold day of last winter"


def test_sacrebleu_cuts_streams_of_references_to_the_shortest() -> None:
    """sacrebleu 2.6: so tasks/scores/texts.py fills the streams up with None; else rows would go unscored."""
    assert BLEU().corpus_score(HYPOTHESES, [[FIRST, SECOND], [FIRST]]).score == pytest.approx(100)


def test_sacrebleu_takes_none_for_no_reference() -> None:
    """sacrebleu 2.6: as tasks/scores/texts.py fills up with None; an empty text would count for the brevity."""
    alone = BLEU().corpus_score(HYPOTHESES, [[FIRST, SECOND]])
    streams: list[Any] = [[FIRST, SECOND], [FIRST, None]]
    filled = BLEU().corpus_score(HYPOTHESES, streams)
    assert 0 < alone.score == filled.score


def test_seqeval_begins_an_entity_where_a_type_begins() -> None:
    """seqeval 1.2: tasks/token_classification.py scores by its default mode, as conlleval does."""
    entities = seqeval.metrics.sequence_labeling.get_entities
    assert entities(["I-PER", "I-PER", "B-PER", "I-LOC"]) == [("PER", 0, 1), ("PER", 2, 2), ("LOC", 3, 3)]


@pytest.mark.filterwarnings("ignore:.* seems not to be NE tag")
def test_seqeval_misreads_tags_of_other_schemes() -> None:
    """seqeval 1.2: so tasks/tokens/ turns all tags into IOB2 first; adjacent U-X are joined, PER becomes ER."""
    entities = seqeval.metrics.sequence_labeling.get_entities
    assert entities(["U-PER", "U-PER"]) == [("PER", 0, 1)]
    assert entities(["PER", "O"]) == [("ER", 0, 0)]


def test_rouge_ignores_all_but_latin_letters_and_digits() -> None:
    """rouge-score 0.1: equal Chinese texts score 0, so ROUGE of such texts says nothing."""
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    assert scorer.score("猫 坐 在 垫子 上", "猫 坐 在 垫子 上")["rouge1"].fmeasure == 0
    assert scorer.score("a cat", "a cat!")["rouge1"].fmeasure == 1


def test_holm_counts_a_missing_p_value() -> None:
    """statsmodels 0.15: report/claims/statistics.py leaves missing ones out first, or others grow with them."""
    corrected = statsmodels.stats.multitest.multipletests([0.01, 0.04, math.nan], method="holm")[1]
    assert corrected[0] == pytest.approx(0.03)


def test_wilcoxon_of_nothing_but_zeros_depends_on_their_number() -> None:
    """scipy 1.17: report/claims/statistics.py leaves zeros out and does not ask for a test of none."""
    with np.errstate(invalid="ignore"):
        few, many = (scipy.stats.wilcoxon(np.zeros(count)).pvalue for count in (4, 20))
    assert few == 1.0
    assert math.isnan(many)


def equal_lengths(
    self: Any, hypotheses: Any, references: Any, make: Callable[..., Any] = BLEU._check_corpus_score_args
) -> None:
    assert len({len(stream) for stream in references}) == 1
    make(self, hypotheses, references)


def empty_for_none(self: Any, hypotheses: Any, references: Any, make: Callable[..., Any] = BLEU.corpus_score) -> Any:
    return make(self, hypotheses, [[text or "" for text in stream] for stream in references])


def by_tag(tags: list[str], suffix: bool = False) -> list[tuple[str, int, int]]:
    return [(tag, place, place) for place, tag in enumerate(tags)]


def known_only(
    values: Any, make: Callable[..., Any] = statsmodels.stats.multitest.multipletests, **options: Any
) -> Any:
    return make([value for value in values if not math.isnan(value)], **options)


@pytest.mark.parametrize(
    ("contract", "name", "changed"),
    [
        (
            test_sacrebleu_cuts_streams_of_references_to_the_shortest,
            "sacrebleu.metrics.BLEU._check_corpus_score_args",
            equal_lengths,
        ),
        (test_sacrebleu_takes_none_for_no_reference, "sacrebleu.metrics.BLEU.corpus_score", empty_for_none),
        (
            test_seqeval_begins_an_entity_where_a_type_begins,
            "seqeval.metrics.sequence_labeling.get_entities",
            by_tag,
        ),
        (test_seqeval_misreads_tags_of_other_schemes, "seqeval.metrics.sequence_labeling.get_entities", by_tag),
        (
            test_rouge_ignores_all_but_latin_letters_and_digits,
            "rouge_score.tokenize.tokenize",
            lambda text, stemmer: text.strip("!").split(),
        ),
        (test_holm_counts_a_missing_p_value, "statsmodels.stats.multitest.multipletests", known_only),
        (
            test_wilcoxon_of_nothing_but_zeros_depends_on_their_number,
            "scipy.stats.wilcoxon",
            lambda values: scipy.stats.ttest_1samp(np.arange(3), 1),
        ),
    ],
)
def test_contract_fails_if_the_library_changes(
    contract: Callable[[], None], name: str, changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name, changed)
    with pytest.raises(AssertionError):
        contract()
