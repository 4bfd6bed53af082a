"""`python -m lnbench.runs` lists, explains and deletes the runs of a folder."""

import argparse
import os
import re
import sys
from pathlib import Path

from lnbench.arguments import add_own, of_own
from lnbench.core.errors import DataError
from lnbench.core.escape import printable
from lnbench.core.schema import ConfigError
from lnbench.records.foreign import foreign_logs
from lnbench.records.listing import check_place, holds_runs
from lnbench.runs.display import print_json, show_failures, show_runs
from lnbench.runs.filters import FILTER, parse_filter, select
from lnbench.runs.listed import Listed, list_runs

DESCRIPTION = "Lists the runs of a folder with their states and scores, says why runs failed, or deletes runs."
EPILOG = """KEY is id, state, method, task, model, seed, or the dotted name of any setting.
VALUE may be several values, separated by commas. In them, * and ? stand for any characters.

examples:
  python -m lnbench.runs                                     all runs below runs/
  python -m lnbench.runs results method=ln*,bitfit seed=0    some of those below results/
  python -m lnbench.runs trainer.lr=0.001 --json             one JSON object a line
  python -m lnbench.runs --failed                            why runs failed or are damaged
  python -m lnbench.runs --show 3fa9                         everything about one run
  python -m lnbench.runs --missing method=ln,bitfit seed=0,1,2
                                                             the unfinished runs of a sweep, with their commands
  python -m lnbench.runs --delete state=failed,interrupted   deletes runs, after asking
"""
DEFAULT = Path("runs")
OVERRIDE = re.compile(r"[~+A-Za-z_].*=.*|~.*", re.DOTALL)
"""What describes a sweep with `--missing`, and is no folder."""


def main() -> None:
    """Entry point of `python -m lnbench.runs`."""
    try:
        done = _do(_options())
        sys.stdout.flush()
    except (ConfigError, DataError) as error:
        sys.exit(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at exit
        sys.exit(1)
    sys.exit(0 if done else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lnbench.runs",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs="*", metavar="RUNS_DIR | KEY=VALUE", help="folder of the runs (default: runs); which runs"
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--failed", action="store_true", help="show why runs failed or are damaged")
    action.add_argument("--show", metavar="ID", help="show everything about the run whose id starts with ID")
    action.add_argument(
        "--missing", nargs="*", metavar="OVERRIDE", help="show what is left of the sweep `python -m lnbench -m ...`"
    )
    action.add_argument("--delete", action="store_true", help="delete runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("--all", action="store_true", help="with --delete: every run but those of a newer lnbench")
    parser.add_argument("--yes", action="store_true", help="with --delete: do not ask")
    add_own(parser)
    options = parser.parse_intermixed_args()
    form = FILTER if options.missing is None else OVERRIDE
    options.filters = [word for word in options.words if form.fullmatch(word)]
    folders = [word for word in options.words if word not in options.filters]
    if len(folders) > 1:
        parser.error(f"more than one folder: {', '.join(folders)}")
    options.runs_dir = Path(folders[0]) if folders else None
    if options.delete and not (options.filters or options.all):
        parser.error("--delete needs a KEY=VALUE that says which runs, or --all")
    return options


def _do(options: argparse.Namespace) -> bool:
    """Does the requested action; returns whether all of it succeeded."""
    if options.missing is not None:
        _missing(options)
        return True
    runs_dir = options.runs_dir or DEFAULT
    filters = [parse_filter(word) for word in options.filters]
    runs = select(_runs(runs_dir), filters)
    if options.delete:
        from lnbench.runs.delete import delete

        named = any(one.key == "state" and "newer" in one.patterns for one in filters)
        return delete(runs, runs_dir, options.yes, newer=named)
    if options.show is not None:
        from lnbench.runs.details import find, print_details, show_details

        (print_details if options.json else show_details)(find(runs, options.show))
        return True
    _list(runs, options)
    if not runs and not options.json:
        for note in foreign_logs(runs_dir):
            print(printable(note))
    return True


def _missing(options: argparse.Namespace) -> None:
    from lnbench.runs.missing import print_missing, runs_of_sweep, show_missing

    jobs = runs_of_sweep([*options.filters, *options.missing, *of_own(options)], options.runs_dir)
    (print_missing if options.json else show_missing)(jobs)


def _list(runs: list[Listed], options: argparse.Namespace) -> None:
    if options.failed:
        runs = [run for run in runs if run.row.state in ("failed", "damaged")]
    if options.json:
        for run in runs:
            print_json(run.row)
    else:
        (show_failures if options.failed else show_runs)(runs)


def _runs(runs_dir: Path) -> list[Listed]:
    if not holds_runs(runs_dir):
        raise ConfigError(f"{str(runs_dir)!r}: there is no such folder of runs")
    check_place(runs_dir)
    return list_runs(runs_dir)


if __name__ == "__main__":
    main()
