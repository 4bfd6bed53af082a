#!/usr/bin/env bash
# One would think: casting a column from ClassLabel(["negative", "positive"]) to ClassLabel(["positive", "negative"])
#                  keeps each example's label, as a cast of the same words does.
# What is so:      it keeps the number: every negative is a positive afterwards. Two data sets with the same names in
#                  another order are refused by concatenate_datasets, since their features differ; cast(features),
#                  which makes the features equal, makes the labels wrong. A cast of a column of words goes by name.
#                  With other names altogether, or more of them, the numbers are kept too. align_labels_with_mapping
#                  goes by name.
# Versions:        datasets 5.2.0.
# Source:          ClassLabel.cast_storage in datasets/features/features.py: integers are checked against the number of
#                  classes and kept; the names of the feature that they come from are not known there.
# Why it matters:  NLI sets have entailment, neutral and contradiction in different orders, sentiment sets negative and
#                  positive. Of two sets joined by a cast one trains on wrong labels; a test set of two classes that
#                  was cast gives one minus the accuracy.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile datasets==5.2.0
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work" "$work/venv/bin/python" -W ignore - <<'PY'
import sys

import datasets
from datasets import ClassLabel, Dataset, Features, Value, concatenate_datasets

datasets.disable_progress_bars()


def features(*names):
    return Features({"text": Value("string"), "label": ClassLabel(names=list(names))})


def named(data):
    """Each text with the name of its label."""
    label = data.features["label"]
    return {row["text"]: label.int2str(row["label"]) for row in data}


rows = {"text": ["good", "great", "bad"], "label": ["positive", "positive", "negative"]}
as_words = Dataset.from_dict(rows)
one = as_words.cast(features("negative", "positive"))
more = {"text": ["awful", "fine", "poor"], "label": ["negative", "positive", "negative"]}
other = Dataset.from_dict(more).cast(features("positive", "negative"))
truth = dict(zip(rows["text"] + more["text"], rows["label"] + more["label"], strict=True))

seen = {"words cast": named(one) | named(other) == truth}
try:
    concatenate_datasets([one, other])
    seen["joined as they are"] = "accepted"
except ValueError:
    seen["joined as they are"] = "refused"
joined = named(concatenate_datasets([one, other.cast(one.features)]))
seen["wrong labels after the cast"] = [text for text in truth if joined[text] != truth[text]]
mapping = {name: number for number, name in enumerate(one.features["label"].names)}
aligned = named(concatenate_datasets([one, other.align_labels_with_mapping(mapping, "label").cast(one.features)]))
seen["wrong labels after align_labels_with_mapping"] = [text for text in truth if aligned[text] != truth[text]]
print(f"datasets {datasets.__version__}: expected no wrong label, seen {seen}")
expected = {
    "words cast": True,
    "joined as they are": "refused",
    "wrong labels after the cast": more["text"],
    "wrong labels after align_labels_with_mapping": [],
}
if seen != expected:
    sys.exit("changed: a cast between ClassLabels goes by name, or the data sets are joined without one")
PY
