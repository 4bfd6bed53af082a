"""Compares the training throughput of lnbench, of transformers' Trainer with peft, and of a bare PyTorch loop.

python -m scripts.bench_throughput
python -m scripts.bench_throughput task=rte data_root=path/to/data trainer.batch_size=16 --methods ln full
python -m scripts.bench_throughput model=bert_large --random-weights --length 128 --only step

All train the same pretrained model on the same tokenised data, with the same batch size and precision. They take turns,
so noise affects all alike.

End to end: from tokenised rows in memory to optimiser steps, each framework with its own batching. A round has
`--steps` steps, timed from the end of its first step to the end of its last. `hf` is Trainer with its defaults;
`hf_grouped` groups rows by length (train_sampling_strategy="group_by_length"). `bare` trains lnbench's model on
lnbench's batches in a minimal loop, which shows the cost of Lightning and the callbacks.

Step only: forward, backward, clipping and optimiser step on one batch of random tokens without padding, the same for
lnbench's model and for Hugging Face's.

Numbers of tokens leave out padding, and so do the shares of matrix products. A share is the number of operations per
second that the tokens need, divided by the number that one product of the model's own shape reaches (tokens x hidden
size, by hidden size x FFN size). That product is measured before every round or repeat. `matmul %` compares averages
over the whole session. `peak %` is the median divided by the product's best measurement, which averages do not reach on
a noisy machine. The ratio is lnbench's tokens per second divided by the row's own, a median over rounds. Memory is
measured on a GPU only.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from lnbench.backbone.loading import load_tokenizer
from lnbench.core.schema import ConfigError
from lnbench.tasks.data.load import load_data
from scripts.throughput import end_to_end, setting, step_only
from scripts.throughput.circumstances import circumstances, machine, positive
from scripts.throughput.command import carry_out
from scripts.throughput.tables import end_to_end_table, step_table

METHODS = ("ln", "bitfit", "lora", "prefix", "adapter", "full")


def main() -> None:
    """Entry point of the benchmark."""
    carry_out(bench, _print, parser().parse_intermixed_args())


def bench(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Returns all measurements, as JSON values.

    Args:
        options: options from `parser`.
        folder: folder for the model.

    Raises:
        ConfigError: a requested measurement is not possible.
    """
    if torch.cuda.device_count() > 1:
        raise ConfigError("Trainer would spread over all GPUs: show it one, with CUDA_VISIBLE_DEVICES=0")
    configs = setting.configure(options.methods, options.overrides)
    first = next(iter(configs.values()))
    setting.put_model(first, folder, options.random_weights)
    configs = {name: setting.with_model(config, folder) for name, config in configs.items()}
    first = next(iter(configs.values()))
    matmul = setting.new_matmul(first, first.trainer.batch_size * options.length)
    measured: dict[str, list[dict[str, Any]]] = {}
    if options.only != "step":
        data = load_data(first.task, load_tokenizer(first.model), first.data_root, first.cache_dir)
        measured["end_to_end"] = end_to_end.measure(
            configs, data, options.frameworks, options.rounds, options.steps, matmul
        )
    if options.only != "end_to_end":
        asked = {step_only.COMPILED: options.compile, step_only.GRAPHS: options.graphs}
        compiled = [name for name, wanted in asked.items() if wanted]
        measured["step"] = step_only.measure(configs, options.length, options.repeats, matmul, compiled)
    peak, mean = max(matmul.measured), statistics.mean(matmul.measured)
    for row in (row for rows in measured.values() for row in rows):
        row["peak_share"] = {name: value / peak for name, value in row["flops_per_second"].items()}
        row["matmul_share"] = row["mean_flops_per_second"] / mean
    sizes = {"batch_size": first.trainer.batch_size}
    return {**circumstances(options, first), **sizes, "peak_flops": peak, "mean_flops": mean, **measured}


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m scripts.bench_throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("overrides", nargs="*", help="overrides of lnbench except method=: model=, task=, data_root=, trainer.*=")
    add("--methods", nargs="+", default=list(METHODS), help=f"methods or sums (default: {' '.join(METHODS)})")
    add("--frameworks", nargs="+", choices=end_to_end.RUNNERS, default=list(end_to_end.RUNNERS), help="for end to end")
    add("--only", choices=["end_to_end", "step"], help="do only this measurement")
    add("--rounds", type=positive, default=5, help="end to end: number of rounds (default: 5)")
    add("--steps", type=positive, default=50, help="end to end: number of timed steps in a round (default: 50)")
    add("--repeats", type=positive, default=20, help="step only: number of times that each is timed (default: 20)")
    add("--length", type=positive, default=32, help="step only: number of tokens of a row (default: 32)")
    add("--compile", action="store_true", help="step only: also time lnbench under torch.compile; needs a compiler")
    add("--graphs", action="store_true", help="step only: also time lnbench with CUDA graphs; needs a compiler")
    add("--random-weights", action="store_true", help="use random weights, which need no download")
    add("--save", type=Path, help="JSON file for the numbers")
    return result


def _print(report: dict[str, Any]) -> None:
    console, options = Console(), report["options"]
    setup = f"{report['model']}, {report['precision']}, batches of {report['batch_size']}"
    if rows := report.get("end_to_end"):
        title = f"End to end: {setup}, {report['task']}, {options['rounds']} rounds of {options['steps']} steps"
        console.print(end_to_end_table(rows, title))
    if rows := report.get("step"):
        console.print(step_table(rows, f"Step only: {setup} x {options['length']} tokens"))
    best, mean = (f"{report[name] / 1e9:,.0f}" for name in ("peak_flops", "mean_flops"))
    console.print(f"{machine(report)}; matrix products: {best} GFLOP/s at best, {mean} on average")


if __name__ == "__main__":
    main()
