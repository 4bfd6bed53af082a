#!/usr/bin/env bash
# One would think: tbparse reads from an event folder what TensorBoard shows of it.
# What is so:      not of a run that was resumed with SummaryWriter(purge_step=...), which tells readers to drop what an
#                  earlier try logged from that step on. TensorBoard drops it; tbparse returns it among the new values.
#                  Steps that the resumed run did not reach again come last, so the last row, and the best value, can be
#                  of the dropped try. A pivot has lists of two values in the steps of both.
# Versions:        tbparse 0.0.9, tensorboard 2.21.0, torch 2.13.0.
# Source:          tbparse/summary_reader.py: each event file gets an EventAccumulator of its own, so the start of the
#                  session in the second file cannot purge what is in the first.
# Why it matters:  tables for papers are read with tbparse. A run goes back to an old checkpoint mostly because the try
#                  went wrong: it is this try's numbers that come back.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile torch==2.13.0 tensorboard==2.21.0 tbparse==0.0.9 setuptools==80.9.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
import time
from importlib.metadata import version

from tbparse import SummaryReader
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

first = SummaryWriter("run")
for step in range(10):  # it diverges after step 5
    first.add_scalar("loss", 1 - step / 10 if step < 5 else 9.0, step)
first.close()
time.sleep(1.1)  # file names are made of seconds
second = SummaryWriter("run", purge_step=5)  # goes on from the checkpoint of step 5, and has come to step 7
for step in range(5, 8):
    second.add_scalar("loss", 1 - step / 10, step)
second.close()

shown = EventAccumulator("run")
shown.Reload()
tensorboard = [(event.step, round(event.value, 2)) for event in shown.Scalars("loss")]
frame = SummaryReader("run").scalars
tbparse = [(int(step), round(value, 2)) for step, value in zip(frame["step"], frame["value"], strict=True)]
pivot = SummaryReader("run", pivot=True).scalars
lists = [int(row.step) for row in pivot.itertuples() if isinstance(row.loss, list)]
print(f"tensorboard {version('tensorboard')} reads {tensorboard}")
print(f"tbparse {version('tbparse')}, expected the same, reads {tbparse}")
print(f"last value: {tensorboard[-1]} and {tbparse[-1]}; steps whose value in the pivot is a list: {lists}")
right = [(step, round(1 - step / 10, 2)) for step in range(8)]
if tensorboard != right:
    sys.exit("changed: TensorBoard itself does not drop the old steps")
if len(tbparse) != 13 or tbparse[-1] != (9, 9.0) or lists != [5, 6, 7]:
    sys.exit("changed: tbparse drops what was purged")
PY
