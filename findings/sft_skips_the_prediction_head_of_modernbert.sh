#!/usr/bin/env bash
# One would think: SFTTrainer trains the model that generates: its loss is the model's own.
# What is so:      its loss is computed from the last hidden states and the output matrix. What a model does between
#                  them is left out: the prediction head (a linear map, an activation and a norm) of ModernBERT's
#                  decoder and of BERT and XLM-RoBERTa as decoders, and the soft cap of RecurrentGemma. The head gets no
#                  gradient. Trained to a loss of 0.03, ModernBERT's own loss is 5.1; before training it was 4.3.
# Versions:        trl 1.16.0, transformers 5.23.0, torch 2.13.0.
# Source:          trl/trainer/utils.py: the forward of add_fused_lm_head calls the backbone and multiplies by the
#                  weight of get_output_embeddings(). It knows some scales and soft caps by their names in the
#                  configuration, and no prediction head. The trainers for DPO, KTO, GRPO and RLOO use it too.
# Why it matters:  training looks right, and the saved model was not trained. A baseline on ModernBERT's decoders
#                  (Ettin) seems to fail at generation.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 trl==1.16.0
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io
import random
import sys

import datasets
import torch
import transformers
import trl
from tokenizers import Tokenizer, models, pre_tokenizers
from trl import SFTConfig, SFTTrainer

transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()
WORDS = [f"w{i}" for i in range(61)]
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
ARCHITECTURES = {
    "llama": {},
    "modernbert-decoder": dict.fromkeys(("bos_token_id", "cls_token_id", "sep_token_id"), 1),
    "bert": {"is_decoder": True},
    "xlm-roberta": {"is_decoder": True},
    "recurrent_gemma": {"num_hidden_layers": 3, "lru_width": 32, "head_dim": 8, "logits_soft_cap": 2.0},
}
tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}, "<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
)
random.seed(0)
texts = [" ".join(random.choices(WORDS, k=12)) for _ in range(8)]
rows = datasets.Dataset.from_list([{"text": text} for text in texts])
batch = tokenizer([text + " <eos>" for text in texts], return_tensors="pt")["input_ids"]


def train(architecture, rate, steps):
    """Loss that SFTTrainer logs for the last step, and the loss of the model itself after it."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        architecture, pad_token_id=0, eos_token_id=1, **(SIZES | ARCHITECTURES[architecture])
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5 if parameter.ndim == 2 else 1)
    options = SFTConfig(
        output_dir="out", max_steps=steps, per_device_train_batch_size=8, learning_rate=rate, use_cpu=True, bf16=False,
        lr_scheduler_type="constant", gradient_checkpointing=False, save_strategy="no", report_to=[], logging_steps=1,
        disable_tqdm=True, weight_decay=0.0,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = SFTTrainer(model=model, args=options, train_dataset=rows, processing_class=tokenizer)
        trainer.train()
    logged = [float(row["loss"]) for row in trainer.state.log_history if "loss" in row][-1]
    with torch.no_grad():
        own = model.eval()(input_ids=batch, labels=batch).loss.item()
    return round(logged, 2), round(own, 2)


seen = {name: {"before": train(name, 1e-9, 1), "after": train(name, 3e-3, 150)} for name in ARCHITECTURES}
print(
    f"trl {trl.__version__}, transformers {transformers.__version__}: (loss of SFTTrainer, loss of the model) before "
    f"and after training on 8 texts, expected equal numbers, seen {seen}"
)
apart = {
    name
    for name, losses in seen.items()
    if abs(losses["before"][0] - losses["before"][1]) > 0.02 and losses["after"][1] > losses["after"][0] + 2
}
if apart != set(ARCHITECTURES) - {"llama"} or abs(seen["llama"]["after"][0] - seen["llama"]["after"][1]) > 0.02:
    sys.exit("changed: the loss of SFTTrainer is the model's, or is not for other architectures")
PY
