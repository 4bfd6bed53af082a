"""Agreement of an answer with its references, by the rules of SQuAD's official scorer."""

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(text: str) -> list[str]:
    """The words that count: in lower case, without ASCII punctuation and English articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 if the answer has the words of any reference, or has none where there is no reference; else 0."""
    return float(words_of(answer) in ([words_of(reference) for reference in references] or [[]]))


def f1(answer: str, references: Sequence[str]) -> float:
    """F1 of the answer's words against the best matching reference's. Without references, the exact match."""
    if not references:
        return exact_match(answer, references)
    return max(_overlap(Counter(words_of(answer)), Counter(words_of(reference))) for reference in references)


def _overlap(answer: Counter[str], reference: Counter[str]) -> float:
    """Harmonic mean of precision and recall, 0 if no word is common."""
    common = (answer & reference).total()
    return 2 * common / (answer.total() + reference.total()) if common else 0.0
