#!/usr/bin/env bash
# One would think: class_encode_column on a column of the integers 0 to 11 keeps them: label 2 stays label 2.
# What is so:      the integers are sorted as texts, so the new order is 0, 1, 10, 11, 2, ...: label 2 becomes 4 and 10
#                  becomes 2. With ten classes or fewer nothing changes.
# Versions:        datasets 5.2.0.
# Source:          Dataset.class_encode_column in datasets/arrow_dataset.py makes strings of the values and sorts those.
# Why it matters:  train_test_split(stratify_by_column=...) asks for this call. A split encoded this way and one that
#                  was not (the test set, or a checkpoint trained before) then disagree on what a number means, and
#                  the accuracy of a good model is that of chance on most classes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile datasets==5.2.0
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import datasets

datasets.disable_progress_bars()
kept = {}
for classes in (10, 12):
    rows = datasets.Dataset.from_dict({"label": list(range(classes))})
    encoded = rows.class_encode_column("label")
    kept[classes] = list(encoded["label"])
renumbered = {old: new for old, new in enumerate(kept[12]) if old != new}
print(
    f"datasets {datasets.__version__}: labels 0 to 9 kept: {kept[10] == list(range(10))}; of 0 to 11 expected none "
    f"to change, seen {renumbered}"
)
if not (kept[10] == list(range(10)) and renumbered == {old: old + 2 for old in range(2, 10)} | {10: 2, 11: 3}):
    sys.exit("changed: integer labels are no longer numbered in the order of their texts")
PY
