#!/usr/bin/env bash
# One would think: the block Average gives the weighted average of its adapters' outputs, as the documentation says. The
#                  average of two adapters that are equal, or weights [1, 0], are one adapter.
# What is so:      the weights add up to 1, and the weighted outputs are averaged once more: n adapters have 1/n of
#                  their average. For bottlenecks and LoRA the update is too small by n. For (IA)3 the factors are:
#                  keys, values and hidden values of the model shrink to 1/n, trained or not.
# Versions:        adapters 1.3.0, torch 2.13.0, transformers 4.57.6.
# Source:          mean() in adapters/methods/bottleneck.py and lora.py: torch.mean of outputs times weights, while
#                  Average.__init__ divides the weights by their sum. normalize_weights=False with weights that add up
#                  to n gives the average.
# Why it matters:  an ensemble of adapters looks weak, and the weaker the more members it has. Averages of parameters
#                  (average_adapter) are right, so the two are compared at different strengths.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==4.57.6 adapters==1.3.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import logging
import sys

import adapters
import torch
from adapters import IA3Config, LoRAConfig, SeqBnConfig
from adapters.composition import Average
from transformers import BertConfig, BertModel

logging.disable(logging.WARNING)
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


@torch.no_grad()
def seen_by(config, module):
    """What one module puts out with an average of n equal adapters, less the base's, over what it does with one."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=64, **SIZES), add_pooling_layer=False).eval()
    adapters.init(model)
    names = ["a", "b", "c", "d"]
    for name in names:
        torch.manual_seed(1)
        model.add_adapter(name, config=config)
        for key, parameter in model.named_parameters():
            if f".{name}." in key:
                parameter.add_(0.3 * torch.randn_like(parameter))
    texts, outputs = torch.randint(5, 64, (3, 8)), []
    model.get_submodule(module).register_forward_hook(lambda _, inputs, output: outputs.append(output))
    for setup in (None, "a", Average(*names[:2]), Average(*names[:2], weights=[1, 0]), Average(*names)):
        model.set_active_adapters(setup)
        model(texts)
    base, one, *averages = outputs
    base = torch.zeros_like(base) if isinstance(config, IA3Config) else base
    return [round(((average - base).norm() / (one - base).norm()).item(), 3) for average in averages]


query = "encoder.layer.0.attention.self.query"
value = "encoder.layer.0.attention.self.value"
seen = {
    "LoRA": seen_by(LoRAConfig(r=4, attn_matrices=["q"]), query),
    "(IA)3": seen_by(IA3Config(), value),
    "bottleneck": seen_by(SeqBnConfig(), "encoder.layer.0.output"),
}
print(
    f"adapters {adapters.__version__}: output of averages of 2 equal adapters, of 2 with weights [1, 0], and of 4, "
    f"over that of one adapter, expected [1.0, 1.0, 1.0], seen {seen}"
)
if any(abs(a - b) > 0.1 for row in seen.values() for a, b in zip(row, (0.5, 0.5, 0.25))):
    sys.exit("changed: Average is the weighted average")
PY
