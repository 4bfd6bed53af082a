#!/usr/bin/env bash
# One would think: Model Stock depends on the angle between two updates alone: two equal models have angle 0, and their
#                  merge is that model, however little they differ from the base.
# What is so:      tensors whose update is shorter than 0.001 are pulled back to the base, the shorter the further. With
#                  changes of 0.00001 a gain, a norm of 768 gains keeps 14 % of its update. With filter_wise, each row
#                  of a matrix is such a tensor.
# Versions:        mergekit 0.1.5, torch 2.13.0.
# Source:          mergekit/merge_methods/model_stock.py: the product of the lengths of two updates, by which their
#                  scalar product is divided, is clamped to at least 1e-6, so the cosine of short updates is too small.
# Why it matters:  preference tuning and other training at small rates moves norms and biases about as little. They
#                  come out as the base's while the matrices, whose updates are longer, are merged.
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


def share_left(shape, size, **parameters):
    """Share of its update that a model keeps in a merge with itself."""
    base, update = torch.ones(shape, dtype=torch.float64), size * torch.randn(shape, dtype=torch.float64).sign()
    models = {"base": {"w": base}, "first": {"w": base + update}, "second": {"w": base + update}}
    merged = merge_state_dicts(models, "model_stock", base="base", parameters=parameters)["w"]
    return round(((merged - base) / update).mean().item(), 3)


def clamped(length):
    """What is left of an update of this length: 2 c / (1 + c), where c is the clamped cosine of the paper's formula."""
    cosine = min(1.0, length**2 / 1e-6)
    return round(2 * cosine / (1 + cosine), 3)


sizes = (1e-3, 1e-4, 3e-5, 1e-5, 3e-6)
seen = {
    "768 gains of a norm": [share_left((768,), size) for size in sizes],
    "matrix of 768 x 768": [share_left((768, 768), size) for size in sizes],
    "the matrix, filter_wise": [share_left((768, 768), size, filter_wise=True) for size in sizes],
}
print(
    f"mergekit {version('mergekit')}: share of its update that a model keeps in a merge with itself, for changes of "
    f"{sizes} a number, expected 1.0 throughout, seen {seen}"
)
gains = [clamped(size * 768**0.5) for size in sizes]
if not (
    seen["768 gains of a norm"] == seen["the matrix, filter_wise"] == gains
    and seen["matrix of 768 x 768"] == [1.0] * len(sizes)
    and gains[3] < 0.2
):
    sys.exit("changed: small updates are kept, or lost otherwise than stated")
PY
