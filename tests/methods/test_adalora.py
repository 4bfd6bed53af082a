"""What AdaLoRA does in a run, and what it refuses. That it trains as HF peft's does is shown in tests/parity."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
from safetensors.numpy import load_file

from lnbench.config.trainer import TrainerConfig
from lnbench.core.schema import ConfigError
from lnbench.methods.parts.triplets import TripletUpdate
from lnbench.records.files import ADAPTER
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from tests.conftest import Configure
from tests.tiny import part
from tests.training.interruption import inject

SETTINGS = ("method=adalora", "method.adalora.interval=3", "method.adalora.rank=6", "method.adalora.target_rank=2")
MAPS = 18


class Ranks(pl.Callback):
    """Notes the sum of all ranks after each step, and the losses."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.losses: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        updates = [module for module in pl_module.modules() if isinstance(module, TripletUpdate)]
        self.seen.append(sum(int((update.e != 0).sum()) for update in updates))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"].item())


def test_a_run_ends_with_the_target_rank(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """18 steps: allotments after steps 3, 6 and 9, and triplets that come back between them."""
    ranks = Ranks()
    inject(monkeypatch, ranks)
    config = configure(*SETTINGS)
    record = run(config)
    budgets = [int(MAPS * (4 * (1 - (step - 2) / 7) ** 3 + 2)) for step in (3, 6, 9)]
    assert ranks.seen == [
        0,
        MAPS * 6,
        MAPS * 6,
        budgets[0],
        *[MAPS * 6] * 2,
        budgets[1],
        *[MAPS * 6] * 2,
        *[MAPS * 2] * 9,
    ]
    file = load_file(run_dir(config) / ADAPTER)
    values = [array for name, array in file.items() if name.endswith(".e")]
    assert sum(np.count_nonzero(array) for array in values) in (MAPS * 2, MAPS * 6)
    assert record.parameters.trained == sum(array.size for name, array in file.items() if "adalora" in name)


def test_the_penalty_is_part_of_the_loss(configure: Configure, tmp_path: Path) -> None:
    """Columns and rows of 0.02-sized random numbers are far from orthonormal: each distance is nearly sqrt(rank)."""
    losses = []
    for factor in (0, 10):
        ranks = Ranks()
        with pytest.MonkeyPatch.context() as patch:
            inject(patch, ranks)
            run(configure(*SETTINGS, f"method.adalora.orthogonality={factor}", f"runs_dir={tmp_path / str(factor)}"))
        losses.append(ranks.losses)
    assert losses[1][0] - losses[0][0] == pytest.approx(10 * 6**0.5, rel=0.02)
    assert losses[1][-1] < losses[1][0] - 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_rank": 13}, r"method\.adalora: target_rank = 13: must be at most rank = 12"),
        ({"initial": 0.5, "final": 0.5}, r"method\.adalora: initial = 0\.5: and final = 0\.5 must be less than 1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        part("adalora", **settings)


@pytest.mark.parametrize(("method", "devices"), [("adalora", "2"), ("adalora", "all"), ("loreft", "2")])
def test_several_devices_are_refused_by_name(configure: Configure, method: str, devices: str) -> None:
    with pytest.raises(ConfigError, match=rf"trainer\.devices = '?{devices}'?: must be 1 with method={method}"):
        configure(f"method={method}+ln", f"trainer.devices={devices}")
    assert TrainerConfig.model_fields["devices"].default == 1
