#!/usr/bin/env bash
# One would think: a cache changes the speed of generation, not its result. (Greedy texts of LoRA agree with and
#                  without.)
# What is so:      an activated LoRA (alora_invocation_tokens) is on from its invocation to the end of the text.
#                  generate notes the place once, as a distance from the end of the prompt. Without a cache each step
#                  reads a longer text with the same distance: the adapter is on for the last few tokens only, and off
#                  at the invocation. With a prompt read in chunks it is on in every chunk. Greedy texts then differ
#                  from those of the model's own logits; with a cache they agree.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          get_alora_offsets_for_generate in peft/tuners/lora/variants.py runs once a call; the forward of
#                  ALoraLinearVariant masks by pos >= T - offset, and T grows or is the chunk's.
# Why it matters:  use_cache=False goes with gradient checkpointing, and chunks with long prompts; the adapter then
#                  looks badly trained.
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
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

transformers.logging.set_verbosity_error()
NEW = 16
torch.manual_seed(0)
prompts = torch.randint(10, 64, (32, 12))
prompts[:, 8:10] = torch.tensor([5, 6])  # the invocation
size = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_attention_heads=4, num_hidden_layers=2)


def agreement(invocation):
    """Share of greedily generated tokens, by setting, that equal those of the logits of the whole text so far."""
    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(**size, initializer_range=0.3, eos_token_id=None, pad_token_id=0))
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=["q_proj", "v_proj"],
        lora_alpha=16,
        init_lora_weights=False,  # stands for a trained adapter
        alora_invocation_tokens=invocation,
    )
    model = peft.get_peft_model(base, config).eval()
    text = prompts
    with torch.no_grad():
        for _ in range(NEW):
            text = torch.cat([text, model(input_ids=text).logits[:, -1:].argmax(-1)], 1)
    same = {}
    for name, setting in {
        "cache": {},
        "no cache": {"use_cache": False},
        "prompt in chunks of 4": {"prefill_chunk_size": 4},
    }.items():
        out = model.generate(
            input_ids=prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=NEW,
            do_sample=False,
            **setting,
        )
        same[name] = round((out == text)[:, prompts.shape[1] :].float().mean().item(), 3)
    return same


lora, alora = agreement(None), agreement([5, 6])
print(f"peft {peft.__version__}; expected share of generated tokens that the model's own logits give: 1; seen:")
print(f"  LoRA: {lora}")
print(f"  activated LoRA: {alora}")
uncached = max(alora["no cache"], alora["prompt in chunks of 4"])
if not (min(lora.values()) > 0.95 and alora["cache"] > 0.95 and uncached < 0.5):
    sys.exit("changed: an activated LoRA generates alike with and without a cache, or LoRA does not")
PY
