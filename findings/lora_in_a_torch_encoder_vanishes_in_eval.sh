#!/usr/bin/env bash
# One would think: a LoRA adapter that trains works in evaluation too, whatever the model is made of.
# What is so:      in eval mode torch's own nn.TransformerEncoderLayer takes a fast path that reads linear1.weight,
#                  linear2.weight and the attention's weights and calls none of these modules. peft's wrapper shows the
#                  base's weight under that name, so the adapter is skipped: train mode has the tuned model, eval mode
#                  the base, to the last digit. So it is for LoRA, DoRA and OFT, on the feed-forward maps and on
#                  self_attn. Nothing is raised.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          TransformerEncoderLayer.forward in torch/nn/modules/transformer.py (the fast path wants eval mode and
#                  weights without gradients: just what a frozen base has); BaseTunerLayer.weight in
#                  peft/tuners/tuners_utils.py.
# Why it matters:  the training loss falls and every validation score is the base's: "the method does not generalise".
#                  torch.backends.mha.set_fastpath_enabled(False) mends it, and so does merge_and_unload().
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
from torch import nn
from torch.nn.functional import cross_entropy


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        return self.head(self.encoder(x).mean(1))


def losses(config):
    """Loss of one batch after training on it: in train mode, in eval mode, there without the fast path, merged, base."""
    torch.manual_seed(0)
    x, labels = torch.randn(16, 5, 32), torch.randint(0, 3, (16,))
    model = peft.get_peft_model(Classifier(), config)
    optim = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(100):
        optim.zero_grad()
        cross_entropy(model(x), labels).backward()
        optim.step()
    seen = {}
    with torch.no_grad():
        seen["train"] = cross_entropy(model(x), labels)
        model.eval()
        seen["eval"] = cross_entropy(model(x), labels)
        torch.backends.mha.set_fastpath_enabled(False)
        seen["eval, no fast path"] = cross_entropy(model(x), labels)
        torch.backends.mha.set_fastpath_enabled(True)
        with model.disable_adapter():
            seen["base"] = cross_entropy(model(x), labels)
        seen["merged"] = cross_entropy(model.merge_and_unload().eval()(x), labels)
    return {name: round(loss.item(), 3) for name, loss in seen.items()}


ffn = ["linear1", "linear2"]
seen = {
    "LoRA": losses(peft.LoraConfig(target_modules=ffn)),
    "DoRA": losses(peft.LoraConfig(target_modules=ffn, use_dora=True)),
    "OFT": losses(peft.OFTConfig(target_modules=ffn, oft_block_size=8)),
    "LoRA on self_attn": losses(peft.LoraConfig(target_modules=["self_attn"])),
}
print(
    f"peft {peft.__version__}, torch {torch.__version__}: losses without dropout, expected the same in train and eval "
    f"mode, seen {seen}"
)
for row in seen.values():
    if not (row["eval"] == row["base"] > 1.2 * row["train"] and abs(row["eval, no fast path"] - row["train"]) < 0.01):
        sys.exit("changed: the adapter works in eval mode")
PY
