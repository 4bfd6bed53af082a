#!/usr/bin/env bash
# One would think: SetFit with a LoRA adapter in its body trains the adapter and the head, however often it is trained.
# What is so:      training a torch head freezes the body and then unfreezes all of it. A second Trainer on the model
#                  (more data, a next task) trains each weight of the body, at the body's rate.
# Versions:        setfit 1.2.0, sentence-transformers 6.2.0, peft 0.21.2, torch 2.13.0.
# Source:          setfit/modeling.py: fit() ends with unfreeze("body"), which sets requires_grad of every parameter,
#                  whatever it was before.
# Why it matters:  the adapter alone is saved, and loads onto the first base: another model. A comparison of adapters in
#                  rounds compares full fine-tuning from the second round on. With logistic regression as the head, the
#                  body stays frozen.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2 \
    sentence-transformers==6.2.0 setfit==1.2.0 datasets==5.2.0
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io
import logging
import random
import sys
from importlib.metadata import version

import datasets
import peft
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from setfit import SetFitHead, SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer, models, pre_tokenizers

logging.disable(logging.CRITICAL)
datasets.disable_progress_bars()
transformers.utils.logging.disable_progress_bar()
WORDS = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(62))]
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
torch.manual_seed(0)
tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
transformers.BertModel(transformers.BertConfig(**SIZES)).save_pretrained("base")
tokenizer.save_pretrained("base")
random.seed(0)
texts = [" ".join(random.choices(WORDS[2:32] if i % 2 else WORDS[32:], k=8)) for i in range(16)]
rows = datasets.Dataset.from_dict({"text": texts, "label": [i % 2 for i in range(16)]})


def rounds(head):
    """Trainable numbers of the body, and whether it is saved and loaded as it is, after none, one and two trainings."""
    body = SentenceTransformer(modules=[Transformer("base"), Pooling(SIZES["hidden_size"])])
    body.add_adapter(peft.LoraConfig(r=4, target_modules=["query", "value"]))
    model = SetFitModel(model_body=body, model_head=head, labels=["a", "b"]).to("cpu")

    def state():
        body.eval().save_pretrained("saved")
        loaded = SentenceTransformer("saved", device="cpu").eval()
        same = torch.allclose(body.encode(texts, convert_to_tensor=True), loaded.encode(texts, convert_to_tensor=True))
        return sum(weight.numel() for weight in body.parameters() if weight.requires_grad), same

    row = [state()]
    options = TrainingArguments(
        output_dir="out", batch_size=8, num_epochs=1, max_steps=3, body_learning_rate=1e-3, save_strategy="no",
        report_to="none", show_progress_bar=False,
    )  # fmt: skip
    for _ in range(2):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            Trainer(model=model, args=options, train_dataset=rows).train()
        row.append(state())
    return row


seen = {
    "logistic regression": rounds(LogisticRegression()),
    "torch head": rounds(SetFitHead(in_features=SIZES["hidden_size"], out_features=2, device="cpu")),
}
print(
    f"setfit {version('setfit')}, sentence-transformers {version('sentence-transformers')}, peft {peft.__version__}: "
    f"(trainable numbers of the body, loaded as saved) after 0, 1 and 2 trainings, expected (1024, True), seen {seen}"
)
same = [row[1] for row in seen["torch head"]]
if seen["logistic regression"] != [(1024, True)] * 3 or same != [True, True, False]:
    sys.exit("changed: a torch head leaves the frozen body frozen, or does not unfreeze it as stated")
PY
