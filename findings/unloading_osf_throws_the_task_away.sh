#!/usr/bin/env bash
# One would think: the recipe for OSF in the documentation (of peft 0.20) keeps what a task has taught:
#                  "base_model = model.unload()" between two tasks, then get_peft_model() again, so that the next
#                  subspace reflects the latest weights.
# What is so:      unload() returns the weights from before the task. The next task starts at the base, and its
#                  protected directions are the base's again. merge_and_unload() gives the trained model. But
#                  merge_adapter() before it adds the update twice, where LoRA skips an adapter that is merged already.
# Versions:        peft 0.21.2, torch 2.13.0, transformers 5.23.0.
# Source:          forward in peft/tuners/osf/layer.py adds the update to a base layer that training leaves as it is;
#                  the recipe speaks of weights modified in place. merge does not ask which adapters are merged.
# Why it matters:  a sequence of tasks is trained as so many single tasks. It looks like complete forgetting.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import copy
import sys

import peft
import torch
from torch import nn


def losses(config):
    """Losses of one task: untrained, trained, and after each way to take the adapter out."""
    torch.manual_seed(0)
    base, x, target = nn.Sequential(nn.Linear(32, 32)), torch.randn(64, 32), torch.randn(64, 32)
    model = peft.get_peft_model(copy.deepcopy(base), config)
    optim = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0, momentum=0.9)
    for _ in range(100):
        optim.zero_grad()
        (model(x) - target).square().mean().backward()
        optim.step()
    merged = copy.deepcopy(model)
    merged.merge_adapter()
    models = {
        "untrained": base,
        "trained": model,
        "unload": copy.deepcopy(model).unload(),
        "merge_and_unload": copy.deepcopy(model).merge_and_unload(),
        "merge_adapter, merge_and_unload": merged.merge_and_unload(),
    }
    return {name: round((one(x) - target).square().mean().item(), 3) for name, one in models.items()}


seen = {
    "OSF": losses(peft.OSFConfig(target_modules=["0"], effective_rank=8)),
    "LoRA": losses(peft.LoraConfig(r=8, target_modules=["0"])),
}
print(
    f"peft {peft.__version__}: loss, expected to be that of 'trained' after OSF's unload and after each merge, seen "
    f"{seen}"
)
osf, lora = seen["OSF"], seen["LoRA"]
trained = osf["trained"]
if osf["unload"] != osf["untrained"] or osf["merge_and_unload"] != trained or trained > 0.98 * osf["untrained"]:
    sys.exit("changed: unload() keeps the trained weights, or merge_and_unload() does not")
twice = "merge_adapter, merge_and_unload"
if abs(osf[twice] - trained) < 0.01 or lora[twice] != lora["trained"]:
    sys.exit("changed: a merged OSF adapter is not merged again, or LoRA's is")
PY
