#!/usr/bin/env bash
# One would think: DPO with a new LoRA adapter starts with policy and reference equal, however the adapter begins, as
#                  every initialisation leaves the model's outputs as they are: rewards 0, loss log 2, 0.6931.
# What is so:      PiSSA and OLoRA take their part out of the base's weights. The reference is the model with the
#                  adapter off, so it is the residual: for PiSSA, the base without its largest singular directions.
#                  Rewards are not 0 at the first step.
# Versions:        trl 1.16.0, peft 0.21.2, transformers 5.23.0, torch 2.13.0.
# Source:          without a reference model DPOTrainer computes the reference under use_adapter(model, None), which
#                  disables the adapters. GRPO, RLOO and KTO do the same. Passing ref_model gives the right reference.
# Why it matters:  the penalty pulls towards a damaged model. A comparison of initialisations under DPO compares
#                  objectives.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2 trl==1.16.0
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io
import random
import sys

import datasets
import peft
import torch
import transformers
import trl
from tokenizers import Tokenizer, models, pre_tokenizers
from trl import DPOConfig, DPOTrainer

transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()
WORDS = [f"w{i}" for i in range(60)]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}, "<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
)
random.seed(0)
texts = [
    {key: " " + " ".join(random.choices(WORDS, k=6)) for key in ("prompt", "chosen", "rejected")} for _ in range(4)
]
pairs = datasets.Dataset.from_list(texts)
options = DPOConfig(
    output_dir="out", max_steps=1, per_device_train_batch_size=4, logging_steps=1, learning_rate=1e-9, use_cpu=True,
    bf16=False, gradient_checkpointing=False, save_strategy="no", report_to=[], disable_tqdm=True,
)  # fmt: skip


def llama():
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(tokenizer), **SIZES))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5 if parameter.ndim == 2 else 1)
    return model


def first_step(init, reference=None):
    """Loss, and largest reward, of the first step."""
    config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=init)
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = DPOTrainer(
            model=llama(), ref_model=reference, args=options, train_dataset=pairs, processing_class=tokenizer,
            peft_config=config,
        )  # fmt: skip
        trainer.train()
    row = trainer.state.log_history[0]
    rewards = [abs(float(row[f"rewards/{key}"])) for key in ("chosen", "rejected")]
    return round(float(row["loss"]), 4), round(max(rewards), 4)


seen = {str(init): first_step(init) for init in (True, "gaussian", "pissa", "olora")}
seen["pissa, ref_model=base"] = first_step("pissa", llama())
print(
    f"trl {trl.__version__}, peft {peft.__version__}: (loss, largest reward) of the first step, expected (0.6931, 0.0) "
    f"throughout, seen {seen}"
)
if {name for name, (_, reward) in seen.items() if reward > 0.001} != {"pissa", "olora"}:
    sys.exit("changed: the reference is the base")
PY
