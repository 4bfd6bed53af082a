#!/usr/bin/env bash
# One would think: define_metric("acc", summary="max") keeps the best value seen; a NaN among them is passed over.
# What is so:      one NaN at any step, first, middle or last, makes the summary's max, min and mean NaN for the rest
#                  of the run: the best value is lost from the summary, though each later value is finite.
# Versions:        wandb 0.31.0, offline.
# Source:          the summary is kept by the wandb-core process; seen from outside: once NaN, its max and min stay
#                  NaN.
# Why it matters:  one empty validation batch or one overflow, early in a run, and the table of runs cannot be sorted
#                  by best accuracy; the run looks diverged. Log NaN only where the summary is "last".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile wandb==0.31.0
cd "$work"
export WANDB_MODE=offline WANDB_SILENT=true WANDB_DIR=$work
"$work/venv/bin/python" -W ignore - <<'PY'
import math
import sys
import time

import wandb


def summary(values):
    run = wandb.init(project="p", reinit="finish_previous")
    for kind in ("max", "min"):
        run.define_metric(kind, summary=kind)
    for value in values:
        run.log({"max": value, "min": value})
    deadline = time.time() + 30
    while len(run.summary.keys()) < 2 and time.time() < deadline:
        time.sleep(0.2)
    seen = [run.summary[kind][kind] for kind in ("max", "min")]
    run.finish()
    return seen


clean = summary([0.2, 0.9, 0.5])
seen = {
    place: summary(values)
    for place, values in {
        "first": [math.nan, 0.2, 0.9, 0.5],
        "middle": [0.2, math.nan, 0.9, 0.5],
        "last": [0.2, 0.9, 0.5, math.nan],
    }.items()
}
print(
    f"wandb {wandb.__version__}: [max, min] of 0.2, 0.9, 0.5 is {clean}; with one NaN expected the same, seen {seen}"
)
if clean != [0.9, 0.2] or not all(math.isnan(value) for pair in seen.values() for value in pair):
    sys.exit("changed: a NaN no longer spoils max and min")
PY
