"""Base class of task families: columns, examples, a head, a loss, predictions and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lnbench.backbone.config import BackboneKind
from lnbench.core.registry import Registry
from lnbench.core.schema import Free, Place, Schema
from lnbench.core.words import number_of
from lnbench.tasks.data.content import content_of_files, content_of_splits, name_of, pinned
from lnbench.tasks.data.source import Source, Splits

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from lnbench.backbone.tuned_model import TunedModel
    from lnbench.tasks.tokens.examples import Examples


INPUT = "input"
"""Key of a prediction that holds its input, by column. The other keys hold the answer and the reference."""


class Task(Schema):
    """One data set, seen as one kind of problem.

    A new task is a YAML file in `conf/task/`; a new kind of problem is a subclass in a file of
    this folder. Import torch inside the methods, not at the top of the file.
    """

    kind: ClassVar[str]
    """Name of the class in configurations and in the identities of runs."""
    baseline: ClassVar[str] = "input-free baseline"
    """Name of the baseline that `trivial` predicts."""
    backbone: ClassVar[BackboneKind] = "headless"
    """Form of the pretrained model that the task tunes, which returns hidden states or a language model's logits."""

    lengths: ClassVar[tuple[str, ...]] = ("max_length",)
    """Dotted names of the settings that limit the length of a row."""

    name: str = ""
    """Name of the data set. If it is empty, the name comes from the file at `path`."""
    source: Source | None = None
    splits: Splits
    path: Free[Place | None] = None
    """A file of your own, read in place of `source`. The run's identity has its content, not its path."""
    validation_path: Free[Place | None] = None
    """File of your own with the validation split. None cuts the split off `path`."""
    test_path: Free[Place | None] = None
    """File of your own with the test split. None cuts the split off `path`."""
    encoding: str = "utf-8"
    """Encoding of the files of your own."""
    content: dict[str, str] = Field(default_factory=dict)
    """Digests of the data's files, or commits on the hub, by role. `resolved` finds them."""
    metric: str
    """Name of the validation metric by which the best checkpoint is selected."""
    mode: Literal["max", "min"]
    """Whether a larger or a smaller value of `metric` is better."""

    @model_validator(mode="after")
    def _has_data(self) -> Self:
        if self.path is None and (self.source is None or not self.name):
            raise ValueError("needs the path of a file, or a name and a source; type task.path=FILE")
        for name, path in (("validation_path", self.validation_path), ("test_path", self.test_path)):
            if self.path is None and path is not None:
                raise ValueError(f"{name} = {str(path)!r} is a split of a file of your own; type task.path=FILE too")
        given = self.splits.given() if self.path is None else self.files
        if self.splits.group_by and not self.splits.cuts(given):
            raise ValueError(
                f"task.splits.group_by = {', '.join(self.splits.group_by)}: nothing is cut from train, as "
                f"validation and test are given; leave it out"
            )
        return self

    @property
    def files(self) -> dict[str, Path]:
        """The user's own files, by role."""
        paths = {"train": self.path, "validation": self.validation_path, "test": self.test_path}
        return {role: path for role, path in paths.items() if path is not None}

    @property
    def example(self) -> tuple[str, ...]:
        """An example of the texts of an input for `unlabelled`, to show what to type."""
        return ("some text",)

    @property
    def longest_row(self) -> int | None:
        """Largest number of tokens of a row; None: as many as the backbone takes."""
        return None

    @property
    def longest_text(self) -> int | None:
        """Largest number of tokens of a text, for a model that reads the texts of a row separately."""
        return self.longest_row

    def resolved(self, data_root: Path | None) -> Self:
        """This task, completed by the settings that come from its data: its content, and in some families the labels.

        A resolved task, such as a finished run's, is returned as it is, and reads nothing.

        Raises:
            DataError: the data cannot be read.
        """
        if self.content:
            return self
        content = self.found_content(data_root)
        name = self.name if self.path is None else self.name or name_of(self.path)
        return self.model_copy(update={"content": content, "name": name, "source": pinned(self.source, content)})

    def found_content(self, data_root: Path | None) -> dict[str, str]:
        """The content of the task's splits on this machine, as `content` holds it. Empty if the data is not found.

        Raises:
            DataError: a file of the user's own cannot be read.
        """
        if self.path is not None:
            return content_of_files(self.files)
        return content_of_splits(self.source, self.splits.given(), data_root) if self.source else {}

    def columns(self) -> list[str]:
        """The columns that the data must have."""
        raise NotImplementedError

    def clean(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """Checks one split's values, and keeps only the rows and columns that the task uses.

        Args:
            frame: the split as read; row `i` is its data row `i + 1`.
            where: the split's name, for the error message.

        Raises:
            DataError: with the column and the first row that cannot be used.
        """
        raise NotImplementedError

    def remarks(self, frame: pd.DataFrame) -> list[str]:
        """Remarks for the user on a split as it was read, after `clean` has accepted it."""
        return []

    def classes(self) -> list[str]:
        """The classes that the model has to tell apart, named as in `balance`. Empty if there are no classes."""
        return []

    def arrange(self, frame: pd.DataFrame, role: str) -> pd.DataFrame:
        """The rows of a cleaned split as `encode` takes them for one role. A family may join several rows into one.

        Args:
            frame: the cleaned split.
            role: `train`, `validation` or `test`.
        """
        return frame

    def group_keys(self, frame: pd.DataFrame) -> list[str]:
        """For each row, the text by which repeated rows are recognised. Rows with equal keys go into the same split."""
        raise NotImplementedError

    def text_keys(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """By column, the normalised texts to compare between splits in addition to `group_keys`; may be empty."""
        return {}

    def encode(self, frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Examples:
        """Tokenises one cleaned split."""
        raise NotImplementedError

    def unlabelled(self, texts: Sequence[str | Sequence[str]]) -> pd.DataFrame:
        """A frame without references, for `encode` and `predictions`. A pair may be one text with a tab in it.

        Raises:
            DataError: a text is empty, or is not a pair where the task needs pairs.
        """
        raise NotImplementedError

    def head(self, hidden_size: int, pooling: str, dropout: float) -> nn.Module:
        """A new module that turns the backbone's output and the attention mask into logits."""
        raise NotImplementedError

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of a batch, a scalar."""
        raise NotImplementedError

    def outputs(self, model: TunedModel, batch: Mapping[str, Tensor], test: bool) -> dict[str, Tensor]:
        """The tensors that scoring needs from the model's answer to a batch.

        Args:
            model: in evaluation mode.
            batch: B rows.
            test: whether this is the final test; a costly answer may be left to it.

        Returns:
            Tensors of B entries each.
        """
        from lnbench.backbone.tuned_model import inputs_of

        return {"logits": model(**inputs_of(batch))}

    def predictions(
        self, outputs: Sequence[Mapping[str, NDArray[Any]]], frame: pd.DataFrame, examples: Examples
    ) -> list[dict[str, Any]]:
        """One JSON-able prediction per row of `frame`, with its input under `INPUT`, and its reference if it has one.

        Args:
            outputs: for each row of `examples`, its entries of the tensors that `outputs` returned.
            frame: the cleaned split.
            examples: the split after `encode`.
        """
        raise NotImplementedError

    def score(self, predictions: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """The metrics by name, from predictions with references, as `predictions` or `trivial` returns them."""
        raise NotImplementedError

    def numbers(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The answers and the references of test predictions as numbers, one entry a row, without any text of the data.

        Empty if the family has no such numbers. They are enough for statistical tests by rows.
        """
        return {}

    def score_numbers(self, numbers: Mapping[str, Sequence[Any]]) -> dict[str, float]:
        """The metrics that `numbers` determine, by name; `score` gives the same values."""
        return {}

    def row_scores(self, numbers: Mapping[str, Sequence[Any]], metric: str) -> NDArray[np.float64] | None:
        """The score of each row, (N,), if the metric is the mean of such scores; None if it is not.

        Args:
            numbers: as `numbers` returns them, for N rows.
            metric: name of a metric.
        """
        return None

    def resampled(
        self, numbers: Mapping[str, Sequence[Any]], metric: str, counts: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """A metric, without `row_scores`, of test sets that are made of the same rows; None if it is not known.

        Args:
            numbers: as `numbers` returns them, for N rows.
            metric: name of a metric.
            counts: how often each row occurs in each of R test sets, (R, N), at least one row in each.

        Returns:
            The scores, (R,). `score_numbers` gives the same for one test set.
        """
        return None

    def missing(self) -> dict[str, str]:
        """Metrics that `score` leaves out on this machine, each with what it needs."""
        return {}

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> Iterable[Mapping[str, Any]] | None:
        """What `score` needs of the input-free baseline's predictions. The baseline is learned from `train`.

        None if there is no such baseline.
        """
        return None

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """One prediction as one line for a person."""
        raise NotImplementedError

    def warnings(self, frame: pd.DataFrame, examples: Examples) -> list[str]:
        """Warnings for the user about a split, before the run. By default, they say how much `encode` cut off."""
        cut = examples.extras.get("cut", np.zeros(0))
        if not cut.any():
            return []
        rows = np.count_nonzero(cut)
        return [
            f"task.{self.lengths[0]} = {self.longest_row} cuts off {rows:,} of {number_of(len(examples), 'row')}: "
            f"{number_of(round(cut.sum() / rows), 'token')} on average, {cut.max():,} at most"
        ]

    def balance(self, frame: pd.DataFrame, examples: Examples) -> dict[str, int]:
        """Number of answers of each kind in a split, by name. Empty if there are no kinds."""
        return {}

    def label_texts(self, labels: NDArray[Any]) -> list[str]:
        """The labels of one row of examples in words, one label for the row or one per token."""
        return [str(labels.tolist())]


TASKS = Registry(Task, "lnbench.tasks", renamed={"classification": "sequence_classification"})
"""The families of tasks that a configuration may name."""
