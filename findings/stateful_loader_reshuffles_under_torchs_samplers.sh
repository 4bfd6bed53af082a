#!/usr/bin/env bash
# One would think: a StatefulDataLoader goes on with the epoch that it was saved in, with torch's own samplers too; at
#                  least with one that has a seeded generator.
# What is so:      only shuffle=True does. With sampler= a RandomSampler, SubsetRandomSampler or WeightedRandomSampler
#                  it draws a new order, skips as many rows of that as were seen, and goes on: rows are missed, others
#                  are seen twice. A generator of one's own does not help: a new process starts it from its seed, so
#                  epoch two goes on in the order of epoch one, and epoch three has that of epoch two.
# Versions:        torchdata 0.11.0, torch 2.13.0.
# Source:          torchdata/stateful_dataloader/sampler.py: shuffle=True makes a RandomSampler of torchdata, whose
#                  iterator saves the generator's state. torch's samplers have no state to save, so
#                  _BatchSamplerIterator.load_state_dict saves the number of rows alone and skips them.
# Why it matters:  samplers are passed to balance classes or to train on a subset, and the loader is chosen to resume.
#                  The number of batches is right, so a resumed run looks sound.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 torchdata==0.11.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import torch
from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler
from torchdata.stateful_dataloader import StatefulDataLoader

rows = list(range(120))
weights = torch.ones(120, dtype=torch.double)


def seeded():
    return torch.Generator().manual_seed(5)


ways = {
    "shuffle=True": lambda: {"shuffle": True},
    "RandomSampler": lambda: {"sampler": RandomSampler(rows)},
    "RandomSampler, seeded": lambda: {"sampler": RandomSampler(rows, generator=seeded())},
    "SubsetRandomSampler, seeded": lambda: {"sampler": SubsetRandomSampler(rows, generator=seeded())},
    "WeightedRandomSampler, seeded": lambda: {
        "sampler": WeightedRandomSampler(weights, 120, replacement=False, generator=seeded())
    },
}


def process(way, workers, state=None):
    """What a new process does: it sets the seed and makes the loader."""
    torch.manual_seed(0)
    loader = StatefulDataLoader(rows, batch_size=8, num_workers=workers, **ways[way]())
    if state:
        loader.load_state_dict(state)
    return loader


def resumed(way, workers):
    """The epoch saved after 8 of 15 batches and resumed: is its rest the same, how many of 120 rows does it miss?"""
    loader = process(way, workers)
    list(loader)
    second = []
    for batch in loader:
        second.append(batch.tolist())
        if len(second) == 8:
            state = loader.state_dict()
    third = [batch.tolist() for batch in loader]
    loader = process(way, workers, state)
    rest = [batch.tolist() for batch in loader]
    after = [batch.tolist() for batch in loader]
    missed = set(rows) - {row for batch in second[:8] + rest for row in batch}
    return rest == second[8:], len(missed), after == third, after == second


seen = {(way, workers): resumed(way, workers) for way in ways for workers in (0, 2)}
print(f"torchdata {version('torchdata')}, torch {torch.__version__}; each row should be seen once an epoch")
for (way, workers), (same, missed, next_same, repeated) in seen.items():
    rest = "the same" if same else "another"
    following = "the same" if next_same else "epoch two over again" if repeated else "another"
    print(f"  {way}, {workers} workers: rest of epoch two {rest}, {missed} rows missed; epoch three {following}")
for (way, _), (same, missed, next_same, repeated) in seen.items():
    stands = same and next_same and not missed if way == "shuffle=True" else not same and missed > 10 and repeated
    if not stands:
        sys.exit(f"changed: {way}")
PY
