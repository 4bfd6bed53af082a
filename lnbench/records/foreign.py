"""Recognises the logs of experiment trackers, which are not records."""

from pathlib import Path

LOGS = {
    "Weights & Biases": ("*.wandb", "*/*.wandb", "wandb/*/*.wandb"),
    "TensorBoard": ("events.out.tfevents.*", "*/events.out.tfevents.*", "*/*/events.out.tfevents.*"),
}
"""Patterns of files below a folder, by tracker."""


def foreign_logs(folder: Path) -> list[str]:
    """A note for each tracker with logs in a folder, with the first of its files."""
    found = {
        tracker: next((file for pattern in patterns for file in sorted(folder.glob(pattern))), None)
        for tracker, patterns in LOGS.items()
    }
    return [
        f"{file}: is a log of {tracker}; it has curves and scores, and no record of what was run, so nothing can be "
        f"compared"
        for tracker, file in found.items()
        if file
    ]
