#!/usr/bin/env bash
# One would think: merging works on a base in torchao's int8 as on floats, up to rounding, for each kind of LoRA that
#                  trains there; what cannot be merged, as activated LoRA, is refused.
# What is so:      the merge adds alpha / rank * BA, whatever the kind. A DoRA adapter, trained for 60 steps, is
#                  merged as plain LoRA: the merged weight lies within rounding of W + BA, and the trained magnitudes
#                  are lost. An activated LoRA is merged without a word, and then acts on texts without its
#                  invocation. On floats DoRA is merged exactly, and activated LoRA is refused.
# Versions:        peft 0.21.2, torchao 0.18.0, torch 2.13.0, transformers 5.23.0.
# Source:          merge of TorchaoLoraLinear in peft/tuners/lora/torchao.py adds get_delta_weight and never looks
#                  into lora_variant, which its own forward uses; merge in layer.py, bnb.py and hqq.py does look.
# Why it matters:  the model that is deployed or tested after merge_and_unload() is not the one that was validated.
#                  Leave the adapter unmerged, or merge it into the float model.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile \
    torch==2.13.0 transformers==5.23.0 peft==0.21.2 torchao==0.18.0 accelerate==1.15.0
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import peft
import torch
import torchao
from torchao.quantization import Int8WeightOnlyConfig
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, TorchAoConfig

torch.manual_seed(0)
size = dict(vocab_size=64, hidden_size=64, intermediate_size=64, num_attention_heads=4, num_hidden_layers=1)
LlamaForCausalLM(LlamaConfig(**size)).save_pretrained("base")
texts = torch.randint(10, 64, (8, 12))  # none holds the invocation (5, 6)
called = texts.clone()
called[:, 4:6] = torch.tensor([5, 6])


def load(int8):
    config = TorchAoConfig(quant_type=Int8WeightOnlyConfig()) if int8 else None
    return AutoModelForCausalLM.from_pretrained("base", dtype=torch.float32, quantization_config=config).eval()


def tuned(int8, **kind):
    """A model whose adapter was trained to give the texts, and the logits of the base."""
    base = load(int8)
    with torch.no_grad():
        before = base(texts).logits
    torch.manual_seed(0)
    config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], **kind)
    model = peft.get_peft_model(base, config)
    optim = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(60):
        optim.zero_grad()
        model(input_ids=called, labels=called).loss.backward()
        optim.step()
    return model.eval(), before


def lost(int8, **kind):
    """Share of an adapter's effect on the logits that its merge loses: near 0 for a right one."""
    model, before = tuned(int8, **kind)
    layer = model.base_model.model.model.layers[0].self_attn.v_proj
    with torch.no_grad():
        after = model(input_ids=texts).logits
        weight = layer.get_base_layer().weight
        plain = (weight.dequantize() if int8 else weight).clone() + layer.get_delta_weight("default")
        merged = model.merge_and_unload()
        weight = merged.model.layers[0].self_attn.v_proj.weight
        weight = weight.dequantize() if int8 else weight
        gap = (merged(texts).logits - after).norm() / (after - before).norm()
    return round(gap.item(), 3), round(((weight - plain).norm() / plain.norm()).item(), 3)


def activated(int8):
    """Change of the logits of texts without the invocation, before and after the merge of an activated LoRA."""
    model, before = tuned(int8, alora_invocation_tokens=[5, 6])
    with torch.no_grad():
        change = [round((model(input_ids=texts).logits - before).abs().max().item(), 3)]
        try:
            change.append(round((model.merge_and_unload()(texts).logits - before).abs().max().item(), 3))
        except NotImplementedError:
            change.append("refused")
    return tuple(change)


seen = {
    "LoRA on floats": lost(False),
    "LoRA on int8": lost(True),
    "DoRA on floats": lost(False, use_dora=True),
    "DoRA on int8": lost(True, use_dora=True),
}
calls = {"floats": activated(False), "int8": activated(True)}
print(f"peft {peft.__version__}, torchao {torchao.__version__}; expected the merge to lose nothing; seen:")
for name, (gap, distance) in seen.items():
    print(f"  {name}: {gap} of the effect lost by the merge; merged v_proj is {distance} from W + BA")
print("expected of an activated LoRA that is not called no effect, and no merge; seen, before and after the merge:")
for name, (before, after) in calls.items():
    print(f"  on {name}: logits changed by {before}, {after}")
if not (
    max(seen["LoRA on floats"][0], seen["LoRA on int8"][0], seen["DoRA on floats"][0]) < 0.05
    and seen["DoRA on int8"][0] > 0.1
    and seen["DoRA on int8"][1] < 0.02 < seen["DoRA on floats"][1]
    and calls["floats"] == (0, "refused")
    and calls["int8"][0] == 0
    and calls["int8"][1] != "refused"
    and calls["int8"][1] > 0.1
):
    sys.exit("changed: a merge on torchao's int8 keeps DoRA's magnitudes, or refuses activated LoRA")
PY
