"""What lnbench relies on in pytorch-lightning 2.6, and what breaks here if it changes."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loops.optimization.automatic import ClosureResult
from pytorch_lightning.plugins.precision import Precision
from torch import Tensor, nn


class Line(pl.LightningModule):
    """One weight, whose gradient is the mean of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.frozen = nn.Dropout()
        self.modes: list[bool] = []
        self.clipped: list[float | None] = []

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        self.modes.append(self.frozen.training)
        return (self.weight * batch).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        self.clipped.append(gradient_clip_val)


def fit(model: Line, batches: Iterable[Tensor], **options: Any) -> None:
    loader: Any = torch.utils.data.DataLoader(list(batches), batch_size=1)  # type: ignore[arg-type]
    pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    ).fit(model, loader)


def test_modules_in_evaluation_before_fit_stay_so() -> None:
    """Else dropout comes back in the frozen blocks that backbone/frozen.py stops, and their kept states are wrong."""
    model = Line()
    model.frozen.eval()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found 1 module")
        fit(model, torch.ones(2))
    assert model.training
    assert model.modes == [False, False]


def test_a_part_of_an_accumulation_window_is_divided_as_a_whole_one() -> None:
    """The last rows of an epoch then count less; so training/module.py accumulates in pieces of known size itself."""
    model = Line()
    fit(model, torch.ones(3), accumulate_grad_batches=2)
    assert model.weight.item() == -1.5


def test_clipping_is_left_to_the_module() -> None:
    """Else a fused AdamW with clipping is refused in bf16: training/module.py clips itself."""
    model = Line()
    fit(model, torch.ones(2), gradient_clip_val=0.5)
    assert model.clipped == [0.5, 0.5]
    assert model.weight.item() == -2


def in_training(self: Line) -> None:
    self.train()


def undivided(
    cls: Any, output: Any, normalize: int = 1, make: Callable[..., Any] = ClosureResult.from_training_step_output
) -> Any:
    return make(output)


def clips_itself(self: Precision, model: Line, optimizer: Any, clip_val: float | None = None, **_: Any) -> None:
    assert clip_val is not None
    nn.utils.clip_grad_norm_(model.parameters(), clip_val)


@pytest.mark.parametrize(
    ("contract", "owner", "name", "changed"),
    [
        (test_modules_in_evaluation_before_fit_stay_so, Line, "on_train_start", in_training),
        (
            test_a_part_of_an_accumulation_window_is_divided_as_a_whole_one,
            ClosureResult,
            "from_training_step_output",
            classmethod(undivided),
        ),
        (test_clipping_is_left_to_the_module, Precision, "_clip_gradients", clips_itself),
    ],
)
def test_contract_fails_if_the_library_changes(
    contract: Callable[[], None], owner: Any, name: str, changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, changed)
    with pytest.raises(AssertionError):
        contract()
