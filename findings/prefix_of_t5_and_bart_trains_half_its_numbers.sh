#!/usr/bin/env bash
# One would think: prefix tuning of an encoder-decoder trains a key and a value of each virtual token for every layer of
#                  the decoder, as it does for a decoder.
# What is so:      with an even number of layers (all of T5's and BART's sizes) half of the numbers that are counted,
#                  saved and given to the optimiser are never read: layers share keys and values in pairs. With an odd
#                  number all are read.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          PeftModel.get_prompt (peft/peft_model.py) doubles what it splits for two submodules, and takes four
#                  entries a layer, of which the decoder's self-attention gets the first two; cross-attention keeps none.
# Why it matters:  the parameter count of a prefix on T5 is twice what it trains, and neighbouring layers have the same
#                  prefix; comparisons at equal parameters, and prefixes converted layer by layer, are wrong.
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
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

COMMON = {"vocab_size": 64, "d_model": 16}


def t5(layers):
    sizes = {"d_ff": 32, "d_kv": 8, "num_heads": 2, "num_layers": layers, "num_decoder_layers": layers}
    return T5ForConditionalGeneration(T5Config(**COMMON, **sizes, decoder_start_token_id=0))


def bart(layers):
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    sizes = {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_layers": layers, "decoder_layers": layers}
    return BartForConditionalGeneration(BartConfig(**COMMON, **heads, **sizes, max_position_embeddings=32))


def llama(layers):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": layers}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes, num_attention_heads=2, num_key_value_heads=2))


def read(make, layers):
    """The share of a prefix's trained numbers that get a gradient, and the change of the loss without the others."""
    torch.manual_seed(0)
    base = make(layers)
    task = "CAUSAL_LM" if make is llama else "SEQ_2_SEQ_LM"
    model = peft.get_peft_model(base, peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=5)).eval()
    ids = torch.randint(3, 60, (2, 7))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    loss = model(**batch).loss
    loss.backward()
    weight = model.prompt_encoder["default"].embedding.weight
    assert weight.numel() == 5 * layers * 2 * 16
    unread = weight.grad == 0
    with torch.no_grad():
        weight[unread] = 100.0
        changed = abs((model(**batch).loss - loss).item())
    return round(1 - unread.float().mean().item(), 2), changed


seen = {f"{make.__name__} of {n} layers": read(make, n) for make in (t5, bart, llama) for n in (2, 3, 4)}
shares = {name: share for name, (share, _) in seen.items()}
print(f"peft {peft.__version__}: share of a prefix's numbers that is read, expected 1.0 for all, seen {shares}")
halves = {name for name, share in shares.items() if share == 0.5}
expected = {f"{name} of {n} layers" for name in ("t5", "bart") for n in (2, 4)}
whole = all(share == 1 for name, share in shares.items() if name not in expected)
if halves != expected or not whole or any(changed for _, changed in seen.values()):
    sys.exit("changed: prefixes of encoder-decoders with an even number of layers no longer read half of their numbers")
PY
