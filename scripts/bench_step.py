"""Training step time of tuning methods against full tuning, alternating, on synthetic batches of one shape.

    python scripts/bench_step.py
    python scripts/bench_step.py --methods ln bitfit ln+prefix --batch 32 --length 128 --rounds 20

Every round times one step of each method, in turn, so that a noisy machine troubles all alike.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lnbench.compose import compose_config, to_plain
from lnbench.config import RunConfig, validate
from lnbench.fsio import write_atomically
from lnbench.model import build_model, count_parameters
from lnbench.records import environment
from lnbench.training.optimiser import new_optimiser

REFERENCE = "full"


def main() -> None:
    """Times the steps, prints a table, and saves it if asked."""
    options = _options()
    methods = list(dict.fromkeys([REFERENCE, *options.methods]))
    configs = {name: _config(name, options) for name in methods}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps, sizes = {}, {}
    for name, config in configs.items():
        steps[name], sizes[name] = new_step(config, options.batch, options.length, device)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for round_number in track(range(options.warmup + options.rounds), description="rounds"):
        for name in methods:
            elapsed = timed(steps[name], device)
            if round_number >= options.warmup:
                seconds[name].append(elapsed)
    rows = {name: summarise(times, seconds[REFERENCE]) | {"trained": sizes[name]} for name, times in seconds.items()}
    _print(rows, options)
    if options.save:
        report = {
            "options": vars(options) | {"save": str(options.save)},
            "rows": rows,
            "hardware": environment.hardware(),
        }
        write_atomically(options.save, json.dumps(report, indent=2) + "\n")


def new_step(config: RunConfig, batch: int, length: int, device: torch.device) -> tuple[Callable[[], None], int]:
    """One whole optimisation step as training does it, and the number of trained backbone parameters."""
    model = build_model(config).to(device).train()
    optimiser = new_optimiser(model, config.trainer, {name: part.lr for name, part in config.method.items()})
    parameters = list(model.trained().values())
    ids = torch.randint(1000, 20_000, (batch, length), device=device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    labels = {"labels": torch.zeros(batch, dtype=torch.int64, device=device)}
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")

    def step() -> None:
        with autocast:
            loss = config.task.loss(model(**inputs), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.trainer.grad_clip or torch.inf)
        optimiser.step()
        optimiser.zero_grad()

    return step, count_parameters(model).trained


def timed(step: Callable[[], None], device: torch.device) -> float:
    """Seconds of one step, the device waited for."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def summarise(seconds: list[float], reference: list[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds, and the median as a fraction of the reference's."""
    low, median, high = statistics.quantiles([1000 * value for value in seconds], n=4)
    ratio = median / (1000 * statistics.median(reference))
    return {"median_ms": median, "low_ms": low, "high_ms": high, "ratio": ratio}


def _print(rows: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    table = Table(title=f"{options.model}, batch {options.batch} x {options.length} tokens, {options.rounds} rounds")
    for heading in ("method", "trained parameters", "median ms", "quartiles ms", f"of {REFERENCE}"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, row in rows.items():
        quartiles = f"{row['low_ms']:.0f}-{row['high_ms']:.0f}"
        table.add_row(name, f"{row['trained']:,}", f"{row['median_ms']:.0f}", quartiles, f"{row['ratio']:.3f}")
    Console().print(table)


def _config(method: str, options: argparse.Namespace) -> RunConfig:
    return validate(to_plain(compose_config(f"method={method}", f"model={options.model}")))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["ln"], help="sums as in method=...")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--batch", type=int, default=32, help="rows of a batch")
    parser.add_argument("--length", type=int, default=32, help="tokens of a row")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3, help="rounds that do not count")
    parser.add_argument("--save", type=Path, help="JSON file for the numbers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
