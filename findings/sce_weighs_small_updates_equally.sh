#!/usr/bin/env bash
# One would think: a merge by SCE weighs each model by the mean square of its update, as its paper says: of two updates,
#                  one three times as long, the longer has 0.9 of the weight, whatever their size.
# What is so:      updates of usual size have equal weights. The paper's hold only if the mean squares of all models add
#                  up to 0.000001, so for two models with updates of about 0.0007 a weight and more.
# Versions:        mergekit 0.1.5, torch 2.13.0.
# Source:          mergekit/merge_methods/sce.py: sce_weight returns equal weights if the sum of the mean squares is
#                  below 1e-6, which guards the division.
# Why it matters:  fine-tuning at the usual rates moves a weight by less. The weights that the method is named for are
#                  then plain averages, tensor by tensor: in one model large updates have them and small ones do not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 mergekit==0.1.5
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import torch
from mergekit.merge_methods.api import merge_state_dicts

torch.manual_seed(0)
base = torch.randn(256, 256, dtype=torch.float64)
direction = torch.randn(256, 256, dtype=torch.float64)


def share_of_the_longer(size):
    """Weight of the longer of two updates, size and 3 * size a weight, that point the same way."""
    models = {"base": base, "short": base + size * direction, "long": base + 3 * size * direction}
    merged = merge_state_dicts({name: {"w": w} for name, w in models.items()}, "sce", base="base")["w"]
    mean = ((merged - base) / (size * direction)).median().item()  # share * 3 + (1 - share) * 1
    return round((mean - 1) / 2, 3)


seen = {f"{size:.0e}": share_of_the_longer(size) for size in (1e-2, 1e-3, 3e-4, 1e-4, 1e-5)}
print(
    f"mergekit {version('mergekit')}: weight of an update three times as long as the other, by the size of the other, "
    f"expected 9 / (9 + 1) = 0.9 throughout, seen {seen}"
)
if list(seen.values()) != [0.9, 0.9, 0.5, 0.5, 0.5]:
    sys.exit("changed: the weights do not depend on the size of the updates, or otherwise than stated")
PY
