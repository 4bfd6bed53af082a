"""Words and n-grams of a text."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

Ngram = tuple[str, ...]

WORD = re.compile(
    r"""
    \w+?(?=n't\b)          # are|n't
    | n't\b
    | (?<=\w)'\w+          # it|'s
    | \w+(?:[-.,]\w+)*     # family-friendly, 4.50
    | [^\w\s.,;:?!'"`-]    # £
    """,
    re.VERBOSE,
)


def words(text: str) -> list[str]:
    """Lower-case words, with contractions split and punctuation left out.

    These are the Penn Treebank's tokens that COCO's caption scorers use, made without their Java program.
    """
    return WORD.findall(text.lower())


def ngrams(tokens: Sequence[str], order: int) -> Iterator[Ngram]:
    """All n-grams of one order, in their order in the text."""
    return zip(*(tokens[start:] for start in range(order)), strict=False)


def count_ngrams(tokens: Sequence[str], order: int) -> Counter[Ngram]:
    """How often each n-gram of one order occurs."""
    return Counter(ngrams(tokens, order))
