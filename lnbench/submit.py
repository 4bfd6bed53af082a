"""`python -m lnbench.submit RUNS_DIR --out results/NAME` packs complete runs for others to check."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.filesize import decimal

from lnbench.arguments import add_own
from lnbench.core.errors import plainly
from lnbench.core.packages import require_tuning
from lnbench.core.schema import ConfigError
from lnbench.core.words import number_of
from lnbench.records.contradictions import contradictions
from lnbench.records.listing import check_place, find_runs, first_of_each, holds_runs
from lnbench.records.packed import LEVELS, SUFFIX, PackedRun, packed_files, write_packed
from lnbench.records.packing import pack_run
from lnbench.records.record import Record, RecordError
from lnbench.report.complete import gaps
from lnbench.report.filters import add_filter, filtered
from lnbench.report.load import Loaded, load_runs, told, with_data

DESCRIPTION = """Packs the finished runs of a folder, with the trials of their searches, into one small file of results.

It refuses runs that are damaged or contradict themselves, and runs that cannot be compared. To be comparable, all
methods need the same tasks, the first three seeds, and the same search budget. They also need all tasks of the
published runs with the same model and settings, and all seeds that every published method has."""
EPILOG = """examples:
  python -m lnbench.submit runs --out results/my_method
  python -m lnbench.submit runs --out results/my_method --filter method=my_method,ln task=sst2,sick
  python -m lnbench.verify results/my_method.runs.jsonl.gz --sample 3      then replay some of them"""


def main() -> None:
    """Entry point of `python -m lnbench.submit`."""
    options = _options()
    try:
        require_tuning()
        print(submit(options.runs_dir, options.out, options.filter))
    except (ConfigError, RecordError, OSError) as error:
        sys.exit(plainly(error))


def submit(runs_dir: Path, out: Path, filters: list[str]) -> str:
    """Packs the runs of a folder; returns a line on the file.

    Args:
        runs_dir: folder of the runs.
        out: file to write, with or without the ending of packed files. The packed files beside it are the published
            runs to which these must fit.
        filters: filters such as `task=rte,cb`.

    Raises:
        ConfigError: the runs are not complete, one names a place of this machine, or the file is there with others.
        RecordError: a run is damaged, contradicts itself, or is of another protocol.
        OSError: the file cannot be written.
    """
    path = out if out.name.endswith(SUFFIX) else out.with_name(f"{out.name}{SUFFIX}")
    if not holds_runs(runs_dir):
        raise ConfigError(f"{runs_dir}: is not a folder; give the runs_dir of finished runs, such as runs")
    check_place(runs_dir)
    loaded = filtered(load_runs(runs_dir), filters)
    own = {record.id for record in loaded.records}
    lacking = [*_unfinished(loaded, bool(filters)), *gaps(_beside_published(loaded, path), own)]
    if lacking:
        raise ConfigError("\n  ".join([f"{path} is not written, because the runs are not complete:", *lacking]))
    trials = {trial.id for record in loaded.records if record.search for trial in record.search.trials}
    found = first_of_each(run for run in find_runs(runs_dir) if run.record and run.id in own.union(trials))
    runs = [_packed(run.record, run.folder) for run in found.values() if run.record]
    if lost := _packed_before(path) - {run.record.id for run in runs}:
        raise ConfigError(
            f"{path} is not written: it is there with runs that are not among these ({', '.join(sorted(lost)[:3])}, "
            f"{len(lost):,} in all); choose another name, or delete it"
        )
    write_packed(path, runs)
    size = decimal(path.stat().st_size)
    return (
        f"{path}: {number_of(len(own), 'run')} and {number_of(len(runs) - len(own), 'trial')} of their searches, {size}"
    )


def _packed(record: Record, folder: Path) -> PackedRun:
    """A run as a line of the file.

    Raises:
        ConfigError, RecordError: as in `submit`.
    """
    run = pack_run(record, folder)
    if wrong := list(contradictions(run)):
        raise RecordError("\n  ".join([f"{folder}: contradicts itself:", *wrong]))
    return run


def _packed_before(path: Path) -> set[str]:
    """The ids of the runs in a packed file, also of those that cannot be read; empty if there is no such file."""
    return {run.id for run in find_runs(path)} if path.exists() else set()


def _beside_published(loaded: Loaded, path: Path) -> Loaded:
    """The runs together with those of the packed files beside `path`."""
    known = {record.id: record for record in loaded.records}
    for file in packed_files(path.parent):
        if file.resolve() != path.resolve():
            known |= {record.id: record for record in load_runs(file).records if record.id not in known}
    return replace(loaded, records=with_data([*known.values()]))


def _unfinished(loaded: Loaded, chosen: bool) -> Iterator[str]:
    """One line for each run that is not finished, except for failed trials, which a search has taken into account.

    Args:
        loaded: all finished runs that are to be packed, and all others of the folder.
        chosen: whether only some runs are to be packed. Others of their methods, models and tasks are then left out.
    """
    searches = (record.search for record in loaded.records if record.search)
    lost = {trial.id for search in searches for trial in search.trials if trial.score is None}
    places = {loaded.folders[record.id].parts[-LEVELS:-1] for record in loaded.records}
    for found in loaded.problems:
        if found.id not in lost and (not chosen or found.folder.parts[-LEVELS:-1] in places):
            yield told(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lnbench.submit",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs_dir", type=Path, metavar="RUNS_DIR", help="folder of runs, the runs_dir of python -m lnbench"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=f"file to write; {SUFFIX} may be left out"
    )
    add_filter(parser)
    add_own(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
