#!/usr/bin/env bash
# One would think: an infinite metric (the perplexity of a diverged run) is read back as infinite, or refused.
# What is so:      the default store returns 1.797e308, the largest float64: it passes isfinite, sorts as a number and
#                  overflows in the next sum. NaN is kept as NaN.
# Versions:        mlflow 3.17.2 with its SQLite store.
# Source:          log_metric and log_batch of mlflow/store/tracking/sqlalchemy_store.py replace what SQL cannot hold.
# Why it matters:  filters that drop diverged runs by isfinite keep them, and a mean over seeds is 9e307 or infinite.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile mlflow==3.17.2
cd "$work"
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true
"$work/venv/bin/python" -W ignore - <<'PY'
import logging
import math
import sys

import mlflow

logging.disable(logging.INFO)
mlflow.set_tracking_uri("sqlite:///runs.db")
with mlflow.start_run() as run:
    mlflow.log_metric("perplexity", math.inf)
    mlflow.log_metric("loss", math.nan)
metrics = mlflow.get_run(run.info.run_id).data.metrics
seen = metrics["perplexity"]
print(
    f"mlflow {mlflow.__version__}: perplexity inf expected back as inf, seen {seen} (finite: {math.isfinite(seen)}); "
    f"NaN came back as {metrics['loss']}"
)
if seen != sys.float_info.max or not math.isnan(metrics["loss"]):
    sys.exit("changed: infinity no longer comes back as the largest float, or NaN not as NaN")
PY
