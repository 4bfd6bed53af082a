"""Scores generated texts by the names of metrics."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any, Literal

from lnbench.tasks.scores.cider import cider
from lnbench.tasks.scores.nist import nist
from lnbench.tasks.scores.words import words

Metric = Literal["bleu", "chrf", "ter", "nist", "meteor", "rouge1", "rouge2", "rougeL", "cider"]
Texts = Sequence[str]
References = Sequence[Sequence[str]]

WORDNET = "needs NLTK's WordNet, which one command downloads: python -m nltk.downloader wordnet"


def score(names: Iterable[Metric], texts: Texts, references: References, lowercase: bool = False) -> dict[str, float]:
    """Scores texts against any number of references each, in the scale of each metric's usual scorer.

    - `bleu`, `chrf`, `ter`: sacrebleu's corpus scores, 0 to 100; the lower `ter` the better.
    - `nist`: mteval-v13a's corpus score, from 0, without an upper limit.
    - `rouge1`, `rouge2`, `rougeL`: F1 of rouge-score with stemming, 0 to 1; of the best reference, averaged over texts.
    - `meteor`: NLTK's, 0 to 1; of the best reference, averaged over texts. The Java program uses other weights.
    - `cider`: CIDEr-D of COCO's caption scorer, 0 to 10.

    Args:
        names: which metrics.
        texts: N texts.
        references: for each text, its references, at least one.
        lowercase: ignore case in BLEU, chrF and NIST. All others always do.

    Returns:
        The metrics by name, without those that `missing` names.
    """
    computable = [name for name in names if name not in missing([name])]
    if lowercase:
        texts, references = [text.lower() for text in texts], [[text.lower() for text in row] for row in references]
    return {name: SCORERS[name](name, texts, references) for name in computable}


def missing(names: Iterable[Metric]) -> dict[str, str]:
    """The metrics that this machine cannot compute, each with what it needs."""
    return {"meteor": WORDNET} if "meteor" in set(names) and not _has_wordnet() else {}


def _has_wordnet() -> bool:
    """Looks where NLTK looks, and loads nothing, which takes seconds."""
    from nltk import data

    for place in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):
        with contextlib.suppress(LookupError):
            data.find(place)
            return True
    return False


def _sacrebleu(name: Metric, texts: Texts, references: References) -> float:
    from sacrebleu.metrics import BLEU, CHRF, TER

    scorer: Any = {"bleu": BLEU, "chrf": CHRF, "ter": TER}[name]()
    most = max(map(len, references))
    streams = [[row[place] if place < len(row) else None for row in references] for place in range(most)]
    return float(scorer.corpus_score(texts, streams).score)


def _nist(name: Metric, texts: Texts, references: References) -> float:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize = Tokenizer13a()
    return nist(
        [tokenize(text).split() for text in texts], [[tokenize(text).split() for text in r] for r in references]
    )


def _rouge(name: Metric, texts: Texts, references: References) -> float:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([name], use_stemmer=True)
    return fmean(scorer.score_multi(row, text)[name].fmeasure for text, row in zip(texts, references, strict=True))


def _meteor(name: Metric, texts: Texts, references: References) -> float:
    from nltk.translate.meteor_score import meteor_score

    pairs = zip(texts, references, strict=True)
    return fmean(meteor_score([words(reference) for reference in row], words(text)) for text, row in pairs)


def _cider(name: Metric, texts: Texts, references: References) -> float:
    return cider([words(text) for text in texts], [[words(text) for text in row] for row in references])


SCORERS: dict[Metric, Callable[[Metric, Texts, References], float]] = {
    "bleu": _sacrebleu,
    "chrf": _sacrebleu,
    "ter": _sacrebleu,
    "nist": _nist,
    "meteor": _meteor,
    "rouge1": _rouge,
    "rouge2": _rouge,
    "rougeL": _rouge,
    "cider": _cider,
}
