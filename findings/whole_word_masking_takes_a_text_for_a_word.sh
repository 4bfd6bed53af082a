#!/usr/bin/env bash
# One would think: whole_word_mask=True masks whole words, about mlm_probability of them in every text.
# What is so:      with the tokenizers of DeBERTa-v3 and of ModernBERT a text is one word: it is masked from end to end,
#                  or not at all. At 0.15 some 85 of 100 texts give no loss, and the others show the model nothing but
#                  [MASK]. With those of BERT, RoBERTa, XLM-R and ALBERT words are right in English; a text without
#                  spaces, as in Chinese, is one word for BERT too. Nothing is said.
# Versions:        transformers 5.23.0, tokenizers 0.23.3, torch 2.13.0. The tokenizers' classes are the library's, with
#                  a vocabulary of single letters; ModernBERT's is put together from its parts: a byte-level BPE, and
#                  a template that adds [CLS] and [SEP] and trims no offsets.
# Source:          DataCollatorForLanguageModeling._calc_word_ids_and_prob_mask in
#                  transformers/data/data_collator.py: a word begins where a token's offset is not the end of the one
#                  before. Offsets that include the space before a word leave no such gap.
# Why it matters:  encoders are adapted to a domain by masked language modelling before they are tuned. The loss stays
#                  finite and falls, as the model learns how often words occur.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import re
import sys

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AlbertTokenizer,
    BertTokenizer,
    DataCollatorForLanguageModeling,
    DebertaV2Tokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

transformers.logging.set_verbosity_error()
text = "a model sees many short words in a plain sentence and some of them are masked"
chinese = "我们今天去北京大学图书馆看书"
letters = "abcdefghijklmnopqrstuvwxyz"


def pieces(*special):
    """A vocabulary of sentencepiece: letters at the beginning of a word, and letters in it."""
    starts = [("▁" + letter, -3.0) for letter in letters]
    return [(token, 0.0) for token in special] + [("▁", -9.0)] + starts + [(letter, -3.0) for letter in letters]


def byte_level(*special):
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    return {token: number for number, token in enumerate(tokens)}


def modernbert():
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    made = Tokenizer(models.BPE(vocab=byte_level(*special), merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=made, **dict(zip(names, special, strict=True)))


bert_special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
bert_tokens = [*bert_special, *letters, *("##" + letter for letter in letters), *dict.fromkeys(chinese)]
bert = BertTokenizer(vocab={token: number for number, token in enumerate(bert_tokens)})
tokenizers = {
    "BERT": bert,
    "RoBERTa": RobertaTokenizer(vocab=byte_level("<s>", "<pad>", "</s>", "<unk>", "<mask>"), merges=[]),
    "XLM-R": XLMRobertaTokenizer(vocab=[*pieces("<s>", "<pad>", "</s>", "<unk>"), ("<mask>", 0.0)]),
    "ALBERT": AlbertTokenizer(vocab=pieces("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")),
    "DeBERTa-v3": DebertaV2Tokenizer(vocab=[*pieces("[PAD]", "[CLS]", "[SEP]", "[UNK]"), ("[MASK]", 0.0)]),
    "ModernBERT": modernbert(),
}


def masked(tokenizer, text):
    """Of 1000 maskings: how many mask nothing, how many everything, and how many different sets of tokens there are."""
    collator = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True, mlm_probability=0.15, seed=0)
    encoded = tokenizer(text, return_special_tokens_mask=True, return_offsets_mapping=True)
    if tokenizer.unk_token_id in encoded["input_ids"]:
        sys.exit("the vocabulary does not cover the text")
    real = ~torch.tensor(encoded["special_tokens_mask"]).bool()
    labels = [collator([dict(encoded)])["labels"][0][real] != -100 for _ in range(1000)]
    nothing, everything = (sum(bool(found(row)) for row in labels) for found in (lambda x: not x.any(), torch.all))
    return nothing, everything, len({tuple(row.tolist()) for row in labels})


def words(tokenizer, text):
    """How many words the tokenizer itself sees."""
    return len(set(tokenizer(text).word_ids()) - {None})


count = len(re.findall(r"\w+", text))
seen = {name: masked(tokenizer, text) for name, tokenizer in tokenizers.items()}
seen["BERT, Chinese"] = masked(bert, chinese)
print(f"transformers {transformers.__version__}, {count} words, 1000 maskings at 0.15; expected {0.85**count:.2f} of")
print("them without a mask, hardly one wholly masked, and hundreds of different ones; seen:")
for name, (nothing, everything, different) in seen.items():
    print(f"  {name}: {nothing} mask nothing, {everything} everything, {different} different maskings")
print("words that the tokenizers themselves see:", {name: words(t, text) for name, t in tokenizers.items()})
right = all(
    seen[name][0] < 200 and seen[name][1] == 0 and seen[name][2] > 300
    for name in ("BERT", "RoBERTa", "XLM-R", "ALBERT")
)
one = all(
    sum(seen[name][:2]) == 1000 and 800 < seen[name][0] < 900 for name in ("DeBERTa-v3", "ModernBERT", "BERT, Chinese")
)
if not (right and one):
    sys.exit("changed: the words of other tokenizers are told apart")
PY
