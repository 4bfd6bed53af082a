"""Checks and prepares the folder of a run, before anything slow is done."""

import errno
import json
import os
from itertools import count
from pathlib import Path

from lnbench.config.run import RunConfig
from lnbench.core.atomic_files import write_atomically
from lnbench.core.schema import ConfigError
from lnbench.records.files import (
    ADAPTER,
    BEST,
    CARD,
    CHECKPOINTS,
    CONFIG,
    DAMAGED,
    FAILURE,
    METRICS,
    PREDICTIONS,
    RECORD,
    RESUME,
    remove_checkpoints,
)

FILES = (CONFIG, RECORD, FAILURE, ADAPTER, PREDICTIONS, METRICS, CARD, RESUME, BEST)
FULL = "make room there, and the same command goes on from the last saved state"
DENIED = "give yourself the right to write there"
DISK_PROBLEMS = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: "let its file system be written"}
"""Errors of a disk, after which a run is tried again, and what helps."""
REMEDIES = {
    **DISK_PROBLEMS,
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
}


def check_folder(folder: Path) -> None:
    """Checks that nothing is in the way where a run writes its files.

    Raises:
        ConfigError: a folder is in the place of a file, or a file in the place of a folder.
    """
    wrong = [(folder / name, "folder", "file") for name in FILES if (folder / name).is_dir()]
    wrong += [(folder / name, "file", "folder") for name in ("", CHECKPOINTS) if (folder / name).is_file()]
    for path, found, wanted in wrong:
        raise ConfigError(
            f"{path}: is a {found}, and the run needs a {wanted} of that name; move or delete it, or choose another "
            f"runs_dir=FOLDER"
        )


def open_folder(folder: Path, config: RunConfig) -> None:
    """Creates the run's folder and saves the run's configuration there.

    It first deletes the record of a run that is to be done again, an earlier failure record, and all files from which
    an old run could be continued.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        if (folder / RECORD).is_file():
            remove_checkpoints(folder)
            (folder / RECORD).unlink()
        (folder / FAILURE).unlink(missing_ok=True)
        write_atomically(folder / CONFIG, json.dumps(config.to_dict(), indent=2) + "\n")
    except OSError as error:
        raise ConfigError(cannot_write(config, error)) from error


def set_aside(folder: Path, runs_dir: Path) -> Path:
    """Moves the folder of a damaged run below `runs_dir/damaged`, so that doing the run again overwrites nothing.

    Returns:
        The new folder. It is as far below `damaged` as the old one is below `runs_dir`, so that `damaged` can be listed
        like any folder of runs.

    Raises:
        OSError: the folder cannot be moved.
    """
    first = runs_dir / DAMAGED / folder.relative_to(runs_dir)
    names = (first.with_name(f"{first.name}-{number}") if number > 1 else first for number in count(1))
    place = next(name for name in names if not os.path.lexists(name))
    place.parent.mkdir(parents=True, exist_ok=True)
    return folder.rename(place)


def cannot_write(config: RunConfig, error: OSError) -> str:
    """Message for a runs folder that cannot be written, and how to solve that."""
    remedy = f"{REMEDIES[error.errno]}, or " if error.errno in REMEDIES else ""
    return (
        f"runs_dir = {str(config.runs_dir)!r}: cannot be written ({error.strerror}); {remedy}choose another "
        f"runs_dir=FOLDER"
    )
