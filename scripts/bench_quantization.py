"""Compares training steps and memory of backbones whose weights are stored in 32 bits, 8 (int8) and 4 (nf4).

python -m scripts.bench_quantization
python -m scripts.bench_quantization model=bert_large task=rte data_root=path/to/data --methods ln lora

Beside lnbench, it measures peft's method on the same weights, stored alike, and on weights that bitsandbytes stores (as
QLoRA does; "bnb") if that is installed. All models take one step on the same batch in turn, so noise affects all alike.
`frozen` is the memory of the parameters that are not trained; on a GPU, `peak` is the most that a model's tensors held.
"""

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lnbench.config.run import RunConfig
from scripts.throughput.circumstances import circumstances, machine, positive
from scripts.throughput.clock import now
from scripts.throughput.command import carry_out
from scripts.throughput.hf_model import METHODS
from scripts.throughput.quartiles import quartiles, ratios
from scripts.throughput.setting import configure, put_model
from scripts.throughput.step_only import Batch, Variant, hf_variant, lnbench_variant, new_batch, ready

WAYS = ("null", "int8", "nf4")
MEBIBYTE = 2**20
Maker = Callable[[RunConfig, Batch], Variant]
OURS, PEFT, BITSANDBYTES = "lnbench", "peft", "peft, bnb"


def main() -> None:
    """Entry point of the benchmark."""
    carry_out(bench, _print, _parser().parse_intermixed_args())


def bench(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Returns all measurements, as JSON values.

    Args:
        options: options of the command line.
        folder: folder for the model that peft loads.

    Raises:
        ConfigError: a requested measurement is not possible.
    """
    rows = []
    for method in options.methods:
        configs = {way: configure([method], [*options.overrides, f"model.quantization={way}"])[method] for way in WAYS}
        batch = new_batch(configs["null"], options.length)
        put_model(configs["null"], folder, random_weights=False)
        variants = {
            (name, way): ready(partial(make, of_framework(name, configs[way], folder), batch))
            for way in WAYS
            for name, make in makers(way).items()
        }
        seconds: dict[tuple[str, str], list[float]] = {one: [] for one in variants}
        for _ in track(range(options.repeats), description=method):
            for one, variant in variants.items():
                started = now()
                variant.step()
                seconds[one].append(now() - started)
        rows += [
            {
                "method": method,
                "framework": name,
                "quantization": way,
                "frozen_bytes": variant.frozen_bytes,
                "seconds": quartiles(seconds[name, way]),
                "of_plain": ratios(seconds[name, way], seconds[OURS, "null"]),
                "peak_bytes": variant.peak_bytes,
            }
            for (name, way), variant in variants.items()
        ]
    return {**circumstances(options, configs["null"]), "length": options.length, "rows": rows}


def makers(way: str) -> dict[str, Maker]:
    """What makes the model of each framework with weights that are stored in some way."""
    made: dict[str, Maker] = {OURS: lnbench_variant, PEFT: hf_variant}
    if way == "nf4" and importlib.util.find_spec("bitsandbytes"):
        made[BITSANDBYTES] = partial(hf_variant, bitsandbytes=True)
    return made


def of_framework(name: str, config: RunConfig, folder: Path) -> RunConfig:
    """The configuration, which names the folder of the model for peft."""
    if name == OURS:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"source": str(folder)})})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench_quantization",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("overrides", nargs="*", help="overrides of lnbench: model=, trainer.batch_size=, trainer.precision=")
    add("--methods", nargs="+", default=["ln", "lora"], choices=METHODS, help="methods")
    add("--length", type=positive, default=64, help="number of tokens of a row (default: 64)")
    add("--repeats", type=positive, default=15, help="number of times that each step is timed (default: 15)")
    add("--save", type=Path, help="JSON file for the numbers")
    return parser


def _print(report: dict[str, Any]) -> None:
    setup = f"{report['model']}, {report['precision']}, {report['length']} tokens, {machine(report)}"
    table = Table(
        "method", "framework", "stored as", title=f"{setup}; time: 32 bits is 1", box=box.SIMPLE, pad_edge=False
    )
    peaks = any(row["peak_bytes"] is not None for row in report["rows"])
    for heading in ("frozen MiB", "step s", "time", "quartiles", *(["peak MiB"] if peaks else [])):
        table.add_column(heading, justify="right")
    for row in report["rows"]:
        share, peak = row["of_plain"], row["peak_bytes"]
        table.add_row(
            row["method"],
            row["framework"],
            "32 bits" if row["quantization"] == "null" else row["quantization"],
            f"{row['frozen_bytes'] / MEBIBYTE:.1f}",
            f"{row['seconds']['median']:.3f}",
            f"{share['median']:.2f}",
            f"{share['low']:.2f}-{share['high']:.2f}",
            *([f"{peak / MEBIBYTE:.0f}"] if peaks else []),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
