"""CIDEr-D (Vedantam et al. 2015, arXiv 1411.5726): similarity to the references, in which rare n-grams count more."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from lnbench.tasks.scores.words import Ngram, count_ngrams

LONGEST = 4
SIGMA = 6.0
"""Standard deviation, in words, of the Gaussian penalty on a difference in length."""
SCALE = 10.0

Vector = Mapping[Ngram, float]


def cider(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> float:
    """The corpus score, as COCO's caption scorer computes it.

    The score is the cosine between the tf-idf vectors of a text and of a reference. The text's weights are clipped to
    the reference's, and a difference in length lowers the score. It is averaged over n-grams of 1 to 4 words, over
    references, and over texts, times 10. A document is the set of one text's references. So a corpus of one text scores
    0.

    Args:
        hypotheses: the words of each text.
        references: for each text, the words of each of its references.

    Returns:
        The score, from 0 to 10.
    """
    orders = [_cider(hypotheses, references, order) for order in range(1, LONGEST + 1)]
    return SCALE * sum(orders) / LONGEST


def _cider(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], order: int) -> float:
    """The similarity by n-grams of one order, from 0 to 1."""
    documents = [{ngram for text in texts for ngram in count_ngrams(text, order)} for texts in references]
    frequency = Counter(ngram for document in documents for ngram in document)
    scores = []
    for hypothesis, texts in zip(hypotheses, references, strict=True):
        vector = _weigh(count_ngrams(hypothesis, order), frequency, len(documents))
        similarities = [
            _clipped_cosine(vector, _weigh(count_ngrams(text, order), frequency, len(documents)))
            * math.exp(-((_length(hypothesis) - _length(text)) ** 2) / (2 * SIGMA**2))
            for text in texts
        ]
        scores.append(sum(similarities) / len(similarities))
    return sum(scores) / len(scores)


def _weigh(counts: Counter[Ngram], frequency: Counter[Ngram], documents: int) -> dict[Ngram, float]:
    """tf-idf weights. An n-gram in no document weighs as much as one in a single document."""
    return {ngram: times * math.log(documents / max(1, frequency[ngram])) for ngram, times in counts.items()}


def _clipped_cosine(hypothesis: Vector, reference: Vector) -> float:
    norm = math.hypot(*hypothesis.values()) * math.hypot(*reference.values())
    shared = hypothesis.keys() & reference.keys()
    product = math.fsum(min(hypothesis[ngram], reference[ngram]) * reference[ngram] for ngram in shared)
    return product / norm if norm else 0.0


def _length(text: Sequence[str]) -> int:
    """Length of a text in pairs of words, as the official scorer counts it."""
    return max(0, len(text) - 1)
