#!/usr/bin/env bash
# One would think: a tokenizer is saved as it was made, however it was used before.
# What is so:      the length and padding of its last call are saved as settings. After one call with max_length=8 the
#                  tokenizer.json cuts each text to 8 tokens, and pads it to 8, in everything that reads the file with
#                  the library tokenizers. In transformers the loaded tokenizer does not cut unless it is asked to, so
#                  a check there shows nothing.
# Versions:        transformers 5.23.0, tokenizers 0.23.3.
# Source:          TokenizersBackend sets truncation and padding on its backend at each call, and save_pretrained writes
#                  the backend as it is.
# Why it matters:  a run ends with evaluation on short texts, or a sanity check, and saves its tokenizer. A program that
#                  reads tokenizer.json with the library tokenizers then uses the tuned model on the first words of each
#                  text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile transformers==5.23.0 tokenizers==0.23.3
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

words = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(40))]
made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
text = " ".join(words[2:])
seen = {}
for called in ("not called", "called"):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=512
    )
    if called == "called":
        tokenizer(text, truncation=True, max_length=8, padding="max_length")
    tokenizer.save_pretrained(called)
    read = Tokenizer.from_file(f"{called}/tokenizer.json")
    loaded = PreTrainedTokenizerFast.from_pretrained(called)
    seen[called] = [len(read.encode(text).ids), len(read.encode("w1").ids), len(loaded(text)["input_ids"])]
print(
    f"transformers {version('transformers')}, tokenizers {version('tokenizers')}: tokens of a text of 40 words and of "
    f"one word read by tokenizers, and of the 40 words by transformers; expected [40, 1, 40] both times, seen {seen}"
)
if seen != {"not called": [40, 1, 40], "called": [8, 8, 40]}:
    sys.exit("changed: the last call is not saved")
PY
