"""Optimisation steps per second of runs that train together, against the same runs in sequence, on synthetic batches.

python -m scripts.bench_fused
python -m scripts.bench_fused --runs 4 --rounds 5

Every round times one step of each run, first one after the other and then together. What Lightning and the callbacks
do besides, a few milliseconds a step, comes on top of both.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.optim import Optimizer

from lnbench.compose import compose_config, to_plain
from lnbench.config import RunConfig, validate
from lnbench.fsio import write_atomically
from lnbench.fused.step import Learned, Own, Step, learn
from lnbench.model import build_model, inputs_of
from lnbench.training.frozen_weights import round_frozen_weights
from lnbench.training.optimiser import new_optimiser
from scripts.throughput.circumstances import circumstances
from scripts.throughput.clock import now
from scripts.throughput.quartiles import quartiles


def main() -> None:
    """Times the steps, prints a table, and saves it if asked."""
    options = _options()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps, optimisers = zip(*(_run(seed, options, device) for seed in range(options.runs)), strict=True)
    ways: dict[str, Callable[[], list[Learned]]] = {
        "in sequence": lambda: [learn_alone(step) for step in steps],
        "together": lambda: learn(steps),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(options.warmup + options.rounds):
        for name, way in ways.items():
            elapsed = _timed(way, steps, optimisers)
            if round_number >= options.warmup:
                seconds[name].append(elapsed)
    rates = {name: [options.runs / value for value in values] for name, values in seconds.items()}
    rows = {name: quartiles(values) for name, values in rates.items()}
    _print(rows, options)
    if options.save:
        report = {**circumstances(options, _config(0, options)), "steps_per_second": rows}
        write_atomically(options.save, json.dumps(report, indent=2) + "\n")


def learn_alone(step: Step) -> Learned:
    """What `learn` gives, by an ordinary forward and backward pass."""
    with step.precision():
        loss = step.task.loss(step.model(**inputs_of(step.batch)), step.batch)
    gradients = torch.autograd.grad(loss, list(step.own.trained.values()))
    return Learned(loss.detach(), gradients)


def _run(seed: int, options: argparse.Namespace, device: torch.device) -> tuple[Step, Optimizer]:
    config = _config(seed, options)
    model = build_model(config).to(device).train()
    round_frozen_weights(config, model)
    ids = torch.randint(1000, 20_000, (options.batch, options.length), device=device)
    labels = torch.zeros(options.batch, dtype=torch.int64, device=device)
    step = Step(
        model=model,
        own=Own.of(model),
        task=config.task,
        batch={"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels},
        pad_id=0,
        generator=torch.Generator().manual_seed(seed),
        precision=lambda: torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"),
    )
    return step, new_optimiser(model, config.trainer, {name: part.lr for name, part in config.method.items()})


def _timed(way: Callable[[], list[Learned]], steps: tuple[Step, ...], optimisers: tuple[Optimizer, ...]) -> float:
    """Seconds of one whole step of every run, the device waited for."""
    started = now()
    for step, optimiser, learned in zip(steps, optimisers, way(), strict=True):
        trained = step.own.trained.values()
        for parameter, gradient in zip(trained, learned.gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
    return now() - started


def _print(rows: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    table = Table(
        title=f"{options.runs} runs of {options.method}, {options.model}, {options.batch} x {options.length} tokens"
    )
    for heading in ("", "steps/s", "quartiles", "of in sequence"):
        table.add_column(heading, justify="right")
    reference = rows["in sequence"]["median"]
    for name, row in rows.items():
        span = f"{row['low']:.2f}-{row['high']:.2f}"
        table.add_row(name, f"{row['median']:.2f}", span, f"{row['median'] / reference:.2f}")
    Console().print(table)


def _config(seed: int, options: argparse.Namespace) -> RunConfig:
    names = [f"method={options.method}", f"model={options.model}", f"seed={seed}"]
    return validate(to_plain(compose_config(*names)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--method", default="ln", help="a sum as in method=...")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--batch", type=int, default=32, help="rows of a run's batch")
    parser.add_argument("--length", type=int, default=32, help="tokens of a row")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3, help="rounds that do not count")
    parser.add_argument("--save", type=Path, help="JSON file for the numbers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
