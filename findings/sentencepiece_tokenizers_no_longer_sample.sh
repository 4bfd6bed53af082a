#!/usr/bin/env bash
# One would think: T5Tokenizer(..., sp_model_kwargs={"enable_sampling": True, ...}) draws another segmentation of a
#                  text each time, as sentencepiece does with these options, or it refuses them.
# What is so:      it accepts them and always gives the best segmentation, with use_fast=False too. ALBERT, XLM-RoBERTa,
#                  XLNet, DeBERTa and CamemBERT do the same. BertGenerationTokenizer still samples.
# Versions:        transformers 5.23.0, sentencepiece 0.2.3.
# Source:          since version 5 these tokenizers are built on the library tokenizers, and keep the options as any
#                  unknown keyword; transformers/tokenization_utils_sentencepiece.py uses them for those that remain.
# Why it matters:  subword regularisation is a common augmentation for low-resource tuning. With a script from version 4
#                  "with" and "without" are now the same run, and the comparison says that it does not help.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile transformers==5.23.0 sentencepiece==0.2.3 protobuf==7.36.2
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PY'
import random
import sys
from importlib.metadata import version
from pathlib import Path

import sentencepiece
import transformers

random.seed(0)
words = "the cat sat on mat dog barked house running quickly international tokenization language model training".split()
Path("text.txt").write_text("\n".join(" ".join(random.choices(words, k=8)) for _ in range(2000)))
sentencepiece.SentencePieceTrainer.train(
    input="text.txt", model_prefix="spiece", vocab_size=60, hard_vocab_limit=False, minloglevel=2
)
text = "tokenization of international language"
options = {"enable_sampling": True, "alpha": 0.1, "nbest_size": -1}
processor = sentencepiece.SentencePieceProcessor(model_file="spiece.model")
seen = {"sentencepiece": len({tuple(processor.encode(text, **options)) for _ in range(100)})}
names = ("T5", "Albert", "XLMRoberta", "XLNet", "DebertaV2", "Camembert", "BertGeneration")
for name in names:
    made = getattr(transformers, f"{name}Tokenizer")(vocab_file="spiece.model", sp_model_kwargs=options, use_fast=False)
    seen[name] = len({tuple(made.encode(text)) for _ in range(100)})
print(
    f"transformers {version('transformers')}: segmentations of one text in 100 calls with sampling on, expected "
    f"several, seen {seen}"
)
if not (all(seen[name] == 1 for name in names[:-1]) and seen["sentencepiece"] > 1 and seen["BertGeneration"] > 1):
    sys.exit("changed: sampling is done or refused, or no tokenizer samples")
PY
