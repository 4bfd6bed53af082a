"""Compares the training throughput of runs that train together with that of the same runs one after the other.

python -m scripts.bench_fused
python -m scripts.bench_fused --runs 4 --rounds 3 trainer.batch_size=16

The runs are whole runs of LN-tuning with different seeds, from data to record, with Lightning and all callbacks. Only
training is timed, without its first three steps. Every round does both, on new seeds.
"""

import argparse
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from threading import Event
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.launch.fused.together import run_together
from lnbench.records.record import Record
from lnbench.run.lifecycle import run
from scripts.throughput.circumstances import circumstances, machine, positive
from scripts.throughput.command import carry_out
from scripts.throughput.quartiles import quartiles, ratios

SEQUENCE, TOGETHER = "one after the other", "together"


def main() -> None:
    """Entry point of the benchmark."""
    carry_out(bench, _print, parser().parse_intermixed_args())


def bench(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Returns all measurements, as JSON values.

    Args:
        options: options of the command line.
        folder: folder for the runs.

    Raises:
        ConfigError: the requested runs are not possible.
    """
    seconds: dict[str, list[float]] = {SEQUENCE: [], TOGETHER: []}
    for number in track(range(options.rounds), description="rounds", auto_refresh=False):
        configs = [configure(number * options.runs + place, options) for place in range(options.runs)]
        with redirect_stdout(StringIO()):
            seconds[SEQUENCE].append(in_sequence([_in(config, folder / SEQUENCE) for config in configs]))
            seconds[TOGETHER].append(together([_in(config, folder / TOGETHER) for config in configs]))
    rows = {
        name: {
            "samples_per_second": quartiles([1 / one for one in seconds[name]]),
            "speedup": ratios(seconds[SEQUENCE], seconds[name]),
        }
        for name in seconds
    }
    return {**circumstances(options, configs[0]), "batch_size": configs[0].trainer.batch_size, "rows": rows}


def in_sequence(configs: Sequence[RunConfig]) -> float:
    """Does runs one by one; returns the seconds of training per row, averaged over the runs."""
    return sum(1 / _rate(run(config)) for config in configs) / len(configs)


def together(configs: Sequence[RunConfig]) -> float:
    """Does runs together; returns the seconds of training per row.

    The clock is that of the first run to end, because the clocks of the others include waiting for its end.
    """
    first, *_ = [end for _, end in run_together(configs, Event())]
    return 1 / (_rate(first) * len(configs))


def configure(seed: int, options: argparse.Namespace) -> RunConfig:
    """Configures a short run without a test.

    Raises:
        ConfigError: such a run is not possible.
    """
    short = [f"trainer.max_steps={options.steps}", "trainer.validate_every=null", "++task.splits.validation_limit=64"]
    fixed = [f"method={options.method}", f"seed={seed}", "test=false", "trainer.progress=false", "trainer.on_oom=fail"]
    return validate(to_plain(compose_config(*options.overrides, *fixed, *short)))


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m scripts.bench_fused", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = result.add_argument
    add("overrides", nargs="*", help="overrides of lnbench: model=, task=, data_root=, trainer.batch_size=")
    add("--method", default="ln", help="method or sum of methods (default: ln)")
    add("--runs", type=positive, default=16, help="number of runs, each with its own seed (default: 16)")
    add("--rounds", type=positive, default=3, help="number of times that both are timed (default: 3)")
    add("--steps", type=positive, default=50, help="number of steps of each run (default: 50)")
    add("--save", type=Path, help="JSON file for the numbers")
    return result


def _in(config: RunConfig, folder: Path) -> RunConfig:
    return config.model_copy(update={"runs_dir": folder})


def _rate(end: Record | BaseException) -> float:
    """Number of training rows per second."""
    if isinstance(end, BaseException):
        raise end
    assert end.cost.train_samples_per_second is not None
    return end.cost.train_samples_per_second


def _print(report: dict[str, Any]) -> None:
    options = report["options"]
    setup = f"{report['model']}, {report['precision']}, {report['task']}, batches of {report['batch_size']}"
    table = Table(f"{options['runs']} runs of {options['method']}", title=setup, box=box.SIMPLE, pad_edge=False)
    for heading in ("samples/s", "quartiles", "speed-up"):
        table.add_column(heading, justify="right")
    for name, row in report["rows"].items():
        rate, gain = row["samples_per_second"], row["speedup"]
        table.add_row(
            name, f"{rate['median']:,.0f}", f"{rate['low']:,.0f}-{rate['high']:,.0f}", f"{gain['median']:.2f}"
        )
    Console().print(table, machine(report))


if __name__ == "__main__":
    main()
