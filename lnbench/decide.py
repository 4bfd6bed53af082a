"""`python -m lnbench.decide CLAIM... --tasks TASK...` does runs until claims are decided."""

import argparse
import sys
from collections.abc import Sequence
from math import inf

from lnbench.arguments import add_own, number_between, of_own, whole_number
from lnbench.cli import show
from lnbench.config.overrides import DELETION, OVERRIDE
from lnbench.core.errors import FAILED, INTERRUPTED, REFUSED, DataError, plainly
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import NewerError
from lnbench.report.claims.nested import LEAST_SEEDS

DESCRIPTION = """Does runs until claims are decided: better, worse, or no difference that matters.

The command looks at the finished runs, does the runs that give most information per second, and looks again. It stops
each comparison as soon as it is decided, and all comparisons of a claim as soon as one contradicts it. The looks are
planned so that the probability of any wrong decision is at most --level, however often it looks (docs/statistics.md).
The runs are those of `python -m lnbench -m` with the same overrides. A finished run is not done again, and after a stop
the same command goes on."""
EPILOG = """CLAIM is the id of a claim of the paper (a wrong id lists them all), a YAML file
(lnbench.report --help shows one), or a line:
  'ln better than bitfit'
  'ln+prefix worse than prefix, margin 0.5'        smallest difference that matters: points, or percent of a time
  'ln better than bitfit in training time'
  'ln better than full in forgetting'              of a general text: retention.path=FILE; margin in 0.01 nats

examples:
  python -m lnbench.decide 'ln better than bitfit' --tasks sst2 mrpc data_root=path/to/data
  python -m lnbench.decide ln-beats-bitfit all-of-ln-is-needed --tasks sst2 sick --budget-hours 2 trainer=mini
  python -m lnbench.decide my_claim.yaml --tasks rte --plan model=bert_large hydra/launcher=slurm
"""
USUAL_LEVEL, USUAL_SEEDS = 0.05, 40


def main() -> None:
    """Entry point of `python -m lnbench.decide`."""
    options = _options()
    try:
        sys.exit(_decide(options))
    except (ConfigError, DataError, NewerError) as error:
        show(str(error), hint="See --help.")
        sys.exit(REFUSED)
    except OSError as error:
        show(plainly(error), hint="")
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _decide(options: argparse.Namespace) -> int:
    from lnbench.deciding.budget import Budget
    from lnbench.deciding.contest import Course, contests
    from lnbench.deciding.experiment import Experiment
    from lnbench.deciding.file import write_path
    from lnbench.deciding.loop import BROKEN, UNFIT, run_until_decided
    from lnbench.deciding.question import read_questions
    from lnbench.deciding.runs import opened
    from lnbench.deciding.show import show_courses, show_end, show_plan
    from lnbench.runs.display import new_console

    console = new_console()
    claims = read_questions(options.claims, options.margin)
    with opened(options.overrides) as runs:
        own = contests(claims, options.tasks, runs)
        if any(one.comparison.quantity == "forgetting" for one in own):
            runs.require_retention()
        experiment = Experiment(tuple(claims), tuple(own), runs, options.level, options.seeds_max)
        if options.plan:
            show_plan(console, experiment, experiment.courses())
            return 0

        def tell(courses: Sequence[Course]) -> None:
            write_path(experiment, courses)
            show_courses(console, experiment, courses, f"{experiment.about}.")

        courses, why = run_until_decided(experiment, Budget(options.budget_runs, options.budget_hours), tell)
        path = write_path(experiment, courses)
        show_end(console, experiment, courses, why)
        console.print(f"The path of each comparison is in {path}", soft_wrap=True, markup=False)
        return FAILED if why in (BROKEN, UNFIT) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lnbench.decide",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="+", metavar="CLAIM | KEY=VALUE", help="claims to decide; settings of all runs")
    parser.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help="tasks to compare on")
    parser.add_argument("--budget-runs", type=whole_number(1), metavar="N", help="do at most N runs")
    parser.add_argument(
        "--budget-hours", type=number_between(0, inf), metavar="H", help="start no run that would end after H hours"
    )
    parser.add_argument(
        "--seeds-max",
        type=whole_number(LEAST_SEEDS),
        default=USUAL_SEEDS,
        metavar="N",
        help="largest number of seeds of a task (default: %(default)s)",
    )
    parser.add_argument(
        "--level",
        type=number_between(0, 0.5),
        default=USUAL_LEVEL,
        help="largest probability that any decision is wrong (default: %(default)s)",
    )
    parser.add_argument(
        "--margin",
        type=number_between(0, inf),
        help="smallest difference that matters (default: 1 point of the metric, 5 percent of a time)",
    )
    parser.add_argument(
        "--plan", action="store_true", help="show the next runs and how many are likely needed; run nothing"
    )
    add_own(parser)
    options = parser.parse_intermixed_args()
    words = [*options.words, *filter(_is_override, options.tasks)]  # overrides may follow the tasks
    options.tasks = [task for task in options.tasks if not _is_override(task)]
    options.overrides = [word for word in words if _is_override(word)]
    options.overrides += of_own(options)
    options.claims = [word for word in words if not _is_override(word)]
    if not options.claims:
        parser.error("there is no CLAIM, such as 'ln better than bitfit'")
    if not options.tasks:
        parser.error("--tasks: names no task")
    return options


def _is_override(word: str) -> bool:
    return bool(OVERRIDE.fullmatch(word) or DELETION.fullmatch(word))


if __name__ == "__main__":
    main()
