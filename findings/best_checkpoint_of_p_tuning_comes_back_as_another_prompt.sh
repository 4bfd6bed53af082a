#!/usr/bin/env bash
# One would think: Trainer with load_best_model_at_end evaluates, after training, with the loss of its best checkpoint.
# What is so:      with P-tuning it does not: the checkpoint holds the encoder's outputs, they are loaded as its inputs,
#                  and the prompt is then encoder(outputs). The same happens to load_adapter under a name in use. A
#                  fresh PeftModel.from_pretrained is right, and so is LoRA.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0, accelerate 1.15.0.
# Source:          set_peft_model_state_dict (peft/utils/save_and_load.py) writes "prompt_embeddings" to the encoder's
#                  embedding; get_prompt (peft/peft_model.py) passes it through the MLP unless inference_mode is set,
#                  which only a fresh load does.
# Why it matters:  the final score of P-tuning is that of a prompt nobody trained; the checkpoint on the disk is sound.
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
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

transformers.utils.logging.disable_progress_bar()
config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    initializer_range=0.1,
)
methods = {
    "LoRA": peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"]),
    "P-tuning": peft.PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, encoder_hidden_size=16),
}
torch.manual_seed(0)
texts = [{"input_ids": text, "labels": text} for text in torch.randint(1, 64, (16, 8))]
seen = {}
for name, method in methods.items():
    torch.manual_seed(0)
    arguments = TrainingArguments(
        output_dir=name,
        num_train_epochs=3,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        learning_rate=1e-2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    model = peft.get_peft_model(LlamaForCausalLM(config), method)
    trainer = Trainer(model, arguments, train_dataset=texts, eval_dataset=texts)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    best = trainer.state.best_metric
    after = trainer.evaluate()["eval_loss"]
    torch.manual_seed(0)
    fresh = peft.PeftModel.from_pretrained(LlamaForCausalLM(config), trainer.state.best_model_checkpoint)
    loaded = Trainer(fresh, arguments, eval_dataset=texts)
    loaded.remove_callback(transformers.PrinterCallback)
    seen[name] = {
        "best": round(best, 3),
        "after training": round(after, 3),
        "loaded afresh": round(loaded.evaluate()["eval_loss"], 3),
    }
print(f"peft {peft.__version__}: eval_loss, expected three equal numbers for each, seen {seen}")
lora, p_tuning = seen["LoRA"], seen["P-tuning"]
if not (
    len(set(lora.values())) == 1
    and p_tuning["loaded afresh"] == p_tuning["best"]
    and p_tuning["after training"] > p_tuning["best"] + 0.01
):
    sys.exit("changed: P-tuning's best checkpoint is now loaded as it was, or LoRA's no longer is")
PY
