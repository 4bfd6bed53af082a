#!/usr/bin/env bash
# One would think: MedianPruner stops a trial whose value at a step is worse than the median of the earlier trials
#                  there.
# What is so:      it compares the trial's best value so far, not its present one: a trial that begins well and then
#                  collapses to chance is never pruned, however long it goes on.
# Versions:        optuna 5.0.0.
# Source:          PercentilePruner.prune in optuna/pruners/_percentile.py takes the best of the trial's own values
#                  and the percentile of the others' values at this step.
# Why it matters:  divergence after a good start is the common failure of too high a learning rate, which is what one
#                  sweeps; the pruner spends the whole budget on just those trials.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile optuna==5.0.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=5))


def run(curve):
    """The step at which the trial is pruned, or None."""
    trial = study.ask()
    for step, value in enumerate(curve):
        trial.report(value, step)
        if trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return step
    study.tell(trial, curve[-1])
    return None


for k in range(5):  # five healthy trials: accuracy climbs from 0.5 to 0.85
    run([0.5 + 0.05 * step + 0.001 * k for step in range(8)])
collapsed = run([0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
weak = run([0.1] * 8)
print(
    f"optuna {optuna.__version__}: a trial that falls from 0.9 to 0.1 after its first step (median 0.55) expected "
    f"to be pruned at step 1, seen {collapsed}; one that is at 0.1 from the start is pruned at step {weak}"
)
if collapsed is not None or weak != 0:
    sys.exit("changed: the collapsed trial is pruned, or the weak one is not")
PY
