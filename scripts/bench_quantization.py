"""Compares training steps and memory of backbones whose weights are stored in 32 bits, 8 (int8) and 4 (nf4).

python -m scripts.bench_quantization
python -m scripts.bench_quantization model=bert_large task=rte data_root=path/to/data --methods ln lora

All models take one step on the same batch in turn, so noise affects all alike. `backbone` is the memory of the
backbone's parameters; on a GPU, `peak` is the most that a model's tensors held there.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from lnbench.backbone.quantization import is_quantized, stored_parts
from lnbench.training.assemble import load_pretrained
from scripts.throughput.circumstances import circumstances, machine, positive
from scripts.throughput.clock import now
from scripts.throughput.command import carry_out
from scripts.throughput.quartiles import quartiles, ratios
from scripts.throughput.setting import configure
from scripts.throughput.step_only import lnbench_variant, new_batch, ready

WAYS = ("null", "int8", "nf4")
MEBIBYTE = 2**20


def main() -> None:
    """Entry point of the benchmark."""
    carry_out(bench, _print, _parser().parse_intermixed_args())


def bench(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Returns all measurements, as JSON values.

    Args:
        options: options of the command line.
        folder: is not used.

    Raises:
        ConfigError: a requested measurement is not possible.
    """
    rows = []
    for method in options.methods:
        configs = {way: configure([method], [*options.overrides, f"model.quantization={way}"])[method] for way in WAYS}
        batch = new_batch(configs["null"], options.length)
        variants = {way: ready(partial(lnbench_variant, config, batch)) for way, config in configs.items()}
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in track(range(options.repeats), description=method):
            for way, variant in variants.items():
                started = now()
                variant.step()
                seconds[way].append(now() - started)
        rows += [
            {
                "method": method,
                "quantization": way,
                "backbone_bytes": sum(map(stored_bytes, load_pretrained(configs[way]).parameters())),
                "seconds": quartiles(seconds[way]),
                "of_plain": ratios(seconds[way], seconds["null"]),
                "peak_bytes": variants[way].peak_bytes,
            }
            for way in WAYS
        ]
    return {**circumstances(options, configs["null"]), "length": options.length, "rows": rows}


def stored_bytes(tensor: Tensor) -> int:
    """Memory of a tensor, of the parts that it is stored in."""
    if not is_quantized(tensor):
        return tensor.numel() * tensor.element_size()
    return sum(map(stored_bytes, stored_parts(tensor).values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench_quantization",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("overrides", nargs="*", help="overrides of lnbench: model=, trainer.batch_size=, trainer.precision=")
    add("--methods", nargs="+", default=["ln", "lora"], help="methods or sums of methods")
    add("--length", type=positive, default=64, help="number of tokens of a row (default: 64)")
    add("--repeats", type=positive, default=15, help="number of times that each step is timed (default: 15)")
    add("--save", type=Path, help="JSON file for the numbers")
    return parser


def _print(report: dict[str, Any]) -> None:
    setup = f"{report['model']}, {report['precision']}, {report['length']} tokens, {machine(report)}"
    table = Table("method", "stored as", title=f"{setup}; time: 32 bits is 1", box=box.SIMPLE, pad_edge=False)
    for heading in ("backbone MiB", "step s", "time", "quartiles", "peak MiB"):
        table.add_column(heading, justify="right")
    for row in report["rows"]:
        share, peak = row["of_plain"], row["peak_bytes"]
        table.add_row(
            row["method"],
            "32 bits" if row["quantization"] == "null" else row["quantization"],
            f"{row['backbone_bytes'] / MEBIBYTE:.1f}",
            f"{row['seconds']['median']:.3f}",
            f"{share['median']:.2f}",
            f"{share['low']:.2f}-{share['high']:.2f}",
            "" if peak is None else f"{peak / MEBIBYTE:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
