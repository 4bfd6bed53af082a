"""Times training steps of LN-tuning in the upper layers of MiniLM on a CPU, with different handling of the lower ones.

python -m scripts.bench_frozen
python -m scripts.bench_frozen method.ln.layers=6 trainer.batch_size=16 --rounds 60

Every round times one step of each kind in turn, on the same rows of the task, so noise affects all kinds alike.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lnbench.backbone.frozen import FROZEN_STATES, FrozenPart
from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.atomic_files import write_atomically
from lnbench.run.execute import load_model_and_data
from lnbench.tasks.data.load import TaskData
from lnbench.training.batching import shuffled_batches
from lnbench.training.frozen.states import FrozenStates
from lnbench.training.optimiser import new_optimiser
from scripts.throughput.circumstances import circumstances
from scripts.throughput.clock import now
from scripts.throughput.quartiles import quartiles
from scripts.throughput.step import autocast

WARM_UP = 3


class Steps:
    """The kinds of steps. Each method does one step on some rows."""

    def __init__(self, config: RunConfig, model: TunedModel, data: TaskData) -> None:
        self.config, self.model, self.train = config, model, data.train
        self.optimiser = new_optimiser(model, config.trainer, config.method)
        self.precision = autocast(config)
        sample = inputs_of(self.train.batch(np.arange(1)))
        with self.precision:
            self.part = FrozenPart(model.backbone, sample)
            self.kept = FrozenStates(self.train, self.part.states(sample)[0, 0])

    def usual(self, rows: NDArray[np.int64]) -> None:
        """A step with dropout in all layers."""
        self.model.train()
        self._learn(self.train.batch(rows))

    def calm(self, rows: NDArray[np.int64]) -> None:
        """A step without dropout below the lowest trained layer."""
        self.part.stop_dropout()
        self._learn(self.train.batch(rows))

    def fill(self, rows: NDArray[np.int64]) -> None:
        """Computes the output of the lower layers, and keeps it."""
        with self.precision:
            self.kept.put(rows, self.part.states(inputs_of(self.train.batch(rows))))

    def spared(self, rows: NDArray[np.int64]) -> None:
        """A step with the kept output in place of the lower layers."""
        with self.part.spared():
            self._learn({**self.train.batch(rows), FROZEN_STATES: self.kept.batch(rows)})

    def _learn(self, batch: dict[str, Tensor]) -> None:
        with self.precision:
            loss = self.config.task.loss(self.model(**inputs_of(batch)), batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.trained().values(), self.config.trainer.grad_clip or torch.inf)
        self.optimiser.step()
        self.optimiser.zero_grad()


def main() -> None:
    """Prints the times of the kinds of steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="settings, as for python -m lnbench")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--save", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    overrides = ["method=ln", "method.ln.layers=4-6", "trainer.device=cpu", *options.overrides]
    config = validate(to_plain(compose_config(*overrides)))
    steps = Steps(config, *load_model_and_data(config))
    kinds = {
        "dropout everywhere": steps.usual,
        "no dropout below": steps.calm,
        "no step: what leaves the layers below": steps.fill,
        "no dropout below, and nothing computed": steps.spared,
    }
    batches = shuffled_batches(steps.train.lengths, config.trainer.batch_size, seed=0, epoch=0)
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for rows in batches[: WARM_UP + options.rounds]:
        for name, kind in kinds.items():
            started = now()
            kind(rows)
            seconds[name].append(now() - started)
    table = Table("step", "median ms", "quartiles ms", "ratio", title=f"{config.model.name}, {' '.join(overrides)}")
    found = {name: quartiles([1000 * value for value in values[WARM_UP:]]) for name, values in seconds.items()}
    for name, row in found.items():
        ratio = row["median"] / found["dropout everywhere"]["median"]
        table.add_row(name, f"{row['median']:.0f}", f"{row['low']:.0f}-{row['high']:.0f}", f"{ratio:.3f}")
    Console().print(table)
    if options.save:
        report = {**circumstances(options, config), "milliseconds": found}
        write_atomically(options.save, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
