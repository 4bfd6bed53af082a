#!/usr/bin/env bash
# One would think: a paired test of two systems with the same outputs gives p = 1.
# What is so:      it gives the smallest p there is, 0.001 with 1,000 samples, for the bootstrap and for approximate
#                  randomisation. The latter gives it to a system that differs in one word of one sentence, too; the
#                  bootstrap gives that one 0.09.
# Versions:        sacrebleu 2.6.0.
# Source:          _compute_p_value in sacrebleu/significance.py counts the samples with a difference greater than the
#                  one seen, not those equal to it; without a difference, or with a single one to swap, all are equal.
# Why it matters:  a method that changed nothing (an adapter that was not loaded, a second run with the same seed) is
#                  reported as significantly different from the baseline.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile sacrebleu==2.6.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

references = [
    "the cat sat on a mat near the door today",
    "the dog ran through the park after a red ball",
    "he read a long book about the sea at home",
] * 10
baseline = [text.replace(" a ", " the ") for text in references]
one_word = [*baseline[:4], baseline[4].replace("the park", "a park"), *baseline[5:]]
systems = [("baseline", baseline), ("same", list(baseline)), ("one word", one_word)]
seen = {}
for kind in ("bs", "ar"):
    test = PairedTest(systems, {"BLEU": BLEU(references=[references])}, None, test_type=kind, n_samples=1000)
    _, results = test()
    for (name, _), result in list(zip(systems, results["BLEU"], strict=True))[1:]:
        seen[kind, name] = round(float(result.p_value), 3)
print(f"sacrebleu {version('sacrebleu')}: p, expected 1 for the same outputs and for one word, seen {seen}")
if not (seen["bs", "same"] == seen["ar", "same"] == seen["ar", "one word"] == 0.001 and seen["bs", "one word"] > 0.05):
    sys.exit("changed: samples equal to what was seen are counted now, or the bootstrap finds one word significant")
PY
