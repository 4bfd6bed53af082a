#!/usr/bin/env bash
# One would think: a task on Ray has the priority of the process that started the cluster.
# What is so:      Ray starts its workers at nice 15. Beside other programs a task gets a few percent of a core, and what
#                  a task starts inherits it. RAY_worker_niceness=0, set where Ray is started, gives the usual priority.
# Versions:        ray 2.60.0.
# Source:          RAY_CONFIG(int, worker_niceness, 15) in src/ray/common/ray_config_def.h; the raylet calls setpriority.
# Why it matters:  a time measured in a task on a machine that does anything else is not that of the same code run alone:
#                  sweeps look slower on Ray than in processes, and a waiting task can seem to hang.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ray==2.60.0
cd "$work"
cat >nice.py <<'PY'
import os

import ray

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
print(os.nice(0), ray.get(ray.remote(lambda: os.nice(0)).remote()))
PY
export RAY_USAGE_STATS_ENABLED=0 RAY_raylet_start_wait_time_s=300
"$work/venv/bin/python" -W ignore nice.py >usual
RAY_worker_niceness=0 "$work/venv/bin/python" -W ignore nice.py >mended
read -r driver worker <usual
read -r _ mended <mended
echo "ray 2.60.0: niceness of the driver $driver, of a task expected $driver, seen $worker; with RAY_worker_niceness=0 $mended"
if [[ $worker != 15 || $mended != "$driver" ]]; then
    echo "changed: Ray's workers have another priority now"
    exit 1
fi
