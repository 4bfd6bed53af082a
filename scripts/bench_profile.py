"""Shows on which kinds of operations a training step spends its time, in fp32 and in bf16.

python -m scripts.bench_profile
python -m scripts.bench_profile model=bert_base --length 128

The model has its architecture's shape and random weights. torch's profiler adds up the time that the processor spends
in each operation itself, without the operations that it calls. Profiling costs time, too: most in "rest", which has
what Python and autograd do between operations.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from scripts.throughput.circumstances import circumstances, machine, positive
from scripts.throughput.command import carry_out
from scripts.throughput.setting import configure, put_model, with_model
from scripts.throughput.step_only import lnbench_variant, new_batch

FORMATS = ("fp32", "bf16")
KINDS: Mapping[str, tuple[str, ...]] = {
    "products with weights": ("addmm", "mm", "linear"),
    "products in attention": ("bmm", "baddbmm"),
    "GELU": ("gelu", "gelu_backward"),
    "norms": ("native_layer_norm", "native_layer_norm_backward", "rms_norm"),
    "softmax": ("_softmax", "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data"),
    "copies and casts": ("copy_", "_to_copy", "cat", "clone", "contiguous"),
    "sums and products of elements": ("mul", "mul_", "add", "add_", "sub", "div", "div_", "sum", "fill_", "zero_"),
    "masks of dropout": ("_Dropped", "_DroppedBackward", "_Attention", "_AttentionBackward"),
}
"""Operations of each kind. Dropout draws its masks outside of torch, inside of four functions of lnbench."""
REST = "rest"


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
    rows: list[dict[str, Any]] = []
    for number_format in options.formats:
        (config,) = configure([options.method], [*options.overrides, f"trainer.precision={number_format}"]).values()
        if not rows:
            put_model(config, folder, random_weights=True)
        local = with_model(config, folder)
        variant = lnbench_variant(local, new_batch(local, options.length))
        for _ in range(options.steps):
            variant.step()
        started = time.perf_counter()
        for _ in range(options.steps):
            variant.step()
        seconds = (time.perf_counter() - started) / options.steps
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(options.steps):
                variant.step()
        found = {event.key: event.self_cpu_time_total / 1e6 / options.steps for event in profiler.key_averages()}
        rows.append({"format": number_format, "seconds": seconds, "kinds": by_kind(found.items())})
    return {**circumstances(options, local), "rows": rows}


def by_kind(operations: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Seconds by kind of operation.

    Args:
        operations: name in the profile, such as `aten::mm`, and seconds in the operation itself.
    """
    kind_of = {name: kind for kind, names in KINDS.items() for name in names}
    seconds: dict[str, float] = defaultdict(float, dict.fromkeys([*KINDS, REST], 0.0))
    for name, own in operations:
        seconds[kind_of.get(name.removeprefix("aten::"), REST)] += own
    return dict(seconds)


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m scripts.bench_profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add(
        "overrides",
        nargs="*",
        help="anything but method= and trainer.precision=, as lnbench takes it (default: the usual model)",
    )
    add("--method", default="ln", help="as in method= (default: ln)")
    add("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="as in trainer.precision=")
    add("--length", type=positive, default=32, help="tokens of each row (default: 32)")
    add("--steps", type=positive, default=20, help="steps to profile (default: 20)")
    add("--save", type=Path, help="JSON file for the numbers")
    return result


def _print(report: dict[str, Any]) -> None:
    title = f"Share of the time of a step: {report['model']}, {report['options']['length']} tokens, {machine(report)}"
    table = Table("kind of operation", title=title, box=box.SIMPLE, pad_edge=False)
    for row in report["rows"]:
        table.add_column(row["format"], justify="right")
    for kind in (*KINDS, REST):
        shares = (row["kinds"][kind] / sum(row["kinds"].values()) for row in report["rows"])
        table.add_row(kind, *(f"{share:.1%}" for share in shares))
    table.add_row("a step, unprofiled", *(f"{1e3 * row['seconds']:.0f} ms" for row in report["rows"]))
    Console().print(table)


if __name__ == "__main__":
    main()
