#!/usr/bin/env bash
# One would think: DPO that goes on from a trained adapter takes that adapter, as it stands, for its reference. At the
#                  first step policy and reference are then one model: rewards are 0 and the loss is log 2, 0.6931.
# What is so:      for LoRA, DoRA and OFT. For (IA)3, VeRA, LoHa, LoKr, BOFT, HRA, MiSS and FourierFT, and for LoRA on
#                  embeddings or with trainable tokens, the reference is a new adapter, which for most of them is the
#                  base. Nothing is logged.
# Versions:        trl 1.16.0, peft 0.21.2, transformers 5.23.0, torch 2.13.0.
# Source:          DPOTrainer.__init__ adds an adapter "ref" and copies into it the parameters that have ".default." in
#                  their names. Parameters that stand in a ParameterDict themselves end with ".default". GRPO, RLOO and
#                  KTO have the same lines.
# Why it matters:  the penalty that should hold the model near its fine-tuned start holds it near the base instead. A
#                  comparison of adapters under DPO then compares two objectives.
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


def first_step(config):
    """Loss, and largest reward, of the first step from a trained adapter."""
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(tokenizer), **SIZES))
    model = peft.get_peft_model(model, config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = DPOTrainer(model=model, args=options, train_dataset=pairs, processing_class=tokenizer)
        trainer.train()
    row = trainer.state.log_history[0]
    rewards = [abs(float(row[f"rewards/{key}"])) for key in ("chosen", "rejected")]
    return round(float(row["loss"]), 4), round(max(rewards), 4)


to = {"target_modules": ["q_proj", "v_proj"]}
right = {"LoRA": peft.LoraConfig(r=4, **to), "DoRA": peft.LoraConfig(r=4, use_dora=True, **to)}
wrong = {
    "(IA)3": peft.IA3Config(feedforward_modules=[], **to),
    "VeRA": peft.VeraConfig(r=8, **to),
    "LoKr": peft.LoKrConfig(r=4, **to),
    "LoRA with trainable tokens": peft.LoraConfig(r=4, trainable_token_indices=[5, 6, 7], **to),
    "LoRA on embeddings": peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "embed_tokens"]),
}
seen = {name: first_step(config) for name, config in {**right, **wrong}.items()}
print(
    f"trl {trl.__version__}, peft {peft.__version__}: (loss, largest reward) of the first step, expected (0.6931, 0.0) "
    f"throughout, seen {seen}"
)
if any(seen[name] != (0.6931, 0.0) for name in right) or any(seen[name][1] == 0 for name in wrong):
    sys.exit("changed: the reference is the trained adapter, or LoRA's is not")
PY
