#!/usr/bin/env bash
# One would think: a job that is preempted a second after its start is requeued, whatever its time limit; only jobs
#                  that ran out of time count as timed out.
# What is so:      with a limit of ten minutes or less submitit takes every preemption for a timeout. A plain function
#                  is then not requeued at all, and one with a checkpoint method loses one of its (three) allowed
#                  timeouts. With a limit of eleven minutes the same job is started again and ends.
# Versions:        submitit 1.5.4.
# Source:          SignalHandler.has_timed_out in submitit/core/job_environment.py: a job has timed out once it ran
#                  the smaller of 80 % of its limit and its limit less ten minutes; the latter is zero or less here.
# Why it matters:  short fine-tuning jobs of a sweep, the ones packed on preemptible partitions, die at the first
#                  preemption with the message that they timed out. Slurm jobs of submitit run for five minutes by
#                  default.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile submitit==1.5.4
cd "$work"
cat > preempt.py <<'PY'
import os
import signal
import sys
import time
from pathlib import Path

import submitit


def train(starts):
    with open(starts, "a") as file:
        print(os.getpid(), file=file)
    time.sleep(3)
    return "done"


def preempted(limit):
    """What becomes of a job that gets the preemption signal as it starts; limit in minutes."""
    executor = submitit.LocalExecutor("logs")
    executor.update_parameters(timeout_min=limit)
    starts = Path(f"starts{limit}")
    job = executor.submit(train, str(starts))
    while not (starts.exists() and starts.read_text().endswith("\n")):
        time.sleep(0.05)
    os.kill(int(starts.read_text()), signal.SIGUSR2)
    error = job.exception()
    if error is None:
        return f"{job.result()}, {len(starts.read_text().split())} starts"
    return "not requeued, timed-out" if "timed-out" in str(error) else str(error)


if __name__ == "__main__":
    seen = {limit: preempted(limit) for limit in (5, 10, 11)}
    print(
        f"submitit {submitit.__version__}: by limit in minutes, expected 'done, 2 starts' for all, seen {seen}"
    )
    if seen != {5: "not requeued, timed-out", 10: "not requeued, timed-out", 11: "done, 2 starts"}:
        sys.exit("changed: the limit no longer decides whether a preempted job is requeued")
PY
"$work/venv/bin/python" preempt.py
