"""Times one optimisation step on one batch without padding, for lnbench's model and for Hugging Face's with peft."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from rich.progress import track
from torch import Tensor, nn
from torch.optim import AdamW

from lnbench.backbone.loading import load_config
from lnbench.backbone.quantization import is_quantized, stored_parts
from lnbench.config.run import RunConfig
from lnbench.training.assemble import build_model
from lnbench.training.frozen.weights import round_frozen_weights
from scripts.throughput import bare_runner, hf_model
from scripts.throughput.clock import now, with_peak_memory
from scripts.throughput.end_to_end import supports
from scripts.throughput.flops import MatmulSpeed, count_flops
from scripts.throughput.quartiles import quartiles, ratios
from scripts.throughput.step import Step, device_of, new_step

WARM_UP_STEPS = 3
REFERENCE = "full"
COMPILED, GRAPHS = "lnbench, compiled", "lnbench, CUDA graphs"
COMPILING: Mapping[str, Mapping[str, Any]] = {COMPILED: {"dynamic": True}, GRAPHS: {"mode": "reduce-overhead"}}
"""What torch.compile is told: one graph for all lengths of a batch, or CUDA graphs for this one length."""
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Variant:
    """A model with a method, ready to be trained on one batch."""

    step: Callable[[], None]
    trained: int
    """Number of trained parameters, including the head."""
    flops: float
    """Operations of one step."""
    frozen_bytes: int
    """Memory of the parameters that are not trained."""
    peak_bytes: int | None = None


def measure(
    configs: Mapping[str, RunConfig],
    length: int,
    repeats: int,
    matmul: MatmulSpeed,
    compiled: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Times one step of each model and method in turn, repeatedly.

    Args:
        configs: configurations by method.
        length: number of tokens in each row.
        repeats: number of repeats, after some that do not count.
        matmul: speed of a matrix product, measured before each repeat.
        compiled: which of `COMPILING` to include.

    Returns:
        One row for each supported pair of method and model.
    """
    batch = new_batch(next(iter(configs.values())), length)
    variants = {
        (method, name): ready(lambda make=make, config=config: make(config, batch))  # type: ignore[misc]
        for method, config in configs.items()
        for name, make in MAKERS.items()
        if supports(name, method) and (name in compiled or name not in COMPILING)
    }
    seconds: dict[tuple[str, str], list[float]] = {pair: [] for pair in variants}
    for _ in track(range(repeats), description="step only", auto_refresh=False):
        matmul.measure()
        for pair, variant in variants.items():
            started = now()
            variant.step()
            seconds[pair].append(now() - started)
    return [
        {
            "framework": name,
            "method": method,
            **summarise(variant, seconds[method, name], batch),
            "of_full": ratios(seconds[method, name], seconds.get((REFERENCE, name))),
            "lnbench_ratio": ratios(seconds[method, name], seconds[method, "lnbench"]),
        }
        for (method, name), variant in variants.items()
    ]


def new_batch(config: RunConfig, length: int) -> Batch:
    """Rows of random tokens without padding, (B, `length`), all labelled 0, (B,), on the device of the run."""
    shape, generator = (config.trainer.batch_size, length), torch.Generator().manual_seed(0)
    ids = torch.randint(load_config(config.model).vocab_size, shape, generator=generator).to(device_of(config))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.zeros_like(ids[:, 0])}


def lnbench_variant(config: RunConfig, batch: Batch, compiled: str = "") -> Variant:
    """lnbench's model and optimiser.

    Args:
        config: configuration of the run.
        batch: batch to train on.
        compiled: one of `COMPILING`; empty: the model is not compiled.
    """
    model = build_model(config).to(device_of(config)).train()
    step = bare_runner.step_of(model, config)
    variant = _variant(model, batch, step, lambda: bare_runner.loss(model, config, batch))
    round_frozen_weights(config, model)
    if compiled:
        model.compile(**COMPILING[compiled])
    return variant


def hf_variant(config: RunConfig, batch: Batch, bitsandbytes: bool = False) -> Variant:
    """Hugging Face's model with peft, and the optimiser that its Trainer takes by default."""
    model = hf_model.new_model(config, bitsandbytes).to(device_of(config)).train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    step = new_step(config, parameters, AdamW(parameters, lr=5e-5, weight_decay=0.0, fused=True))
    return _variant(model, batch, step, lambda: model(**batch).loss)


MAKERS = {
    "lnbench": lnbench_variant,
    **{name: partial(lnbench_variant, compiled=name) for name in COMPILING},
    "hf": hf_variant,
}


def ready(make: Callable[[], Variant]) -> Variant:
    """Makes a variant, and warms it up."""

    def warmed_up() -> Variant:
        variant = make()
        for _ in range(WARM_UP_STEPS):
            variant.step()
        return variant

    variant, peak_bytes = with_peak_memory(warmed_up)
    return replace(variant, peak_bytes=peak_bytes)


def summarise(variant: Variant, seconds: list[float], batch: Batch) -> dict[str, Any]:
    """Medians and quartiles over the repeats.

    Args:
        variant: variant that was timed.
        seconds: time of each step.
        batch: batch of each step.
    """
    ids = batch["input_ids"]
    return {
        "trained": variant.trained,
        "seconds": quartiles(seconds),
        "samples_per_second": quartiles([len(ids) / each for each in seconds]),
        "tokens_per_second": quartiles([ids.numel() / each for each in seconds]),
        "flops_per_second": quartiles([variant.flops / each for each in seconds]),
        "mean_flops_per_second": variant.flops * len(seconds) / sum(seconds),
        "peak_bytes": variant.peak_bytes,
    }


def _variant(model: nn.Module, batch: Batch, step: Step, loss: Callable[[], Tensor]) -> Variant:
    rows, length = batch["input_ids"].shape
    return Variant(
        step=lambda: step(loss),
        trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        flops=count_flops(model).of([length] * rows),
        frozen_bytes=sum(stored_bytes(one) for one in model.parameters() if not one.requires_grad),
    )


def stored_bytes(tensor: Tensor) -> int:
    """Memory of a tensor; of a quantised one, that of the parts that it is stored in."""
    if state := getattr(tensor, "quant_state", None):  # of bitsandbytes: scales, and the scales of scales
        scales = (tensor.data, state.absmax, *([state.state2.absmax] if state.nested else []))
        return sum(one.numel() * one.element_size() for one in scales)
    if not is_quantized(tensor):
        return tensor.numel() * tensor.element_size()
    return sum(map(stored_bytes, stored_parts(tensor).values()))
