"""What a task family is: columns to examples, a head, a loss, predictions, and their score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lnbench.backbone.config import BackboneKind
from lnbench.core.registry import Registry
from lnbench.core.schema import Free, Place, Schema
from lnbench.tasks.data.content import content_of, name_of, pinned
from lnbench.tasks.data.source import Source, Splits

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from lnbench.backbone.tuned_model import TunedModel
    from lnbench.tasks.tokens.examples import Examples


INPUT = "input"
"""The key of a prediction under which its input is, by column, apart from all that the task has to say of it."""


class Task(Schema):
    """One data set, seen as one kind of problem.

    A new task is a YAML file in `conf/task/`; a new kind of problem is a subclass in a file of
    this folder. Import torch inside the methods, not at the top of the file.
    """

    kind: ClassVar[str]
    """The name by which configurations and the identities of runs know the class."""
    baseline: ClassVar[str] = "input-free baseline"
    """What people call the answer that `trivial` gives."""
    backbone: ClassVar[BackboneKind] = "headless"
    """Which form of the pretrained model the task tunes: hidden states, or a language model's logits."""

    lengths: ClassVar[tuple[str, ...]] = ("max_length",)
    """The settings, by dotted name, that say how long a row may be."""

    name: str = ""
    """Of the data set; empty: the name of the file at `path`."""
    source: Source | None = None
    splits: Splits
    path: Free[Place | None] = None
    """A file of one's own to read in place of `source`; what it holds counts for the run's identity, not where."""
    validation_path: Free[Place | None] = None
    """Its validation split; None: cut off `path`."""
    test_path: Free[Place | None] = None
    """Its test split; None: cut off `path`."""
    encoding: str = "utf-8"
    """Of these files."""
    content: dict[str, str] = Field(default_factory=dict)
    """What is read, by role, which `resolved` finds out: digest of a file, or commit of a data set on the hub."""
    metric: str
    """Name of the validation metric by which the best checkpoint is selected."""
    mode: Literal["max", "min"]
    """Whether a larger or a smaller `metric` is better."""

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
        """The files of one's own, by role."""
        paths = {"train": self.path, "validation": self.validation_path, "test": self.test_path}
        return {role: path for role, path in paths.items() if path is not None}

    @property
    def example(self) -> tuple[str, ...]:
        """The texts of an input such as `unlabelled` takes, to show what is typed for an answer."""
        return ("some text",)

    @property
    def longest_row(self) -> int | None:
        """The most tokens that a row may have; None: as many as the backbone takes."""
        return None

    def resolved(self, data_root: Path | None) -> Self:
        """This task with all that its settings leave to the data: its content, and perhaps labels.

        A resolved task, such as a finished run's, is returned as it is, and reads nothing.

        Raises:
            DataError: the data cannot be read.
        """
        if self.content:
            return self
        content = content_of(self, data_root)
        name = self.name if self.path is None else self.name or name_of(self.path)
        return self.model_copy(update={"content": content, "name": name, "source": pinned(self.source, content)})

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

    def remarks(self, frame: pd.DataFrame) -> list[str]:
        """What a person should know of a split as it was read, which `clean` has accepted."""
        return []

    def classes(self) -> list[str]:
        """The classes that the model has to tell apart, as `balance` counts them; empty where there are no classes."""
        return []

    def arrange(self, frame: pd.DataFrame, role: str) -> pd.DataFrame:
        """The rows of a cleaned split as they are encoded in one role: as they are, or several of them as one.

        Args:
            frame: the cleaned split.
            role: `train`, `validation` or `test`.
        """
        return frame

    def group_keys(self, frame: pd.DataFrame) -> list[str]:
        """For each row the text by which repeated rows are recognised, so that none straddles two splits."""
        raise NotImplementedError

    def text_keys(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """Where an input has several texts: each by its column, in the form in which texts count as the same."""
        return {}

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
        from lnbench.backbone.tuned_model import inputs_of

        return {"logits": model(**inputs_of(batch))}

    def predictions(
        self, outputs: Sequence[Mapping[str, NDArray[Any]]], frame: pd.DataFrame, examples: Examples
    ) -> list[dict[str, Any]]:
        """One JSON-able prediction a row of `frame`, with its input under `INPUT` and its reference, if it has one.

        Args:
            outputs: of each row of `examples`, the entries of what `outputs` returned.
            frame: the cleaned split.
            examples: what `encode` made of it.
        """
        raise NotImplementedError

    def score(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """The metrics by name, from predictions with references, as `predictions` returns them."""
        raise NotImplementedError

    def missing(self) -> dict[str, str]:
        """Metrics that `score` leaves out on this machine, and what each of them needs."""
        return {}

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> list[dict[str, Any]]:
        """Predictions of the best answer that ignores the input, learned from `train`; none if there is no such."""
        return []

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """One line for a person, from one prediction."""
        raise NotImplementedError

    def warnings(self, frame: pd.DataFrame, examples: Examples) -> list[str]:
        """What a person should know of a split before the run: by default, how much `encode` cut off."""
        cut = examples.extras.get("cut", np.zeros(0))
        if not cut.any():
            return []
        rows, tokens = np.count_nonzero(cut), cut[cut > 0]
        return [
            f"{rows:,} of {len(examples):,} rows are cut off after task.{self.lengths[0]} = {self.longest_row} tokens; "
            f"they lose {tokens.mean():.0f} tokens on average, {tokens.max():,} at most"
        ]

    def balance(self, frame: pd.DataFrame, examples: Examples) -> dict[str, int]:
        """How often each kind of answer occurs in a split, by its name; empty where there are no kinds."""
        return {}

    def label_texts(self, labels: NDArray[Any]) -> list[str]:
        """The labels of one row of examples, as its batch has them, in words: one, or one a token."""
        return [str(labels.tolist())]


TASKS = Registry(Task, "lnbench.tasks", renamed={"classification": "sequence_classification"})
"""The families of tasks that a configuration may name."""
