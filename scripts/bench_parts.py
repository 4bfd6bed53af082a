"""Measures the time of the parts of a training step, and of alternatives to them.

python -m scripts.bench_parts
python -m scripts.bench_parts --batch 32 --length 128

It times forward and backward of each part alone, in turn, for the shapes of one layer of MiniLM. It also prints the
share of real tokens, the others being padding, in batches of the embedded tweets. The batches are random, or grouped by
length as in transformers' Trainer, or made as in lnbench, or made of equally many tokens.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional
from transformers.trainer_pt_utils import LengthGroupedSampler

from lnbench.backbone.attention import attention
from lnbench.backbone.dropout import Dropout
from lnbench.backbone.loading import load_tokenizer
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.atomic_files import write_atomically
from lnbench.tasks.data.load import load_data
from lnbench.training.batching import shuffled_batches
from scripts.throughput.circumstances import circumstances
from scripts.throughput.clock import now
from scripts.throughput.quartiles import quartiles

HIDDEN, FFN, HEADS, P = 384, 1536, 12, 0.1
RUNS = 16
"""Number of runs that train together, for the measurement of their padding."""
Part = Callable[[], Tensor | tuple[Tensor, ...]]


def main() -> None:
    """Measures, prints tables, and saves the numbers if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="number of rows of a batch")
    parser.add_argument("--length", type=int, default=32, help="number of tokens of a row")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--save", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    seconds = measure(parts(options.batch, options.length), options.rounds)
    shares = padding_shares(options.batch)
    table = Table("part", "ms", "quartiles", title=f"Forward and backward, {options.batch} x {options.length} tokens")
    for name, values in seconds.items():
        found = quartiles([1000 * value for value in values])
        table.add_row(name, f"{found['median']:.2f}", f"{found['low']:.2f}-{found['high']:.2f}")
    real = Table("batches of tweets", "real tokens %", title=f"Padding, {options.batch} rows a batch")
    for name, share in shares.items():
        real.add_row(name, f"{100 * share:.1f}")
    Console().print(table, real)
    if options.save:
        report = {**circumstances(options, default_config()), "seconds": seconds, "real_tokens": shares}
        write_atomically(options.save, json.dumps(report, indent=2) + "\n")


def parts(batch: int, length: int) -> dict[str, Part]:
    """The parts by name. Each part returns the tensor from which backward starts."""
    tokens = batch * length
    x, wide = (torch.randn(tokens, size, requires_grad=True) for size in (HIDDEN, FFN))
    up = torch.randn(FFN, HIDDEN)
    rounded = up.bfloat16()
    three = [torch.randn(HIDDEN, HIDDEN) for _ in range(3)]
    one = torch.cat(three)
    gain, bias = torch.ones(HIDDEN, requires_grad=True), torch.zeros(HIDDEN, requires_grad=True)
    shape = (batch, length, HEADS, HIDDEN // HEADS)
    query, key, value = (torch.randn(shape, requires_grad=True).transpose(1, 2) for _ in range(3))
    module, own = torch.nn.Module(), Dropout(P)
    sdpa = functional.scaled_dot_product_attention
    return {
        "one linear map of the FFN": lambda: functional.linear(x, up),
        "the same in bf16, weight rounded every time": lambda: functional.linear(x.bfloat16(), up.bfloat16()),
        "the same in bf16, weight rounded once": lambda: functional.linear(x.bfloat16(), rounded),
        "query, key and value by three maps": lambda: tuple(functional.linear(x, weight) for weight in three),
        "query, key and value by one map": lambda: functional.linear(x, one).chunk(3, dim=-1),
        "GELU": lambda: functional.gelu(wide),
        "layer normalisation": lambda: functional.layer_norm(x, (HIDDEN,), gain, bias),
        "dropout of torch": lambda: functional.dropout(x, P),
        "dropout of lnbench": lambda: own(x),
        "attention without dropout": lambda: sdpa(query, key, value),
        "attention of torch with dropout": lambda: sdpa(query, key, value, dropout_p=P),
        "attention of lnbench with dropout": lambda: attention(module, query, key, value, None, P, is_causal=False)[0],
    }


def measure(named: dict[str, Part], rounds: int, warm_up: int = 3) -> dict[str, list[float]]:
    """Seconds of each part in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in named}
    for number in range(warm_up + rounds):
        for name, part in named.items():
            started = now()
            output = part()
            outputs = output if isinstance(output, tuple) else (output,)
            torch.autograd.backward(outputs, [torch.ones_like(one) for one in outputs])
            if number >= warm_up:
                seconds[name].append(now() - started)
    return seconds


def default_config() -> RunConfig:
    """The configuration of a run with default choices."""
    return validate(to_plain(compose_config()))


def padding_shares(batch: int) -> dict[str, float]:
    """Share of real tokens in an epoch of the embedded tweets, by the way of making batches."""
    config = default_config()
    data = load_data(config.task, load_tokenizer(config.model), config.data_root, config.cache_dir)
    lengths = data.train.lengths
    torch.manual_seed(0)
    grouped = np.array(list(LengthGroupedSampler(batch, lengths=lengths.tolist())))
    orders = {"at random": np.random.default_rng(0).permutation(len(lengths)), "Trainer, grouped by length": grouped}
    cut = {name: [order[i : i + batch] for i in range(0, len(order), batch)] for name, order in orders.items()}
    runs = [shuffled_batches(lengths, batch, seed, epoch=0) for seed in range(RUNS)]
    cut["lnbench"] = runs[0]
    cut[f"lnbench, {RUNS} runs together"] = [np.concatenate(step) for step in zip(*runs, strict=True)]
    cut["equally many tokens"] = _of_equal_tokens(lengths, round(batch * lengths.mean()))
    return {name: _real_share(lengths, batches) for name, batches in cut.items()}


def _of_equal_tokens(lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
    """Rows from long to short, in batches of at most `budget` tokens, padding included."""
    batches, rest = [], np.argsort(-lengths, kind="stable")
    while len(rest):
        size = max(1, budget // int(lengths[rest[0]]))
        batches.append(rest[:size])
        rest = rest[size:]
    return batches


def _real_share(lengths: NDArray[np.int64], batches: list[NDArray[np.int64]]) -> float:
    padded = sum(len(rows) * lengths[rows].max() for rows in batches)
    return float(sum(lengths[rows].sum() for rows in batches) / padded)


if __name__ == "__main__":
    main()
