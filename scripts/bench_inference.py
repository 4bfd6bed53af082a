"""Compares the inference throughput of tuned models, including HF peft's, with that of full tuning.

python -m scripts.bench_inference
python -m scripts.bench_inference task=rte data_root=path/to/data model=bert_large --methods ln lora prefix
python -m scripts.bench_inference task=e2e_nlg model=smollm2_135m trainer.eval_batch_size=8 --methods ln lora ia3 prefix

A fully tuned model has the shape of the pretrained one, so its time is that of the plain model. The others run as
`lnbench.load` returns them, with generated prefixes computed once. Models with mergeable weights also run merged
(`lnbench.load(..., merged=True)`, and peft's `merge_and_unload`). All models answer the same rows in the same batches
in turn, so noise affects all alike. Noise moves trained parameters off their initial values; nothing is trained.

Where the task classifies sentences, models answer rows of its test split, from tokenised rows in memory to answers.
Where it generates text, they continue one batch of random prompts, greedily and with a cache; no data is needed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers.utils import logging

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.schema import ConfigError
from lnbench.tasks.sequence_classification import SequenceClassification
from scripts.inference.variants import Variant, hf_variants, lnbench_variants
from scripts.inference.work import Work, classification, generation
from scripts.throughput.circumstances import circumstances, machine, positive
from scripts.throughput.clock import now
from scripts.throughput.command import carry_out
from scripts.throughput.quartiles import quartiles, ratios
from scripts.throughput.setting import put_model, with_model
from scripts.throughput.step import device_of

REFERENCE = "full"
METHODS = ["ln", "bitfit", "lora", "ia3", "prefix", "prefix method.prefix.mlp_size=512"]
METHODS += ["adapter", "mha_adapter", "mam", "ln+prefix+mha_adapter"]
FRAMEWORKS = {"lnbench": "lnbench", "hf": "HF + peft"}


def main() -> None:
    """Entry point of the benchmark."""
    logging.disable_progress_bar()
    carry_out(bench, _print, _parser().parse_intermixed_args())


def bench(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Returns all measurements, as JSON values.

    Args:
        options: options of the command line.
        folder: folder for the model.

    Raises:
        ConfigError: a requested measurement is not possible.
        DataError: the data cannot be found or used.
    """
    methods = list(dict.fromkeys([REFERENCE, *options.methods]))
    configs = {method: _configure(method, options) for method in methods}
    put_model(configs[REFERENCE], folder, options.random_weights)
    configs = {method: with_model(config, folder) for method, config in configs.items()}
    plain = configs[REFERENCE]
    classifies = isinstance(plain.task, SequenceClassification)
    work = classification(plain) if classifies else generation(plain, options.prompt_tokens, options.new_tokens)
    makers = [lnbench_variants, hf_variants] if classifies else [lnbench_variants]
    variants = [variant for make in makers for method, config in configs.items() for variant in make(method, config)]
    for variant in variants:
        variant.model.to(device_of(plain))
    sizes = {"batch_size": plain.trainer.eval_batch_size, "unit": work.unit}
    return {**circumstances(options, plain), **sizes, "rows": measure(variants, work, options.rounds)}


def measure(variants: Sequence[Variant], work: Work, rounds: int) -> list[dict[str, Any]]:
    """Times the work of each model in turn, in several rounds.

    Args:
        variants: models; the first one is the plain model to which the others are compared.
        work: work that each model does.
        rounds: number of rounds, after one round that does not count.

    Returns:
        One row for each model.
    """
    seconds: list[list[float]] = [[] for _ in variants]
    for number in track(range(rounds + 1), description="rounds"):
        for variant, times in zip(variants, seconds, strict=True):
            started = now()
            work.do(variant.model)
            elapsed = now() - started
            if number:
                times.append(elapsed)
    return [
        {
            "method": variant.method,
            "framework": variant.framework,
            "merged": variant.merged,
            "parameters": sum(parameter.numel() for parameter in variant.model.parameters()),
            "per_second": quartiles([work.amount / each for each in times]),
            f"of_{REFERENCE}": ratios(times, seconds[0]),
        }
        for variant, times in zip(variants, seconds, strict=True)
    ]


def _configure(method: str, options: argparse.Namespace) -> RunConfig:
    """The checked configuration of a method.

    Raises:
        ConfigError: such a run is not possible, or its task is of another kind.
    """
    limit = f"++task.splits.test_limit={options.rows}"
    config = validate(to_plain(compose_config(*options.overrides, limit, *f"method={method}".split())))
    if not isinstance(config.task, SequenceClassification) and config.task.backbone != "causal_lm":
        raise ConfigError(f"task = {config.task.name!r}: neither classifies sentences nor generates text")
    return config


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench_inference",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("overrides", nargs="*", help="overrides of lnbench: model=, task=, data_root=, trainer.eval_batch_size=")
    add("--methods", nargs="+", default=METHODS, help="methods or sums, each with further settings after a space")
    add("--rounds", type=positive, default=7, help="number of times that each model is timed (default: 7)")
    add("--rows", type=positive, default=256, help="largest number of test rows (default: 256)")
    add("--prompt-tokens", type=positive, default=32, help="for generation: tokens of each prompt (default: 32)")
    add("--new-tokens", type=positive, default=32, help="for generation: new tokens of each row (default: 32)")
    add("--random-weights", action="store_true", help="use random weights, which need no download")
    add("--save", type=Path, help="JSON file for the numbers")
    return parser


def _print(report: dict[str, Any]) -> None:
    setup = f"{report['model']}, {report['task']}, batches of {report['batch_size']}, {machine(report)}"
    table = Table(
        "method", "weights", "model", title=f"{setup}; time: {REFERENCE} is 1", box=box.SIMPLE, pad_edge=False
    )
    for heading in (f"{report['unit']}/s", "time", "quartiles"):
        table.add_column(heading, justify="right")
    for row in report["rows"]:
        share = row[f"of_{REFERENCE}"]
        speed, time = f"{row['per_second']['median']:,.0f}", f"{share['median']:.3f}"
        weights = "merged" if row["merged"] else ""
        quarters = f"{share['low']:.3f}-{share['high']:.3f}"
        table.add_row(row["method"], weights, FRAMEWORKS[row["framework"]], speed, time, quarters)
    Console().print(table)


if __name__ == "__main__":
    main()
