"""Measures how much memory a training step keeps for its backward pass, in lnbench and in transformers with peft.

python -m scripts.bench_saved
python -m scripts.bench_saved model=minilm --methods ln lora --length 32

The model has its architecture's shape and random weights. Saved-tensor hooks see every tensor that the forward pass
keeps. A tensor counts with its whole storage, and once. Parameters and inputs are not counted. The numbers are bytes
per token and layer: the difference between two batches of different size, divided by the tokens and by all the layers,
also those that need no gradient. What does not grow with the batch, such as rounded weights, is thus left out.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from lnbench.backbone.backbone import blocks_of
from lnbench.config.run import RunConfig
from lnbench.training.assemble import build_model, build_skeleton
from lnbench.training.frozen.weights import round_frozen_weights
from scripts.throughput import bare_runner, hf_model
from scripts.throughput.circumstances import circumstances, machine, positive
from scripts.throughput.command import carry_out
from scripts.throughput.end_to_end import supports
from scripts.throughput.setting import configure, put_model, with_model
from scripts.throughput.step import autocast, device_of
from scripts.throughput.step_only import Batch, new_batch

FORMATS = ("fp32", "bf16")
NAMES = ("lnbench", "hf")
SMALL, LARGE = 2, 4
"""Rows of the two batches."""


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
        configs = configure(options.methods, [*options.overrides, f"trainer.precision={number_format}"])
        if not rows:
            put_model(next(iter(configs.values())), folder, random_weights=True)
        for method, config in configs.items():
            local = with_model(config, folder)
            found = {name: kept_bytes(local, name, options.length) for name in NAMES if supports(name, method)}
            rows.append({"method": method, "format": number_format, "bytes": found})
    return {**circumstances(options, local), "rows": rows}


def kept_bytes(config: RunConfig, name: str, length: int) -> float:
    """Bytes that one forward pass keeps for the backward pass, per token and layer.

    Args:
        config: configuration of the run, whose model is a folder.
        name: whose model: `lnbench` or `hf`.
        length: tokens of each row.
    """
    model: nn.Module
    if name == "hf":
        model = hf_model.new_model(config)
    else:
        model = build_model(config)
        round_frozen_weights(config, model)
    model.to(device_of(config)).train()
    sizes = []
    for count in (SMALL, LARGE):
        batch = {key: tensor[:count] for key, tensor in new_batch(config, length).items()}
        with autocast(config):
            sizes.append(kept([*model.parameters(), *batch.values()], _loss(model, config, name, batch)))
    layers = len(blocks_of(build_skeleton(config).backbone))
    return (sizes[1] - sizes[0]) / ((LARGE - SMALL) * length * layers)


def kept(others: Iterable[Tensor], forward: Callable[[], Tensor]) -> int:
    """Bytes of all storages that a forward pass keeps for the backward pass.

    Args:
        others: tensors whose storages do not count.
        forward: forward pass, which returns what the backward pass starts from.
    """
    storages: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor  # the tensor keeps its address from being used again
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = forward()
    loss.detach()
    for tensor in others:
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(tensor.untyped_storage().nbytes() for tensor in storages.values())


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m scripts.bench_saved",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add(
        "overrides",
        nargs="*",
        default=["model=bert_base"],
        help="anything but method= and trainer.precision=, as lnbench takes it (default: model=bert_base)",
    )
    add("--methods", nargs="+", default=["ln"], help="as in method= (default: ln)")
    add("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="as in trainer.precision=")
    add("--length", type=positive, default=128, help="tokens of each row (default: 128)")
    add("--save", type=Path, help="JSON file for the numbers")
    return result


def _loss(model: nn.Module, config: RunConfig, name: str, batch: Batch) -> Callable[[], Tensor]:
    if name == "hf":
        return lambda: model(**batch).loss
    return lambda: bare_runner.loss(model, config, batch)  # type: ignore[arg-type]


def _print(report: dict[str, Any]) -> None:
    title = f"Bytes per token and layer: {report['model']}, {report['options']['length']} tokens, {machine(report)}"
    table = Table("method", "format", title=title, box=box.SIMPLE, pad_edge=False)
    for heading in ("lnbench", "HF peft", "lnbench / HF peft"):
        table.add_column(heading, justify="right")
    for row in report["rows"]:
        own, peft = row["bytes"]["lnbench"], row["bytes"].get("hf")
        compared = ["", ""] if peft is None else [f"{peft:,.0f}", f"{own / peft:.3f}"]
        table.add_row(row["method"], row["format"], f"{own:,.0f}", *compared)
    Console().print(table)


if __name__ == "__main__":
    main()
