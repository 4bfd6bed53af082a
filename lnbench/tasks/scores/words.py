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
    """Lower-case words, contractions split and punctuation left out.

    That is what COCO's caption scorers see: the Penn Treebank's tokens without the Java program that makes them there.
    """
    return WORD.findall(text.lower())


def ngrams(tokens: Sequence[str], order: int) -> Iterator[Ngram]:
    """All n-grams of one order, in their order in the text."""
    return zip(*(tokens[start:] for start in range(order)), strict=False)


def count_ngrams(tokens: Sequence[str], order: int) -> Counter[Ngram]:
    """How often each n-gram of one order occurs."""
    return Counter(ngrams(tokens, order))
