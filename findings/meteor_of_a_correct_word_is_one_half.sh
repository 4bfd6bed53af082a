#!/usr/bin/env bash
# One would think: METEOR of a text with itself is 1, and of a correct short answer too; a score of 0.5 means that half
#                  of the answer is wrong.
# What is so:      the penalty is gamma * (chunks / matches)^beta, and a perfect text is still one chunk: 1 word scores
#                  0.5, 2 words 0.9375, 3 words 0.98, 10 words 0.9995. A wrong order of two words scores 0.5 as well.
# Versions:        nltk 3.10.4.
# Source:          single_meteor_score in nltk/translate/meteor_score.py; the metric's authors ship other constants.
# Why it matters:  short targets (labels, names, entities) are bounded by 0.5 to 0.98 whatever the model, so means over
#                  data sets of different lengths compare lengths, and 1 as the top of a scale is never reached.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile nltk==3.10.4
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

from nltk.translate.meteor_score import meteor_score


class NoSynonyms:
    """Stands for WordNet: every word here is matched as it is, so no synonym is needed."""

    def synsets(self, *_):
        return []


def meteor(answer, reference):
    return round(meteor_score([reference.split()], answer.split(), wordnet=NoSynonyms()), 4)


texts = ["Paris", "New York", "the old town", "a b c d e f g h i j"]
seen = {text: meteor(text, text) for text in texts} | {"York New (swapped)": meteor("York New", "New York")}
print(f"nltk {version('nltk')}: METEOR of correct texts, expected 1 for all but the last, seen {seen}")
if list(seen.values()) != [0.5, 0.9375, 0.9815, 0.9995, 0.5]:
    sys.exit("changed: METEOR of a correct text no longer depends on its length in this way")
PY
