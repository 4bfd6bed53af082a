#!/usr/bin/env bash
# One would think: a BERT classifier with prompt tuning still classifies from [CLS]; the virtual tokens are more
#                  context.
# What is so:      the virtual tokens stand before [CLS] and the pooler takes position 0: the classifier reads the
#                  first virtual token, and [CLS] is at position n (n virtual tokens), a place where BERT never saw
#                  it.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          PeftModelForSequenceClassification.forward in peft/peft_model.py puts the prompt in front of the
#                  embeddings; BertPooler (transformers/models/bert/modeling_bert.py) takes the first hidden state.
# Why it matters:  low scores of prompt tuning and P-tuning on encoders, the usual baselines in tables of PEFT
#                  methods, come in part from this and not from the method; RoBERTa's head reads position 0 too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import peft
import torch
from transformers import BertConfig, BertForSequenceClassification

config = BertConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
torch.manual_seed(0)
bert = BertForSequenceClassification(config)
prompt = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=5)
model = peft.get_peft_model(bert, prompt).eval()
seen = {}
bert.bert.embeddings.register_forward_hook(lambda module, args, kwargs, out: seen.update(kwargs), with_kwargs=True)
bert.bert.pooler.register_forward_hook(lambda module, args, out: seen.update(hidden=args[0], pooled=out))
text = torch.tensor([[2, 10, 11, 12, 3]])  # [CLS] three words [SEP]
with torch.no_grad():
    model(input_ids=text, attention_mask=torch.ones_like(text))
    pooled = bert.bert.pooler.dense(seen["hidden"]).tanh()  # of every position
    read = (pooled - seen["pooled"][:, None]).norm(dim=-1).argmin().item()
    cls = bert.bert.embeddings.word_embeddings.weight[2]
    place = (seen["inputs_embeds"] - cls).norm(dim=-1).argmin().item()
print(
    f"peft {peft.__version__}: position that the pooler reads, expected that of [CLS]; "
    f"seen {read}, with [CLS] at {place}"
)
if (read, place) != (0, 5):
    sys.exit("changed: the pooler no longer reads the first virtual token, or [CLS] is elsewhere")
PY
