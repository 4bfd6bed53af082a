import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

import lnbench
from lnbench.config.run import RunConfig
from lnbench.config.trainer import TrainerConfig
from lnbench.exchange.tuned import Tuned
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.tasks.data.load import load_data
from lnbench.training.callbacks.progress import Progress
from lnbench.training.fit import new_trainer
from lnbench.training.module import count_steps
from tests import runs
from tests.conftest import Configure
from tests.training.interruption import inject

LONG = ("seed=1", "trainer.max_epochs=4", "trainer.validate_every=3")
"""Long enough for validation to get worse again after its best."""


@pytest.mark.parametrize(
    ("fields", "batches", "steps"),
    [
        ({}, 9, 9),
        ({"max_epochs": 3}, 9, 27),
        ({"max_epochs": 3, "max_steps": 20}, 9, 20),
        ({"max_epochs": 3, "max_steps": 50}, 9, 27),
        ({"max_epochs": 3, "accumulate": 2}, 9, 27),
    ],
)
def test_steps_are_counted_ahead(fields: dict[str, int], batches: int, steps: int) -> None:
    config = TrainerConfig.model_validate({"batch_size": 1, "eval_batch_size": 1, "max_epochs": 1, **fields})
    assert count_steps(config, batches) == steps


@pytest.mark.parametrize(
    ("overrides", "steps", "validated"),
    [
        ([], 18, [4, 8, 12, 16, 18]),
        (["trainer.validate_every=null"], 18, [9, 18]),
        (["trainer.max_steps=5"], 5, [4, 5]),
        (["trainer.max_steps=5", "trainer.validate_every=null"], 5, [5]),
        (["trainer.max_steps=11", "trainer.validate_every=100"], 11, [11]),
        (["trainer.max_steps=9", "trainer.validate_every=null"], 9, [9]),
        (["trainer.accumulate=2"], 10, [4, 8, 10]),
        (["trainer.accumulate=2", "trainer.validate_every=1"], 10, list(range(1, 11))),
        (["trainer.accumulate=16", "trainer.validate_every=null"], 2, [1, 2]),
        (["trainer.accumulate=2", "trainer.max_steps=7", "trainer.validate_every=100"], 7, [7]),
    ],
)
def test_training_ends_after_its_last_step_with_a_validation(
    configure: Configure, overrides: list[str], steps: int, validated: list[int]
) -> None:
    outcome = runs.results(configure(*overrides))
    assert outcome["steps"] == steps
    assert [int(row["step"]) for row in outcome["history"] if row["validation/accuracy"]] == validated


def accuracies(history: list[dict[str, str]]) -> list[float]:
    return [float(row["validation/accuracy"]) for row in history if row["validation/accuracy"]]


def test_the_model_left_is_the_best_and_not_the_last(configure: Configure) -> None:
    config = configure(*LONG)
    outcome = runs.results(config)
    seen = accuracies(outcome["history"])
    best = outcome["metrics"]["validation"]["accuracy"]
    assert best == max(seen) > seen[-1]
    tuned = lnbench.load(run_dir(config))
    assert accuracy(tuned, config, "validation") == pytest.approx(best)
    assert accuracy(tuned, config, "test") == pytest.approx(outcome["metrics"]["test"]["accuracy"])


def accuracy(tuned: Tuned, config: RunConfig, role: str) -> float:
    """Share of right answers, computed from the texts alone."""
    data = load_data(config.task, tuned.tokenizer, config.data_root, config.cache_dir)
    texts, labels = (data.frames[role][column].tolist() for column in ("sentence", "label"))
    names = ["negative", "positive"]
    answers = [names.index(answer["label"]) for answer in tuned.predict(texts, batch_size=5)]
    return float(np.mean(np.equal(answers, labels)))


@pytest.mark.parametrize("patience", [1, 2])
def test_training_stops_early_when_validation_does_not_improve(configure: Configure, patience: int) -> None:
    outcome = runs.results(configure(*LONG, f"trainer.patience={patience}"))
    seen = accuracies(outcome["history"])
    assert outcome["steps"] < 36
    assert len(seen) == seen.index(max(seen)) + 1 + patience
    assert outcome["metrics"]["validation"]["accuracy"] == max(seen)


def test_two_batches_of_four_are_one_batch_of_eight(
    configure: Configure, sources: dict[str, Path], tmp_path: Path
) -> None:
    source = without_dropout(sources["bert"], tmp_path / "model")
    common = [f"model.source={source}", "+model.dropout=0", "trainer.validate_every=null", "trainer.lr=0.001"]
    one = configure(*common, "trainer.batch_size=8")
    two = configure(*common, "trainer.batch_size=4", "trainer.accumulate=2")
    first, second = runs.results(one), runs.results(two)
    assert first["steps"] == second["steps"] == 18
    for name in first["adapter"]:
        one_values, two_values = (np.frombuffer(outcome["adapter"][name][1], np.float32) for outcome in (first, second))
        np.testing.assert_allclose(one_values, two_values, rtol=0, atol=1e-6)


def without_dropout(source: Path, folder: Path) -> Path:
    """A copy of a model that drops nothing out."""
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    rates = {name: 0.0 for name, value in config.items() if "drop" in name and isinstance(value, float)}
    (folder / "config.json").write_text(json.dumps(config | rates))
    return folder


class Norms(pl.Callback):
    """Notes the L2 norm of the gradient with which each step was made."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        self.seen.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())


def test_gradients_are_clipped_by_their_common_norm(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = {}
    for clip in ("null", "0.01"):
        with monkeypatch.context() as patch:
            inject(patch, watch := Norms())
            run(configure(f"trainer.grad_clip={clip}", "trainer.validate_every=null"))
            norms[clip] = watch.seen
    assert min(norms["null"]) > 0.01
    assert norms["0.01"] == pytest.approx([0.01] * len(norms["0.01"]), rel=1e-3)
    assert len(norms["0.01"]) == 18


def test_the_bar_shows_the_latest_values(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    show = Progress.get_metrics

    def watched(*arguments: Any) -> dict[str, str]:
        shown.append(show(*arguments))
        return shown[-1]

    monkeypatch.setattr(Progress, "get_metrics", watched)
    loud, quiet = configure("trainer.progress=true"), configure()
    run(loud)
    assert run_dir(loud) == run_dir(quiet)
    assert set(shown[-1]) == {"loss", "accuracy"}


def test_a_run_leaves_slurm_alone(configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning 2.6 would warn where `srun` is installed, and in a job it would answer the signal before preemption."""
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "sweep", "SLURM_NTASKS": "1"}.items():
        monkeypatch.setenv(name, value)
    trainer = new_trainer(configure(), [], tmp_path, 1, None)
    assert isinstance(trainer._accelerator_connector.cluster_environment, LightningEnvironment)
