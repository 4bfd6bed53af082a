#!/usr/bin/env bash
# One would think: a stack of two LoRA adapters applies both, as two adapters that are active in peft do, or a stack of
#                  bottleneck adapters does. A new adapter on a trained one leaves the trained one's model.
# What is so:      the second one's input is the first one's update, not the layer's input, and the first one's update
#                  is added nowhere: W x + B2 A2 B1 A1 x. A new adapter, on either side, gives the base, and with B = 0
#                  on both sides nothing trains. VeRA is the same. A stack of parallel bottlenecks is the last one
#                  alone.
# Versions:        adapters 1.3.0, torch 2.13.0, transformers 4.57.6.
# Source:          compose_stack in adapters/methods/adapter_layer_base.py; LoRA's forward reads the hidden states of
#                  the adapter before it, if there are any. The documentation lists stacks of LoRA as supported.
# Why it matters:  stacks are for a task adapter on a language adapter (MAD-X). With LoRA the language adapter's effect
#                  is taken away when the task adapter is put on it, and the task adapter sees as many directions of it
#                  as the rank.
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
from adapters import LoRAConfig, ParBnConfig, SeqBnConfig, VeraConfig
from adapters.composition import Stack
from transformers import BertConfig, BertModel

logging.disable(logging.WARNING)
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@torch.no_grad()
def distances(config):
    """Distances of stacks from the base, and from the trained adapter, over the size of the trained one's effect."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=64, **SIZES), add_pooling_layer=False).eval()
    adapters.init(model)
    for name in ("trained", "new"):
        model.add_adapter(name, config=config)
    for key, parameter in model.named_parameters():
        if ".trained." in key:
            parameter.add_(0.3 * torch.randn_like(parameter))
    texts = torch.randint(5, 64, (3, 8))

    def output(setup):
        model.set_active_adapters(setup)
        return model(texts).last_hidden_state

    base, trained = output(None), output("trained")
    size = (trained - base).norm()
    setups = {"new on trained": Stack("trained", "new"), "trained on new": Stack("new", "trained")}
    return {
        name: [round(((output(setup) - other).norm() / size).item(), 2) for other in (base, trained)]
        for name, setup in setups.items()
    }


seen = {
    "bottleneck": distances(SeqBnConfig()),
    "LoRA": distances(LoRAConfig(r=4, alpha=8)),
    "VeRA": distances(VeraConfig()),
    "parallel bottleneck": distances(ParBnConfig()),
}
print(
    f"adapters {adapters.__version__}: distance of a stack from [the base, the trained adapter], expected about "
    f"[1, 0] throughout, seen {seen}"
)
base, trained = [0.0, 1.0], [1.0, 0.0]
expected = {
    "LoRA": {"new on trained": base, "trained on new": base},
    "VeRA": {"new on trained": base, "trained on new": base},
    "parallel bottleneck": {"new on trained": base, "trained on new": trained},
}
if any(seen[name] != row for name, row in expected.items()) or max(d for _, d in seen["bottleneck"].values()) > 0.1:
    sys.exit("changed: stacks apply all of their adapters, or those of bottlenecks do not")
PY
