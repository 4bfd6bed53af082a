"""Names of what lies in a run's folder."""

import shutil
from pathlib import Path

CONFIG = "config.json"
RECORD = "record.json"
"""Written last: its presence says that the run is finished."""
FAILURE = "failure.json"
"""In place of a record when a run failed."""
ADAPTER = "adapter.safetensors"
PREDICTIONS = "predictions.jsonl"
METRICS = "metrics.csv"
CARD = "README.md"
"""For the reader: it may be edited, and no checksum is kept of it."""
CHECKPOINTS = "checkpoints"
"""Folder of what only an unfinished run needs."""
RESUME = f"{CHECKPOINTS}/resume.safetensors"
BEST = f"{CHECKPOINTS}/best.safetensors"


def remove_checkpoints(folder: Path) -> None:
    """Deletes what only an unfinished run needs."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
