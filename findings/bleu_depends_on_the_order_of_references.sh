#!/usr/bin/env bash
# One would think: BLEU does not depend on the order of an example's references, and torchmetrics' SacreBLEUScore is
#                  sacrebleu's BLEU.
# What is so:      if two references are equally far from the output in length, torchmetrics takes the first of them
#                  for the brevity penalty, sacrebleu the shorter: one output scores 84.1 or 65.5, by the order alone.
#                  If no output shares four words in a row with a reference, it gives 0, where sacrebleu's default
#                  smooths; smooth=True does not help, as the 0 is returned before the smoothing. There is no warning.
# Versions:        torchmetrics 1.9.0, sacrebleu 2.6.0, torch 2.13.0.
# Source:          _bleu_score_update and _bleu_score_compute in torchmetrics/functional/text/bleu.py. The class's page
#                  says that it follows the behaviour of sacrebleu.
# Why it matters:  scores of data sets with several references, and of small or hard test sets, are not those of the
#                  literature, and a shuffled list of references changes a table.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 torchmetrics==1.9.0 sacrebleu==2.6.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import sacrebleu
import torchmetrics
from torchmetrics.text import SacreBLEUScore


def both(output, references, **options):
    ours = 100 * SacreBLEUScore(**options)([output], [references]).item()
    return [round(ours, 1), round(sacrebleu.corpus_bleu([output], [[text] for text in references]).score, 1)]


output = "we saw the red fox run away today"  # 8 words
short, long = "we saw the red fox run", "we saw the red fox run away from us again"  # 6 and 10
sparse = "we saw that red fox run today"  # no four words of the reference in a row
reference = "we saw the red fox run away today"
seen = {
    "shorter reference first": both(output, [short, long]),
    "longer reference first": both(output, [long, short]),
    "no four words": both(sparse, [reference]),
    "no four words, smooth=True": both(sparse, [reference], smooth=True),
}
print(
    f"torchmetrics {torchmetrics.__version__}, sacrebleu {sacrebleu.__version__}: BLEU of either; expected to agree, "
    f"seen {seen}"
)
first, second = seen["shorter reference first"], seen["longer reference first"]
if not (first[0] == first[1] == second[1] and second[0] < 0.9 * second[1]):
    sys.exit("changed: BLEU does not depend on the order of references")
if not all(seen[name][0] == 0 < seen[name][1] for name in ("no four words", "no four words, smooth=True")):
    sys.exit("changed: torchmetrics smooths BLEU without a match of four words")
PY
