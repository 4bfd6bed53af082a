"""`python -m lnbench.report RUNS_DIR...` writes tables, statistics and verdicts on claims, from finished runs."""

import argparse
import gc
import sys
from pathlib import Path

from lnbench.arguments import add_own
from lnbench.core.errors import plainly
from lnbench.core.schema import ConfigError
from lnbench.records.listing import check_place, holds_runs
from lnbench.report.circumstances import other_circumstances
from lnbench.report.dashboard.target import obstacle, target
from lnbench.report.filters import add_filter, filtered
from lnbench.report.load import Loaded, load_runs

DESCRIPTION = """Turns the records of finished runs into tables, statistics and verdicts on the claims of the paper.
Prints the scores and the verdicts, and writes

  index.html             everything on one page
  claims.md              each claim: supported, contradicted or not decided, with the numbers
  tables/*.{md,tex,csv}  scores, ablations, costs, parameters; .csv has the numbers in full
  plots/*                the figures as .png and .svg, with --images

With --wandb, it also makes a report at Weights & Biases: tables, verdicts, and plots of the runs that are there."""
EPILOG = """examples:
  python -m lnbench.report runs
  python -m lnbench.report runs results    your runs beside the published ones
  python -m lnbench.report runs --out paper --filter model=bert_large task=rte,cb,mrpc
  python -m lnbench.report runs --wandb my-team/lnbench
  python -m lnbench.report runs --claims my_claims    your own claims, one in each YAML file; an example:

  id: prefix-beats-bitfit
  text: Prefix-tuning beats BitFit on every size of training data.
  where: our Section 4
  comparisons:
    - left: prefix
      right: [bitfit, {method: bitfit, settings: {bitfit.layers: upper half}}]
      left_is: better            # or worse
      quantity: score            # or forgetting, trained, train_seconds, total_seconds, peak_memory_bytes,
                                 # train_samples_per_second, test_samples_per_second
      margin: 0.5                # smallest difference that matters, in points of the metric, 0.01 nats of forgetting,
                                 # or percent of a time

Runs of one method, task, model and setting with different seeds give a mean and a standard deviation. A test needs at
least three pairs of runs on each task that differ only in the method. For missing runs, the report gives the
commands."""


def main() -> None:
    """Entry point of `python -m lnbench.report`."""
    options = _options()
    for place in options.runs_dirs:
        if not holds_runs(place):
            sys.exit(f"{place}: is not a folder; give the runs_dir of finished runs, such as runs")
    if options.wandb and (problem := obstacle()):
        print(problem, file=sys.stderr)
        sys.exit(2)
    gc.disable()  # records have no cycles, and looking for cycles takes longer than reading them
    try:
        for place in options.runs_dirs:
            check_place(place)
        loaded = filtered(load_runs(*options.runs_dirs), options.filter)
        _report(loaded, options)
    except (ConfigError, OSError) as error:
        sys.exit(plainly(error))
    finally:
        gc.enable()


def _report(loaded: Loaded, options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.text import Text

    from lnbench.report.claims.claims import read_claims
    from lnbench.report.write import write_report

    claims = read_claims(*filter(None, [options.claims]))
    folder = options.out or loaded.runs_dir / "report"
    console = Console(highlight=False)
    write_report(loaded, claims, folder, console, images=options.images)
    for line in other_circumstances(loaded):
        console.print(Text(line, "yellow"), soft_wrap=True)
    if options.wandb:
        from lnbench.report.dashboard.publish import publish

        publish(options.wandb, loaded, claims, console)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lnbench.report",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs_dirs",
        nargs="+",
        metavar="RUNS_DIR",
        type=Path,
        help="folder of runs (the runs_dir of python -m lnbench) or of packed runs; missing runs go to the first",
    )
    parser.add_argument("--out", type=Path, help="folder to write to (default: report in the first RUNS_DIR)")
    parser.add_argument("--claims", type=Path, help="folder of further claims")
    add_filter(parser)
    add_own(parser)
    parser.add_argument("--images", action="store_true", help="also write plots/; this needs Chrome and takes longest")
    parser.add_argument(
        "--wandb",
        type=target,
        metavar="PROJECT",
        help="also make a report at W&B, in this PROJECT or ENTITY/PROJECT; needs an API key",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
