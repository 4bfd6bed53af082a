"""NIST (Doddington 2002): n-gram precision, in which rare n-grams count more."""

import math
from collections import Counter
from collections.abc import Sequence

from lnbench.tasks.scores.words import Ngram, count_ngrams

LONGEST = 5
BETA = math.log(0.5) / math.log(1.5) ** 2
"""Factor of the length penalty. It makes the penalty one half for a text of two thirds of its references' length."""


def nist(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> float:
    """The corpus score, as mteval-v13a computes it.

    An n-gram is worth log2(count of its first n-1 words / its own count) in all references. It is matched at most as
    often as it occurs in the reference that has it most often. (NLTK's `corpus_nist` matches one reference at a time,
    and so scores lower if a text has several.)

    Args:
        hypotheses: the words of each text.
        references: for each text, the words of each of its references.

    Returns:
        The score, in bits; 0 for no match, without an upper limit.
    """
    counts = _reference_counts(references)
    precision = sum(_information(hypotheses, references, counts, order) for order in range(1, LONGEST + 1))
    length = sum(map(len, hypotheses))
    wanted = sum(sum(map(len, texts)) / len(texts) for texts in references)
    return precision * math.exp(BETA * math.log(min(1.0, length / wanted)) ** 2) if length else 0.0


def _reference_counts(references: Sequence[Sequence[Sequence[str]]]) -> Counter[Ngram]:
    """Counts of the n-grams of all orders up to the longest; the empty one occurs before every word."""
    counts: Counter[Ngram] = Counter()
    for text in (text for texts in references for text in texts):
        counts[()] += len(text)
        for order in range(1, LONGEST + 1):
            counts.update(count_ngrams(text, order))
    return counts


def _information(
    hypotheses: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    counts: Counter[Ngram],
    order: int,
) -> float:
    """Summed worth of the matched n-grams of one order, divided by the number of n-grams in the hypotheses."""
    worth, total = 0.0, 0
    for hypothesis, texts in zip(hypotheses, references, strict=True):
        found = count_ngrams(hypothesis, order)
        most: Counter[Ngram] = Counter()
        for text in texts:
            most |= count_ngrams(text, order)
        worth += sum(times * math.log2(counts[ngram[:-1]] / counts[ngram]) for ngram, times in (found & most).items())
        total += found.total()
    return worth / total if total else 0.0
