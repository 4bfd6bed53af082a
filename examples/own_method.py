"""A tuning method of your own, compared with LN-tuning and BitFit.

    python examples/own_method.py

It takes about ten minutes on two CPU cores: three methods with two seeds each, on labelled tweets that come with
lnbench. Finished runs are not done again. Arguments of the script are overrides of every run:

    python examples/own_method.py trainer.max_steps=300 trainer.lr_factor=3

A method is one class and one YAML file. The class says which parameters are trained. The YAML file
(examples/conf/method/linear_bottleneck.yaml) gives the method its name on the command line and its default settings.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

import lnbench
from lnbench.methods.base import Method
from lnbench.methods.parts.layers import Layers, select_layers

if TYPE_CHECKING:
    from torch import nn

    from lnbench.backbone.backbone import Backbone


class LinearBottleneck(Method):
    """y -> y + B A y after attention, with A of shape (rank, D), and B of shape (D, rank) and zero at first.

    That is an adapter without its activation function. Does it need one?
    """

    kind: ClassVar[str] = "linear_bottleneck"

    rank: Annotated[int, Field(ge=1)]
    layers: Layers

    def attach(self, backbone: Backbone) -> list[nn.Parameter]:
        """Inserts one pair of matrices in each layer, and returns them, because they are trained."""
        from torch import nn

        from lnbench.backbone.insertion import insert_sequential

        trained: list[nn.Parameter] = []
        size = backbone.config.hidden_size
        for layer in select_layers(self.layers, backbone, "method.linear_bottleneck.layers"):
            down, up = nn.Linear(size, self.rank, bias=False), nn.Linear(self.rank, size, bias=False)
            nn.init.zeros_(up.weight)  # so that training starts from the pretrained model
            pair = nn.Sequential(down, up).to(backbone.model.device)
            insert_sequential(backbone.output_of("mha", layer), "linear_bottleneck", pair)
            trained += pair.parameters()
        return trained


METHODS = ["ln", "bitfit", "linear_bottleneck"]
SEEDS = [0, 1]
BUDGET = [
    "trainer.max_steps=150",
    "trainer.validate_every=null",  # only at the end
    "task.splits.validation_limit=1000",
    "task.splits.test_limit=1000",
]


def main() -> None:
    """Does all runs, and prints a table of them."""
    parser = argparse.ArgumentParser(description="Compares a method of one's own with two others.")
    parser.add_argument("--runs-dir", default="runs/own_method", help="folder for the runs")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of all runs")
    options = parser.parse_args()
    done = [
        lnbench.run(
            f"method={method}",
            f"seed={seed}",
            f"runs_dir={options.runs_dir}",
            *BUDGET,
            *options.overrides,
            plugins=["own_method"],  # this file, which Python finds because it lies beside the script
            config_dir=Path(__file__).parent / "conf",
        )
        for seed in SEEDS
        for method in METHODS
    ]

    runs = lnbench.records(options.runs_dir)
    runs = runs[runs["id"].isin([record.id for record in done])]  # not what other settings have left there
    table = runs.groupby("method").agg(
        trained=("trained", "first"),
        mean=("test/accuracy", "mean"),
        std=("test/accuracy", "std"),
        seconds=("train_seconds", "mean"),
    )
    print("\nTest accuracy, mean and standard deviation over seeds:\n")
    print(table.loc[METHODS].round(4).to_string())


if __name__ == "__main__":
    main()
