#!/usr/bin/env bash
# One would think: in Trainer four steps of two texts, accumulated, make the step of one batch of eight, whatever the
#                  task: someone divides the loss by the number of steps or of labels.
# What is so:      for causal language models it is so. For sequence and token classification, regression, masked
#                  language models and T5 nobody divides: the gradient is four times as large. LoRA changes nothing.
# Versions:        transformers 5.23.0, torch 2.13.0, peft 0.21.2, accelerate 1.15.0.
# Source:          Trainer.training_step leaves the division to each model whose forward takes keyword arguments (now
#                  all of these do); their losses do not use num_items_in_batch, e.g. BertForSequenceClassification and
#                  GenericForSequenceClassification (transformers/modeling_layers.py), T5ForConditionalGeneration.
# Why it matters:  SGD's rate is multiplied by the accumulation; with Adam the default clipping at norm 1 cuts steps it
#                  should not cut, and the logged training loss is too large. A batch of 32 made of 4 x 8 is not the
#                  paper's batch of 32. `Trainer.loss_is_scaled_for_ga = False` mends it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile \
    torch==2.13.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import peft
import torch
import transformers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
)

size = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
bert = BertConfig(**size, num_labels=3, hidden_dropout_prob=0, attention_probs_dropout_prob=0)
llama = LlamaConfig(**size, num_labels=3, pad_token_id=0)
t5 = T5Config(
    vocab_size=64,
    d_model=32,
    d_kv=8,
    d_ff=64,
    num_layers=1,
    num_heads=4,
    dropout_rate=0,
    pad_token_id=0,
    decoder_start_token_id=0,
)
lora = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["v_proj"])

torch.manual_seed(0)
texts = torch.randint(3, 64, (8, 8))
by_text = [{"input_ids": text, "labels": torch.tensor(i % 3)} for i, text in enumerate(texts)]
by_token = [{"input_ids": text, "labels": text % 3} for text in texts]
language = [{"input_ids": text, "labels": text} for text in texts]
cases = {
    "Llama, language": (lambda: LlamaForCausalLM(llama), language),
    "Llama, texts": (lambda: LlamaForSequenceClassification(llama), by_text),
    "Llama with LoRA, texts": (lambda: peft.get_peft_model(LlamaForSequenceClassification(llama), lora), by_text),
    "BERT, texts": (lambda: BertForSequenceClassification(bert), by_text),
    "BERT, tokens": (lambda: BertForTokenClassification(bert), by_token),
    "BERT, masked": (lambda: BertForMaskedLM(bert), language),
    "T5": (lambda: T5ForConditionalGeneration(t5), language),
}


def step(make, data, batch, accumulated):
    """The change of all trained parameters by one step of plain SGD at rate 1, which is minus the gradient."""
    torch.manual_seed(0)
    model = make()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    arguments = TrainingArguments(
        output_dir=".",
        max_steps=1,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulated,
        optim="sgd",
        learning_rate=1.0,
        lr_scheduler_type="constant",
        max_grad_norm=0,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(model, arguments, train_dataset=data)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    changes = [new.detach() - old for new, old in zip(model.parameters(), before, strict=True)]
    return torch.cat([change.flatten() for change in changes])


seen = {}
for name, (make, data) in cases.items():
    whole, accumulated = step(make, data, 8, 1), step(make, data, 2, 4)
    same_direction = torch.cosine_similarity(whole, accumulated, dim=0) > 0.999
    seen[name] = round((accumulated.norm() / whole.norm()).item(), 2) if same_direction else "another direction"
print(
    f"transformers {transformers.__version__}: size of the step of 4 x 2 over that of 1 x 8, expected 1.0 for all, "
    f"seen {seen}"
)
if seen != {name: 1.0 if name == "Llama, language" else 4.0 for name in cases}:
    sys.exit("changed: the losses of accumulated steps are now divided, or language models' no longer are")
PY
