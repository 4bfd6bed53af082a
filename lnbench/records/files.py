"""Names of the files in a run's folder, and of folders beside the runs."""

import shutil
from pathlib import Path

CONFIG = "config.json"
RECORD = "record.json"
"""File that is written last. Its presence marks the run as finished."""
FAILURE = "failure.json"
"""File that is written instead of a record when a run fails."""
ADAPTER = "adapter.safetensors"
PREDICTIONS = "predictions.jsonl"
METRICS = "metrics.csv"
CARD = "README.md"
"""The model card. Users may edit it, so its checksum is not kept."""
CHECKPOINTS = "checkpoints"
"""Folder of files that only an unfinished run needs."""
RESUME = f"{CHECKPOINTS}/resume.safetensors"
BEST = f"{CHECKPOINTS}/best.safetensors"
DAMAGED = "damaged"
"""Folder beside the runs with the folders of damaged runs that were done again."""
DECISIONS = "decisions"
"""Folder beside the runs with the paths of experiments that ran until they decided."""


def remove_checkpoints(folder: Path) -> None:
    """Deletes the files that only an unfinished run needs."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
