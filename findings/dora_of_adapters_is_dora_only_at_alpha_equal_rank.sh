#!/usr/bin/env bash
# One would think: the rows of a layer tuned by DoRA have the trained magnitudes as lengths, whatever alpha and rank.
# What is so:      only if alpha equals the rank. Otherwise rows are divided by the length that they would have without
#                  the factor alpha / rank, so their lengths grow with it. The layer's bias is always multiplied along
#                  with the weights, and the merged layer, whose bias is not, computes yet something else.
# Versions:        adapters 1.3.0, torch 2.13.0, transformers 4.57.6.
# Source:          compute_dora_norm (adapters/methods/lora.py) adds the update to the weight without `scaling`; forward
#                  multiplies the update by it afterwards.
# Why it matters:  alpha = 2 rank is usual. Direction and magnitude are then not decoupled, results are not those of the
#                  paper, and weights carried over to HF peft compute something else.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==4.57.6 adapters==1.3.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import adapters
import torch
from adapters import LoRAConfig
from transformers import BertConfig, BertModel, logging

logging.set_verbosity_error()
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
RANK = 4


@torch.no_grad()
def lengths(alpha):
    """Lengths of a tuned layer's rows, and its bias, over what DoRA says; and how far the merged layer is away."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=64, **SIZES), add_pooling_layer=False).eval()
    adapters.init(model)
    model.add_adapter("tuned", config=LoRAConfig(r=RANK, alpha=alpha, use_dora=True, attn_matrices=["q"]))
    model.set_active_adapters("tuned")
    layer = model.encoder.layer[0].attention.self.query
    layer.bias.normal_()
    tuned = layer.loras["tuned"]
    tuned.lora_A.normal_(std=0.3)
    tuned.lora_B.normal_(std=0.3)
    magnitude = tuned.m.weight.flatten().clone()
    magnitude_of = layer.weight.norm(dim=1)
    assert torch.allclose(magnitude, magnitude_of)
    inputs = torch.cat([torch.zeros(1, 1, 16), torch.eye(16)[None]], dim=1)
    output = layer(inputs)[0]
    bias, rows = output[0].clone(), (output[1:] - output[0]).T
    row_lengths, bias_share = rows.norm(dim=1) / magnitude, bias / layer.bias
    model.merge_adapter("tuned")
    merged = (layer(inputs)[0] - output).abs().max().item()
    return row_lengths, bias_share, merged


seen = {alpha: lengths(alpha) for alpha in (RANK, 2 * RANK, 4 * RANK)}
for alpha, (rows, bias, merged) in seen.items():
    print(
        f"adapters {adapters.__version__}: rank {RANK}, alpha {alpha}: lengths over magnitudes, expected 1, seen "
        f"{rows.min():.2f} to {rows.max():.2f}; bias over its value, expected 1, seen {bias.min():.2f} to "
        f"{bias.max():.2f}; merged layer away from the tuned one by {merged:.3f}"
    )
exact = torch.allclose(seen[RANK][0], torch.ones(16), atol=1e-4)
longer = all((seen[alpha][0] > 1.2).any() for alpha in (2 * RANK, 4 * RANK))
scaled = all((bias - 1).abs().max() > 0.1 for _, bias, _ in seen.values())
if not (exact and longer and scaled and seen[4 * RANK][2] > 0.01):
    sys.exit("changed: lengths, bias or merge of DoRA no longer depend on alpha in this way")
PY
