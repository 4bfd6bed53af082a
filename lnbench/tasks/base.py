"""What a task family is: columns to examples, a head, a loss, predictions, and their score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lnbench.backbone.config import BackboneKind
from lnbench.schema import Schema
from lnbench.tasks.source import Source, Splits

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from lnbench.model import TunedModel
    from lnbench.tasks.examples import Examples


class Task(Schema):
    """One data set, seen as one kind of problem.

    A new task is a YAML file in `conf/task/`; a new kind of problem is a subclass in a file of
    this folder. Import torch inside the methods, not at the top of the file.
    """

    backbone: ClassVar[BackboneKind] = "headless"
    """Which form of the pretrained model the task tunes: hidden states, or a language model's logits."""

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
        """A frame without references, for `encode` and `predictions`; a tab splits a pair that comes as one text.

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

    def outputs(self, model: TunedModel, batch: Mapping[str, Tensor], test: bool) -> dict[str, Tensor]:
        """What scoring needs of the model's answer to a batch.

        Args:
            model: in evaluation mode.
            batch: B rows.
            test: whether this is the final test; a costly answer may be left to it.

        Returns:
            Tensors of B entries each.
        """
        from lnbench.model import inputs_of

        return {"logits": model(**inputs_of(batch))}

    def predictions(
        self, outputs: Sequence[Mapping[str, NDArray[Any]]], frame: pd.DataFrame, examples: Examples
    ) -> list[dict[str, Any]]:
        """One JSON-able prediction for each row of `frame`, beside its input and, if it has one, its reference.

        Args:
            outputs: of each row of `examples`, the entries of what `outputs` returned.
            frame: the cleaned split.
            examples: what `encode` made of it.
        """
        raise NotImplementedError

    def score(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """The metrics by name, from predictions with references, as `predictions` returns them."""
        raise NotImplementedError

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> list[dict[str, Any]]:
        """Predictions of the best answer that ignores the input, learned from `train`; none if there is no such."""
        return []

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """One line for a person, from one prediction."""
        raise NotImplementedError
