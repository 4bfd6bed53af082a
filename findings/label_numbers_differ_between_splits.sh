#!/usr/bin/env bash
# One would think: class_encode_column of a DatasetDict gives one label one number in all splits.
# What is so:      each split is encoded by itself, from the labels that occur in it. If the test split lacks a label,
#                  all labels that sort behind it have another number there than in training. Each split's ClassLabel
#                  fits its own numbers, so nothing looks wrong, and nothing is raised until the splits are joined.
# Versions:        datasets 5.2.0.
# Source:          DatasetDict.class_encode_column in datasets/dataset_dict.py calls that of each split.
# Why it matters:  rare labels are missing from small test or validation splits as a rule: a perfect model has then an
#                  accuracy of nearly nothing, and a weak one looks merely weak. Encode before splitting, or cast all
#                  splits to the ClassLabel of the training split.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile datasets==5.2.0
cd "$work"
HF_HOME="$work/cache" HF_HUB_OFFLINE=1 "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import datasets

datasets.disable_progress_bars()
texts = {
    "train": ["anger", "fear", "joy", "sadness", "surprise"] * 20,
    "test": ["fear", "joy", "sadness", "surprise"] * 5,
}
splits = datasets.DatasetDict({name: datasets.Dataset.from_dict({"label": labels}) for name, labels in texts.items()})
encoded = splits.class_encode_column("label")
seen = {
    name: dict(sorted(zip(texts[name], rows["label"]), key=lambda pair: pair[1])) for name, rows in encoded.items()
}
perfect = [seen["train"][label] for label in texts["test"]]
accuracy = sum(p == t for p, t in zip(perfect, encoded["test"]["label"])) / len(perfect)
print(
    f"datasets {datasets.__version__}: numbers of the labels, expected the same in both splits, seen {seen}; accuracy of "
    f"a model that knows each test label, expected 1, seen {accuracy}"
)
if not (seen["train"]["fear"] == 1 and seen["test"]["fear"] == 0 and accuracy == 0):
    sys.exit("changed: the splits share their numbers")
PY
