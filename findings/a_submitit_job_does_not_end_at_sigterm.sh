#!/usr/bin/env bash
# One would think: SIGTERM ends a job of submitit, as it ends any Python program; Slurm sends it when a job is preempted
#                  or cancelled, and submitit, which requeues jobs at SIGUSR2, requeues those that Slurm preempts.
# What is so:      submitit takes SIGTERM and SIGCONT and does nothing but log them. The job works on until it is killed,
#                  checkpoint() is not called, and nothing is requeued by submitit.
# Versions:        submitit 1.5.4, Python 3.11, Linux.
# Source:          JobEnvironment._handle_signals in submitit/core/job_environment.py: `bypass` for SIGTERM and SIGCONT,
#                  checkpoint_and_try_requeue for SIGUSR2 alone.
# Why it matters:  under preemption with a grace time the seconds to save something pass unused. A program that answers
#                  SIGTERM itself and ends is worse off: its job has ended, and Slurm does not queue it again either.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile submitit==1.5.4
cd "$work"
cat >terminated.py <<'PY'
import os
import signal
import sys
import time
from pathlib import Path

import submitit


class Work:
    def __call__(self):
        Path("pid").write_text(str(os.getpid()))
        for _ in range(100):
            time.sleep(0.05)
        return "went on to its end"

    def checkpoint(self):
        Path("asked").touch()
        return submitit.helpers.DelayedSubmission(self)


if __name__ == "__main__":
    executor = submitit.LocalExecutor(folder="jobs")
    executor.update_parameters(timeout_min=5)
    job = executor.submit(Work())
    while not Path("pid").exists() or not Path("pid").read_text():
        time.sleep(0.05)
    os.kill(int(Path("pid").read_text()), signal.SIGTERM)
    error = job.exception()
    seen = f"the job {job.result() if error is None else 'ended'}, checkpoint() was " + (
        "called" if Path("asked").exists() else "not called"
    )
    print(f"submitit {submitit.__version__}: SIGTERM, expected the job ended or checkpoint() was called, seen {seen}")
    if seen != "the job went on to its end, checkpoint() was not called":
        sys.exit("changed: submitit now answers SIGTERM")
PY
"$work/venv/bin/python" terminated.py
