"""Compares the runs of two folders, which did the same sweep: scores, adapters, metrics.csv and predictions.

python -m scripts.equal_runs RUNS_DIR OTHER_RUNS_DIR
"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from lnbench.records.files import ADAPTER, METRICS, PREDICTIONS
from lnbench.records.listing import FoundRun, find_runs


def main() -> None:
    """Prints the differences; exits with status 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m scripts.equal_runs", description=__doc__)
    parser.add_argument("runs_dirs", nargs=2, type=Path, metavar="RUNS_DIR")
    one, other = parser.parse_args().runs_dirs
    found = finished(one)
    problems = differences(one, other, len(found))
    print(*problems or [f"{len(found)} runs are equal to the last bit"], sep="\n")
    sys.exit(bool(problems))


def finished(runs_dir: Path) -> list[FoundRun]:
    """The finished runs of a folder."""
    return [run for run in find_runs(runs_dir) if run.state == "finished"]


def differences(calm: Path, tried: Path, expected: int) -> list[str]:
    """What differs between an undisturbed sweep and the same sweep under trial.

    Args:
        calm: folder of the undisturbed sweep's runs.
        tried: folder of the other's.
        expected: number of runs that each must have finished.

    Returns:
        The differences; empty if all runs are equal to the last bit.
    """
    ones, others = ({run.id: run for run in finished(runs_dir)} for runs_dir in (calm, tried))
    states = [f"{run.id}: is {run.state} ({run.reason})" for run in find_runs(tried)]
    problems = [state for state in states if "is finished" not in state]
    for runs_dir, found in ((calm, ones), (tried, others)):
        if len(found) != expected:
            problems.append(f"{runs_dir}: {len(found)} finished records, not {expected}")
    both = sorted(ones.keys() & others.keys())
    pairs = itertools.product(both, (_metrics, _adapter, _text(METRICS), _text(PREDICTIONS)))
    return problems + [f"{id}: is not equal" for id, part in pairs if part(ones[id]) != part(others[id])]


def _metrics(run: FoundRun) -> Any:
    assert run.record
    return run.record.metrics, run.record.selection, run.record.cost.steps


def _adapter(run: FoundRun) -> Any:
    return {name: array.tobytes() for name, array in load_file(run.folder / ADAPTER).items()}


def _text(name: str) -> Any:
    """Reads a file of a run; None if it has none, as a trial of a search has no predictions."""
    return lambda run: file.read_text() if (file := run.folder / name).is_file() else None


if __name__ == "__main__":
    main()
