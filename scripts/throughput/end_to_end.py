"""Throughput of whole training loops, from tokenised rows in memory to optimiser steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.progress import track

from lnbench.config.run import RunConfig
from lnbench.core.schema import ConfigError
from lnbench.tasks.data.load import TaskData
from scripts.throughput import bare_runner, hf_model, hf_runner, lnbench_runner
from scripts.throughput.clock import Round, with_peak_memory
from scripts.throughput.flops import MatmulSpeed, RowFlops
from scripts.throughput.quartiles import quartiles, ratios

WARM_UP_STEPS = 3
Runner = Callable[[RunConfig, TaskData, int], tuple[Round, RowFlops]]
RUNNERS: dict[str, Runner] = {
    "lnbench": lnbench_runner.run,
    "hf": hf_runner.run,
    "hf_grouped": partial(hf_runner.run, sampling="group_by_length"),
    "bare": bare_runner.run,
}
PEFT = ("hf", "hf_grouped")


@dataclass(frozen=True)
class Measured:
    """The measurements of one round of one framework and method."""

    round: Round
    flops: float
    """Operations for the tokens without padding."""
    peak_bytes: int | None

    @property
    def seconds_per_token(self) -> float:
        """Time per real token. The time for padding is included, its tokens are not."""
        return self.round.seconds / int(self.round.lengths.sum())


def measure(
    configs: Mapping[str, RunConfig],
    data: TaskData,
    frameworks: Sequence[str],
    rounds: int,
    steps: int,
    matmul: MatmulSpeed,
) -> list[dict[str, Any]]:
    """Trains with each framework and method in turn, in several rounds.

    Args:
        configs: configurations by method.
        data: data to train on.
        frameworks: some of `RUNNERS`.
        rounds: number of rounds, after one short round that does not count.
        steps: number of timed steps in each round.
        matmul: speed of a matrix product, measured before each round.

    Returns:
        One row for each supported pair of method and framework.

    Raises:
        ConfigError: there is too little data, or there are too few steps to represent the data's average length.
    """
    pairs = [(method, name) for method in configs for name in frameworks if supports(name, method)]
    for method, name in pairs:
        check_steps(name, len(data.train), configs[method].trainer.batch_size, steps)
    results: dict[tuple[str, str], list[Measured]] = {pair: [] for pair in pairs}
    for number in track(range(rounds + 1), description="end to end", auto_refresh=False):
        matmul.measure()
        for method, name in pairs:
            config = configs[method].model_copy(update={"seed": number})
            measured = run(name, config, data, steps if number else WARM_UP_STEPS)
            if number:
                results[method, name].append(measured)
    seconds = {pair: [each.seconds_per_token for each in measured] for pair, measured in results.items()}
    return [
        {
            "framework": name,
            "method": method,
            **summarise(results[method, name]),
            "lnbench_ratio": ratios(seconds[method, name], seconds.get((method, "lnbench"))),
        }
        for method, name in pairs
    ]


def supports(framework: str, method: str) -> bool:
    """Whether a framework has a method."""
    return framework not in PEFT or method in hf_model.METHODS


def check_steps(framework: str, rows: int, batch_size: int, steps: int) -> None:
    """Checks that the timed steps are possible and fair.

    Raises:
        ConfigError: the steps need more than one epoch, or end within a group of rows that a framework sorts by length.
    """
    if (steps + 1) * batch_size > rows:
        raise ConfigError(f"--steps = {steps}: {rows:,} training rows are enough for {rows // batch_size - 1} steps")
    batches = hf_runner.megabatch(rows, batch_size)
    if framework == "hf_grouped" and steps % batches:
        raise ConfigError(
            f"--steps = {steps}: length grouping sorts {batches} batches at a time, the longest first, so that only "
            f"multiples of {batches} are fair to it; choose one, or leave hf_grouped out of --frameworks"
        )


def run(framework: str, config: RunConfig, data: TaskData, steps: int) -> Measured:
    """Runs one round of a framework."""
    (result, flops), peak_bytes = with_peak_memory(lambda: RUNNERS[framework](config, data, steps))
    return Measured(result, flops.of(result.lengths), peak_bytes)


def summarise(results: Sequence[Measured]) -> dict[str, Any]:
    """Medians and quartiles over the rounds of one framework and method."""
    rounds = [result.round for result in results]
    return {
        "samples_per_second": quartiles([len(each.lengths) / each.seconds for each in rounds]),
        "tokens_per_second": quartiles([1 / result.seconds_per_token for result in results]),
        "padding": quartiles([1 - each.lengths.sum() / each.processed_tokens for each in rounds]),
        "flops_per_second": quartiles([result.flops / result.round.seconds for result in results]),
        "mean_flops_per_second": sum(result.flops for result in results) / sum(each.seconds for each in rounds),
        "first_step_seconds": quartiles([each.first_step_seconds for each in rounds]),
        "peak_bytes": max((result.peak_bytes for result in results if result.peak_bytes), default=None),
    }
