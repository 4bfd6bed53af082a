"""What a task family is: columns to examples, a head, a loss, and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lnbench.schema import Schema
from lnbench.tasks.source import Source, Splits

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn
    from torchmetrics import MetricCollection
    from transformers import PreTrainedTokenizerBase

    from lnbench.tasks.examples import Examples


class Task(Schema):
    """One data set, seen as one kind of problem.

    A new task is a YAML file in `conf/task/`; a new kind of problem is a subclass in a file of
    this folder. Import torch inside the methods, not at the top of the file.
    """

    name: str
    source: Source
    splits: Splits
    metric: str
    """Name of the validation metric by which the best checkpoint is selected."""
    mode: Literal["max", "min"]
    """Whether a larger or a smaller `metric` is better."""

    def columns(self) -> list[str]:
        """The columns that the data must have."""
        raise NotImplementedError

    def clean(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """Checks one split's values and reduces it to what the task uses.

        Args:
            frame: the split as read; row `i` is its data row `i + 1`.
            where: the split's name, for the error message.

        Raises:
            DataError: naming the column and the first row that cannot be used.
        """
        raise NotImplementedError

    def group_keys(self, frame: pd.DataFrame) -> list[str]:
        """For each row the text by which repeated rows are recognised, so that none straddles two splits."""
        raise NotImplementedError

    def encode(self, frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Examples:
        """Tokenises one cleaned split."""
        raise NotImplementedError

    def unlabelled(self, texts: Sequence[str | Sequence[str]]) -> pd.DataFrame:
        """A frame for `encode` from texts without labels; a tab splits a pair that comes as one text.

        Raises:
            DataError: a text is empty, or is not a pair where the task needs pairs.
        """
        raise NotImplementedError

    def head(self, hidden_size: int, pooling: str, dropout: float) -> nn.Module:
        """A new module from the backbone's output and the attention mask to logits."""
        raise NotImplementedError

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch, a scalar."""
        raise NotImplementedError

    def metrics(self) -> MetricCollection:
        """Fresh metrics, updated with what `metric_inputs` returns."""
        raise NotImplementedError

    def metric_inputs(self, logits: Tensor, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Predictions and targets, as `metrics` takes them."""
        raise NotImplementedError

    def baseline(self, train: Examples, split: Examples) -> dict[str, float]:
        """What the best answer that ignores the text, learned from `train`, scores on `split`, by metric."""
        raise NotImplementedError

    def answers(self, logits: Tensor) -> list[dict[str, Any]]:
        """One JSON-able prediction a row of `logits`, for people and files."""
        raise NotImplementedError
