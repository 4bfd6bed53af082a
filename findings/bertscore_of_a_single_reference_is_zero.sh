#!/usr/bin/env bash
# One would think: BERTScore of a text with itself is 1, with idf weights as without; scoring a corpus at once or text
#                  by text differs a little, since the weights do.
# What is so:      with idf=True and one reference (or equal ones), each of its tokens is in all references and weighs
#                  log(2/2) = 0. All weights are 0, their sum is divided by, precision and recall are NaN, and F1 is
#                  reported as 0: the worst score for a perfect answer.
# Versions:        bert-score 0.3.13, transformers 5.23.0, torch 2.13.0.
# Source:          get_idf_dict and greedy_cos_idf in bert_score/utils.py; the latter sets an F that is NaN to 0.
# Why it matters:  scoring generated answers one by one as they come, or a task whose reference is always the same,
#                  gives zeros that look like a model that learned nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 bert-score==0.3.13
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version
from pathlib import Path

import bert_score
import torch
import transformers
from transformers import BertConfig, BertModel, BertTokenizerFast

transformers.utils.logging.disable_progress_bar()
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "cat", "dog", "sat", "ran"]
Path("vocab.txt").write_text("\n".join(words))
BertTokenizerFast(vocab="vocab.txt", model_max_length=64).save_pretrained("model")
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
)
BertModel(config).save_pretrained("model")


def f1(texts, idf):
    return bert_score.score(texts, texts, model_type="model", num_layers=2, idf=idf, device="cpu")[2].tolist()


seen = {
    "one text": f1(["the cat sat"], idf=False),
    "one text, idf": f1(["the cat sat"], idf=True),
    "two texts, idf": f1(["the cat sat", "a dog ran"], idf=True),
}
seen = {name: [round(value, 3) for value in values] for name, values in seen.items()}
print(f"bert-score {version('bert-score')}: F1 of texts with themselves, expected 1 for all, seen {seen}")
if seen != {"one text": [1.0], "one text, idf": [0.0], "two texts, idf": [1.0, 1.0]}:
    sys.exit("changed: a perfect answer to a single reference no longer scores 0 with idf")
PY
