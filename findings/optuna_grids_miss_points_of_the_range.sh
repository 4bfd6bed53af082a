#!/usr/bin/env bash
# One would think: with the Optuna plug-in of Hydra range(start, stop, step) means what it means to Hydra itself, start up
#                  to but not including stop, and the grid sampler runs the whole grid.
# What is so:      to TPE, random and the other samplers stop is included. To the grid sampler it is not, but with floats
#                  the last value before it is usually missing too: range(0.0,0.6,0.1) is tried at five values instead
#                  of six. And a grid of more than n_trials points, which is 20 unless set, is cut to n_trials of them,
#                  drawn at random; the log says "Updating num of trials to 20 due to using GridSampler".
# Versions:        hydra-optuna-sweeper 1.3.0, hydra-core 1.3.8, optuna 2.10.1 (the newest that the plug-in allows).
# Source:          create_optuna_distribution_from_override, _to_grid_sampler_choices and sweep in
#                  hydra_plugins/hydra_optuna_sweeper/_impl.py: Optuna first shortens the range to whole steps, as float
#                  arithmetic counts them, and the grid then leaves off its end once more.
# Why it matters:  "the best dropout of the grid" lacks candidates, a full grid is not full, and results of samplers and of
#                  Hydra's own sweep over the same range are not over the same values.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile hydra-optuna-sweeper==1.3.0 hydra-core==1.3.8 optuna==2.10.1
cd "$work"
cat > app.py <<'PY'
import os

import hydra


@hydra.main(version_base=None, config_path=None)
def main(cfg):
    with open(os.environ["TRIED"], "a") as file:
        print(cfg.x, file=file)
    return float(cfg.x)


main()
PY
"$work/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import os
import pathlib
import subprocess
import sys


def tried(*overrides):
    """Values of x in each job of a sweep."""
    log = pathlib.Path("tried.txt").resolve()
    log.unlink(missing_ok=True)
    command = [sys.executable, "-W", "ignore", "app.py", "-m", *overrides]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TRIED": str(log)})
    return [round(float(line), 3) for line in log.read_text().split()]


optuna = ["hydra/sweeper=optuna"]
grid = [*optuna, "hydra/sweeper/sampler=grid"]
ints, floats = "+x=range(1,4)", "+x=range(0.0,0.6,0.1)"
seen = {
    "ints": {
        "Hydra": sorted(set(tried(ints))),
        "random": sorted(set(tried(ints, *optuna, "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=30"))),
        "grid": sorted(set(tried(ints, *grid))),
    },
    "floats": {
        "Hydra": sorted(set(tried(floats))),
        "grid": sorted(set(tried(floats, *grid))),
    },
    "jobs of a grid of 5 x 5": len(tried("+x=choice(1,2,3,4,5)", "+y=choice(1,2,3,4,5)", *grid)),
}
print(
    f"hydra-optuna-sweeper {importlib.metadata.version('hydra-optuna-sweeper')}: values tried of {ints[1:]} and "
    f"{floats[1:]}, expected the same by all sweepers, and 25 jobs, seen {seen}"
)
expected = {
    "ints": {"Hydra": [1, 2, 3], "random": [1, 2, 3, 4], "grid": [1, 2, 3]},
    "floats": {"Hydra": [0, 0.1, 0.2, 0.3, 0.4, 0.5], "grid": [0, 0.1, 0.2, 0.3, 0.4]},
    "jobs of a grid of 5 x 5": 20,
}
if seen != expected:
    sys.exit("changed: the sweepers try other values")
PY
