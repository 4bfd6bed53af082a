#!/usr/bin/env bash
# One would think: DataCollatorForLanguageModeling(seed=0) masks anew in every epoch, only reproducibly.
# What is so:      so in the main process. With workers, which a DataLoader starts anew for each epoch, every epoch has
#                  the first one's masks: after twenty epochs the same 15 % of the tokens have been predicted, which
#                  should be 96 %. If rows are shuffled, batch n has the same masks still, over other rows.
#                  With persistent_workers=True, and without a seed, masks are new.
# Versions:        transformers 5.23.0, torch 2.13.0.
# Source:          DataCollatorForLanguageModeling.create_rng in transformers/data/data_collator.py: a worker makes its
#                  generator of seed + its number at its first batch. Workers are copies of a main process whose
#                  collator has never made one, so no epoch knows of the one before.
# Why it matters:  the model should see each text masked in many ways. A seed, given to repeat a run, and num_workers=2,
#                  given for speed, together make the masking static, and nothing tells.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import os
import sys

import torch
import transformers
from torch.utils.data import DataLoader
from transformers import BertTokenizer, DataCollatorForLanguageModeling

os.environ["TOKENIZERS_PARALLELISM"] = "false"
transformers.logging.set_verbosity_error()
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
names = special + [f"word{number}" for number in range(200)]
tokenizer = BertTokenizer(vocab={name: number for number, name in enumerate(names)})
epochs = 20
rows = [{"input_ids": [2, *range(5 + row, 5 + row + 30), 3]} for row in range(64)]


def predicted(seed, workers, persistent=False, shuffle=False):
    """The share of all places that some epoch masked, and in how many epochs the masks are those of the first."""
    torch.manual_seed(0)
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, seed=seed)
    loader = DataLoader(
        rows, batch_size=8, collate_fn=collator, num_workers=workers, persistent_workers=persistent, shuffle=shuffle
    )
    masks = [torch.cat([batch["labels"] != -100 for batch in loader])[:, 1:-1] for _ in range(epochs)]
    share = torch.stack(masks).any(0).float().mean().item()
    return round(share, 2), sum(torch.equal(mask, masks[0]) for mask in masks)


ways = {
    "seed, main process": predicted(0, 0),
    "seed, 2 workers": predicted(0, 2),
    "seed, 2 workers, shuffled": predicted(0, 2, shuffle=True),
    "seed, 2 persistent workers": predicted(0, 2, persistent=True),
    "no seed, 2 workers": predicted(None, 2),
}
print(f"transformers {transformers.__version__}, {epochs} epochs; expected share of places: {1 - 0.85**epochs:.2f}")
for name, (share, same) in ways.items():
    print(f"  {name}: {share} of the places masked, {same} of {epochs} epochs with the masks of the first")
for name, (share, same) in ways.items():
    static = name in ("seed, 2 workers", "seed, 2 workers, shuffled")
    if static != (same == epochs) or static != (share < 0.25):
        sys.exit(f"changed: {name}")
PY
