"""`python -m lnbench.verify RESULTS` does published runs again and compares every number."""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

from lnbench.arguments import add_own, number_between, whole_number
from lnbench.config.run import RunConfig
from lnbench.core.errors import FAILED, INTERRUPTED, REFUSED, DataError, plainly
from lnbench.core.escape import printable
from lnbench.core.interruption import RunInterrupted
from lnbench.core.packages import require_tuning
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import NewerError
from lnbench.records.contradictions import contradictions
from lnbench.records.identity import title
from lnbench.records.listing import check_place, find_runs, holds_runs
from lnbench.records.packed import PackedRun, packed_file, read_packed
from lnbench.records.packing import pack_run
from lnbench.records.record import RecordError
from lnbench.report.load import checked, told
from lnbench.run.comparison import TOLERANCE
from lnbench.run.replay import PLACES, Replay, replay, replay_config, replay_first, wrong_content

LEAST_STEPS = 10
"""The first step whose loss a run records."""
MOST_TOLD = 5
"""Most differences of one run that are shown."""
SAID = {
    "equal": "equal to the last bit",
    "near": "equal within the tolerance",
    "different": "DIFFERENT",
    "failed": "NOT REPLAYED",
}
DESCRIPTION = f"""Checks published runs. For all runs, it compares the parts of the file with each other: the settings
with the id, the scores with the answers to the test rows, the history with its checksum. Then it does all runs
again, or those that --sample or --minutes draw, and compares every number.

A replay is equal to the last bit on the same kind of CPU, with the same number of threads and the same versions of
torch and related packages. On other machines, scores and the share of equal answers may differ by {TOLERANCE:g}. Each
line says how close the replay is, and what differs. Replays are kept in a folder; the same command goes on where it
stopped."""
EPILOG = f"""examples:
  python -m lnbench.verify results data_root=path/to/data
  python -m lnbench.verify results --sample 10 --seed 1 data_root=path/to/data
  python -m lnbench.verify results --minutes 5 data_root=path/to/data       as many as fit, drawn at random
  python -m lnbench.verify results --steps 20 data_root=path/to/data        the first 20 steps of each

KEY=VALUE says where data and models are on this machine: {", ".join(PLACES)}.
Exit codes: 0 if all is equal, 1 if something is not, 2 if nothing could be compared."""


def main() -> None:
    """Entry point of `python -m lnbench.verify`."""
    options = _options()
    try:
        require_tuning()
        sys.exit(FAILED if _verify(options) else 0)
    except (ConfigError, DataError, OSError) as error:
        print(plainly(error), file=sys.stderr)
        sys.exit(REFUSED)
    except (KeyboardInterrupt, RunInterrupted):
        print("Interrupted. The same command goes on with the runs that are left.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _verify(options: argparse.Namespace) -> int:
    """Checks and replays runs, and prints a line on each; returns how many are wrong."""
    runs, wrong = _read(options.results)
    chosen = _chosen(runs, options)
    configs = {run.record.id: replay_config(run, options.places, options.out) for run in chosen}
    if lines := list(dict.fromkeys(line for config in configs.values() for line in wrong_content(config))):
        raise ConfigError(
            "\n  ".join(["nothing is replayed, because data or models are not those of the runs:", *lines])
        )
    outcomes = Counter[str]()
    for run, result in _replays(chosen, configs, options):
        outcomes[result.outcome] += 1
        _show(run, result)
    counts = ", ".join(f"{count} {SAID[outcome]}" for outcome, count in outcomes.items())
    left = f"; {len(chosen) - outcomes.total()} more did not fit in the time" * (outcomes.total() < len(chosen))
    part = f" (first {options.steps} steps)" * bool(options.steps)
    print(f"{outcomes.total()} of {len(runs)} runs replayed{part}: {counts or 'none'}{left}")
    return wrong + outcomes["different"] + outcomes["failed"]


def _read(place: Path) -> tuple[list[PackedRun], int]:
    """The runs that contradict nothing in their own files, and the number of others, of which each is shown."""
    if not holds_runs(place):
        raise ConfigError(f"{place}: is no folder of results or of runs, and no packed file")
    check_place(place)
    runs, wrong = [], 0
    for found in map(checked, find_runs(place)):
        problems = [told(found)] if found.state in ("damaged", "newer") else []
        if found.record:
            try:
                run = read_packed(found.folder) if packed_file(found.folder) else pack_run(found.record, found.folder)
                problems = list(contradictions(run))
            except (RecordError, NewerError, ConfigError) as error:
                problems = [str(error)]
            if not problems:
                runs.append(run)
        if problems:
            wrong += 1
            print(printable("\n    ".join([f"WRONG  {found.folder}", *problems])))
    if not runs and not wrong:
        raise ConfigError(f"{place}: has no finished runs")
    agree = "1 run agrees with itself" if len(runs) == 1 else f"{len(runs):,} runs agree with themselves"
    print(f"{agree}, {wrong:,} {'does' if wrong == 1 else 'do'} not")
    return runs, wrong


def _chosen(runs: list[PackedRun], options: argparse.Namespace) -> list[PackedRun]:
    """The runs to replay, in order; at random if not all are meant."""
    if options.sample is None and options.minutes is None:
        return runs
    return random.Random(options.seed).sample(runs, min(len(runs), options.sample or len(runs)))


def _replays(
    runs: Sequence[PackedRun], configs: dict[str, RunConfig], options: argparse.Namespace
) -> Iterator[tuple[PackedRun, Replay]]:
    """Replays runs until the time is up. One more begins only if the slowest one so far would fit; one always does."""
    began, slowest = time.monotonic(), 0.0
    for run in runs:
        start = time.monotonic()
        if options.minutes is not None and slowest and start - began + slowest > 60 * options.minutes:
            return
        config = configs[run.record.id]
        yield run, replay_first(run, config, options.steps) if options.steps else replay(run, config)
        slowest = max(slowest, time.monotonic() - start)


def _show(run: PackedRun, result: Replay) -> None:
    record = run.record
    told = f"{SAID[result.outcome]:<26} {record.id}  {title(record.method, record.task, record.model, record.seed)}"
    more = [f"... and {len(result.details) - MOST_TOLD} more"] * (len(result.details) > MOST_TOLD)
    print(printable("\n    ".join([told, *result.unlike, *result.details[:MOST_TOLD], *more])), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lnbench.verify",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder of packed runs or of runs, or one file")
    parser.add_argument("places", nargs="*", metavar="KEY=VALUE", help="where data and models are")
    parser.add_argument("--sample", type=whole_number(1), metavar="N", help="replay N runs, drawn at random")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the random choice (default: 0)")
    parser.add_argument(
        "--minutes", type=number_between(0, inf), metavar="M", help="start no replay that would not fit in M minutes"
    )
    parser.add_argument(
        "--steps", type=whole_number(LEAST_STEPS), metavar="K", help=f"replay the first K steps, {LEAST_STEPS} at least"
    )
    parser.add_argument("--out", type=Path, default=Path("replays"), help="folder of the replays (default: replays)")
    add_own(parser)
    options = parser.parse_intermixed_args()
    wrong = [word for word in options.places if "=" not in word]
    if wrong:
        parser.error(f"{wrong[0]}: must be KEY=VALUE, with a key of {', '.join(PLACES)}")
    options.places = dict(word.split("=", 1) for word in options.places)
    return options


if __name__ == "__main__":
    main()
