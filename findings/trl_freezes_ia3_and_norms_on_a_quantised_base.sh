#!/usr/bin/env bash
# One would think: (IA)3 and LN tuning train on an 8-bit base as on a float one, since their own parameters are not
#                  quantised.
# What is so:      SFTTrainer casts all that trains on a bitsandbytes base to bfloat16. Gains near 1 are 0.004 (below
#                  1) or 0.008 (above) apart there, and a step of Adam is about the learning rate: at 1e-4 and 1e-3
#                  not one gain of 30 steps has moved, at 3e-3 they move downwards only. On floats all move; so they
#                  do on 8 bits when they are put back to float32 after the trainer is made. LoRA's matrices, near 0,
#                  train.
# Versions:        trl 1.16.0, peft 0.21.2, bitsandbytes 0.50.2 (int8), torch 2.13.0, transformers 5.23.0.
# Source:          __init__ of SFTTrainer, "if _is_quantized_model": DoRA's magnitudes are left out of the cast, for
#                  this very reason; (IA)3, norms and modules_to_save are not. The trainers for DPO, KTO, GRPO, RLOO
#                  and rewards hold the same lines. peft itself keeps (IA)3 in float32 there.
# Why it matters:  a run of thousands of steps gives the base back, with a falling learning rate, gradients and a loss
#                  that look alive: "(IA)3 learns nothing on a quantised model".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile \
    torch==2.13.0 transformers==5.23.0 peft==0.21.2 trl==1.16.0 bitsandbytes==0.50.2 accelerate==1.15.0 datasets==5.2.0
cd "$work"
export HF_HUB_OFFLINE=1 HF_HOME="$work/hf"
"$work/venv/bin/python" -W ignore - 2> errors <<'PY' || { tail -n 20 errors >&2; exit 1; }
import importlib.metadata
import sys

import peft
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
)
from trl import SFTConfig, SFTTrainer

torch.manual_seed(0)
size = dict(vocab_size=64, hidden_size=64, intermediate_size=64, num_attention_heads=4, num_hidden_layers=1)
LlamaForCausalLM(LlamaConfig(**size, pad_token_id=0, eos_token_id=2)).save_pretrained("base")
words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(64)}, unk_token="w1"))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", unk_token="w1", eos_token="w2")
texts = Dataset.from_dict({"input_ids": torch.randint(3, 64, (64, 16)).tolist()})
NORMS = ["input_layernorm", "post_attention_layernorm", "model.norm"]
CONFIGS = {
    "(IA)3": lambda: peft.IA3Config(task_type="CAUSAL_LM"),
    "LN tuning": lambda: peft.LNTuningConfig(task_type="CAUSAL_LM", target_modules=NORMS),
    "B of LoRA": lambda: peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]),
}


def moved(config, rate, int8=True, restore=False):
    """Shares of the parameters that 30 steps moved up and down."""
    torch.manual_seed(0)
    quantisation = BitsAndBytesConfig(load_in_8bit=True) if int8 else None
    base = AutoModelForCausalLM.from_pretrained("base", dtype=torch.float32, quantization_config=quantisation)
    args = SFTConfig(
        output_dir="out",
        max_steps=30,
        per_device_train_batch_size=4,
        learning_rate=rate,
        lr_scheduler_type="constant",
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(base, args, train_dataset=texts, processing_class=tokenizer, peft_config=config)
    trainer.remove_callback(PrinterCallback)
    adapter = [(n, p) for n, p in trainer.model.named_parameters() if p.requires_grad]
    if restore:
        for _, p in adapter:
            p.data = p.data.float()
    adapter = [p for n, p in adapter if "lora_A" not in n]
    initial = [p.detach().float().clone() for p in adapter]
    trainer.train()
    change = torch.cat([(p.detach().float() - old).flatten() for p, old in zip(adapter, initial)])
    return round((change > 0).float().mean().item(), 2), round((change < 0).float().mean().item(), 2)


seen = {
    name: {
        "floats, 1e-3": moved(make(), 1e-3, int8=False),
        "8 bits, 1e-4": moved(make(), 1e-4),
        "8 bits, 1e-3": moved(make(), 1e-3),
        "8 bits, 3e-3": moved(make(), 3e-3),
        "8 bits put back to float32, 1e-3": moved(make(), 1e-3, restore=True),
    }
    for name, make in CONFIGS.items()
}
versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("trl", "peft", "bitsandbytes"))
print(f"{versions}; expected shares of the parameters that moved up and down: 1 together; seen:")
for name, shares in seen.items():
    for setting, pair in shares.items():
        print(f"  {name}, {setting}: {pair}")
gains = [seen["(IA)3"], seen["LN tuning"]]
if not (
    all(sum(seen[name][key]) > 0.95 for name in seen for key in seen[name] if name == "B of LoRA" or "float" in key)
    and all(gain[key] == (0, 0) for gain in gains for key in ("8 bits, 1e-4", "8 bits, 1e-3"))
    and all(gain["8 bits, 3e-3"][0] == 0 < gain["8 bits, 3e-3"][1] for gain in gains)
):
    sys.exit("changed: gains move at each rate on an 8-bit base too, or in both directions")
PY
