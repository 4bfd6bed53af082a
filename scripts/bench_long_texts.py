"""Measures a tiny rotary decoder on long texts: a forward pass, a training step, and generation.

python -m scripts.bench_long_texts
"""

import argparse
import itertools
import subprocess
import sys
import time
from typing import Any

import torch
from rich.console import Console
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from lnbench.backbone.attention import adapt_attention
from lnbench.records.environment import peak_resident_bytes
from tests.tiny import GROUPED, tune

WRITTEN = 16
"""Tokens to generate."""
console = Console(highlight=False)


def main() -> None:
    """Prints one row for each method and length, each measured in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_long_texts", description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 8192], metavar="N")
    parser.add_argument("--methods", nargs="+", default=["ln", "prefix"], metavar="METHOD")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.measure[0], int(arguments.measure[1]))
        return
    console.print(f"method, tokens: seconds of forward, training step, {WRITTEN} new tokens; peak of memory in MB")
    for method in arguments.methods:
        for length in arguments.lengths:
            command = [sys.executable, "-m", "scripts.bench_long_texts", "--measure", method, str(length)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            console.print(f"{method:>8} {length:>6,}: {output.splitlines()[-1]}")


def _measure(method: str, length: int) -> None:
    """Prints the seconds of each part, and the peak of memory over the start in MB."""
    model = _model(method, length)
    ids = torch.randint(3, model.config.vocab_size, (1, length), generator=torch.Generator().manual_seed(0))
    before = peak_resident_bytes()
    marks = [time.perf_counter()]
    with torch.no_grad():
        model(input_ids=ids, use_cache=False)
    marks.append(time.perf_counter())
    model.train()
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    if not all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in _trained(model)):
        raise RuntimeError("a gradient is missing or not finite")
    marks.append(time.perf_counter())
    model.eval()
    written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=WRITTEN, do_sample=False)
    marks.append(time.perf_counter())
    with torch.no_grad():
        again = model(input_ids=written[:, :-1], use_cache=False).logits[0, length - 1 :].argmax(-1)
    if not torch.equal(again, written[0, length:]):
        raise RuntimeError("generation with the cache is not generation without it")
    peak = (peak_resident_bytes() - before) / 2**20
    print(*(f"{later - earlier:.2f}" for earlier, later in itertools.pairwise(marks)), f"{peak:,.0f}")


def _model(method: str, length: int) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(**{**GROUPED, "max_position_embeddings": length + WRITTEN, "eos_token_id": None})
    model: Any = LlamaForCausalLM(config).eval()
    adapt_attention(model)
    tune(model, method)
    return model


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


if __name__ == "__main__":
    main()
