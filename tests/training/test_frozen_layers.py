"""What the layers below the lowest trained one yield is computed once a row, where that changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from lnbench.backbone.backbone import Backbone
from lnbench.config.run import RunConfig
from lnbench.records.files import RESUME
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.training.module import TuningModule
from tests import runs
from tests.conftest import Configure
from tests.training.interruption import inject, interrupt
from tests.training.test_fit import without_dropout
from tests.training.test_memory import HALVE, Memory, assert_close

ROWS, EPOCHS = 72, 3
LOOKS = 2
"""How often a row is looked at to see what is to be kept."""
UPPER = ("method.ln.layers=2-3", "trainer.lr=0.003", f"trainer.max_epochs={EPOCHS}", "trainer.validate_every=null")
"""Of three layers the lowest stays as it is."""
ONE_EPOCH = "trainer.max_epochs=1"
CALM = "trainer.frozen_dropout=false"
FORGETFUL = "trainer.cache_frozen_gib=0"
SUM = ("method=ln+prefix+mha_adapter", "method.prefix.layers=2-3", "method.mha_adapter.layers=3")


class Watch(pl.Callback):
    """Notes every loss, and counts the rows that the lowest layer computes, in training steps and outside.

    Evaluation does not count.
    """

    def __init__(self) -> None:
        self.in_steps = self.outside = 0
        self.losses: list[float] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TuningModule)
        layer = Backbone(pl_module.model.backbone).output_of("ffn", 0)
        layer.register_forward_hook(lambda _, __, output: self._count(output) if pl_module.training else None)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"].item())

    def _count(self, output: Tensor) -> None:
        if torch.is_grad_enabled():
            self.in_steps += len(output)
        else:
            self.outside += len(output)


Watched = Callable[[RunConfig], tuple[dict[str, Any], Watch]]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Does a run, and returns its results and what was seen of it."""

    def do(config: RunConfig) -> tuple[dict[str, Any], Watch]:
        with monkeypatch.context() as patch:
            inject(patch, watch := Watch())
            return runs.results(config), watch

    return do


@pytest.mark.parametrize(
    ("architecture", "more"),
    [
        ("bert", SUM),
        ("gpt2", SUM),
        ("bert", ("method=ln+fisher_ln", "method.fisher_ln.layers=3")),
        ("bert", ("trainer.gradient_checkpointing=true", "trainer.accumulate=2")),
    ],
)
def test_every_row_is_computed_once(
    configure: Configure,
    sources: dict[str, Path],
    watched: Watched,
    tmp_path: Path,
    architecture: str,
    more: tuple[str, ...],
) -> None:
    common = (f"model.source={sources[architecture]}", *more, *UPPER, CALM)
    kept, once = watched(configure(*common))
    anew, often = watched(configure(*common, FORGETFUL, f"runs_dir={tmp_path}/anew"))
    assert (once.in_steps, once.outside) == (0, ROWS + LOOKS)
    assert (often.in_steps, often.outside) == (ROWS * EPOCHS, 0)
    assert len(once.losses) == len(often.losses) == kept["steps"]
    np.testing.assert_allclose(once.losses, often.losses, rtol=1e-5)
    assert_close(kept, anew)


@pytest.fixture(scope="module")
def uninterrupted(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return runs.results(runs.configure(sources["bert"], data_root, tmp_path_factory.mktemp("whole"), *UPPER, CALM))


@pytest.mark.parametrize(("hook", "number"), [("on_train_start", 1), ("on_train_batch_end", 13)])
def test_an_interrupted_run_computes_the_same_again(
    configure: Configure, uninterrupted: Any, hook: str, number: int
) -> None:
    config = configure(*UPPER, CALM)
    interrupt(config, hook, number)
    assert (run_dir(config) / RESUME).is_file()
    assert runs.results(config) == uninterrupted


@pytest.mark.parametrize(
    ("more", "in_steps", "looks"),
    [
        ((), ROWS * EPOCHS, LOOKS),
        ((CALM, ONE_EPOCH, "trainer.accumulate=4"), ROWS, 0),
        ((CALM, "trainer.max_steps=9"), ROWS, 0),
        ((CALM, "method.ln.layers=all"), ROWS * EPOCHS, 0),
    ],
)
def test_nothing_is_kept_where_it_is_random_or_does_not_pay(
    configure: Configure, watched: Watched, more: tuple[str, ...], in_steps: int, looks: int
) -> None:
    _, watch = watched(configure(*UPPER, *more))
    assert (watch.in_steps, watch.outside) == (in_steps, looks)


def test_nothing_is_kept_that_takes_too_much_memory(
    configure: Configure, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    _, watch = watched(configure(*UPPER, CALM, "trainer.cache_frozen_gib=1e-6"))
    assert (watch.in_steps, watch.outside) == (ROWS * EPOCHS, LOOKS)
    (record,) = caplog.records
    assert "trainer.cache_frozen_gib = 1e-06: the output of the 1 frozen layers would take 0.00 GiB" in record.message


def test_a_model_without_dropout_needs_no_setting(
    configure: Configure, sources: dict[str, Path], watched: Watched, tmp_path: Path
) -> None:
    source = f"model.source={without_dropout(sources['bert'], tmp_path / 'model')}"
    outcome, watch = watched(configure(source, *UPPER))
    assert (watch.in_steps, watch.outside) == (0, ROWS + LOOKS)
    assert outcome == runs.results(configure(source, *UPPER, CALM, f"runs_dir={tmp_path}/calm"))


def test_dropout_stops_below_the_lowest_trained_layer_and_nowhere_else(configure: Configure) -> None:
    """With all layers trained nothing lies below, and the setting changes nothing."""
    for layers, same in (("2-3", False), ("all", True)):
        common = (*UPPER, f"method.ln.layers={layers}", "trainer.max_steps=2")
        upper, calm = (runs.results(configure(*common, *more)) for more in ([], [CALM]))
        assert (upper["adapter"] == calm["adapter"]) is same


def test_smaller_pieces_of_a_batch_take_their_share(
    configure: Configure, sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Memory runs out in the middle of training; a second try finds the model as it was."""
    source = without_dropout(sources["bert"], tmp_path / "model")
    common = (f"model.source={source}", "+model.dropout=0", *UPPER)
    whole = runs.results(configure(*common))
    memory = Memory(monkeypatch)
    memory.shrinks = 11, 3
    config = configure(*common, HALVE, f"runs_dir={tmp_path}/again")
    assert_close(runs.results(config), whole)
    assert run(config).cost.micro_batch_size == 2


def test_the_settings_leave_the_identity_of_earlier_runs_alone(configure: Configure) -> None:
    names = {"frozen_dropout", "cache_frozen_gib"}
    assert not names & set(configure().identity()["trainer"])
    assert configure(FORGETFUL).identity() == configure().identity()
    assert names & set(configure(CALM).identity()["trainer"]) == {"frozen_dropout"}
