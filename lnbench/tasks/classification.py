"""Classification of a text or a pair of texts into one of a few labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from lnbench.tasks.base import Task
from lnbench.tasks.source import DataError
from lnbench.tasks.split import normalise

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from lnbench.tasks.examples import Examples


class SequenceClassification(Task):
    """One label a row, by cross entropy without class weights.

    Metrics: `accuracy`; `macro_f1`, the F1 of each label, averaged; `mcc`, Matthews' correlation
    coefficient.
    """

    metric: Literal["accuracy", "macro_f1", "mcc"] = "accuracy"
    mode: Literal["max"] = "max"
    text: str
    """Column of the text."""
    pair: str | None = None
    """Column of the second text, for pairs."""
    label: str
    """Column of the label: a name of `labels`, or its place there counted from 0."""
    labels: Annotated[list[str], Field(min_length=2)]
    max_length: Annotated[int, Field(ge=8)] = 128
    """Most tokens of a row, special tokens included; the rest is cut off."""
    skip: tuple[str, ...] = ()
    """Values in the label column that mark rows to leave out, such as -1 for rows without a label."""
    skip_empty: bool = False
    """Leave out rows with an empty text instead of refusing the data."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) < len(labels):
            raise ValueError("must not name a label twice")
        return labels

    @model_validator(mode="after")
    def _distinct_columns(self) -> SequenceClassification:
        if len(set(self.columns())) < len(self.columns()):
            raise ValueError(f"text, pair and label must be different columns, not {', '.join(self.columns())}")
        return self

    @property
    def texts(self) -> list[str]:
        """The text columns: one, or two for pairs."""
        return [self.text] if self.pair is None else [self.text, self.pair]

    def columns(self) -> list[str]:
        """The text columns and the label column."""
        return [*self.texts, self.label]

    def clean(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """The text columns, and the label column as int64 places in `labels`."""
        for column in self.columns():
            if column not in frame:
                raise DataError(f"{where}: has no column {column!r}; it has: {', '.join(map(str, frame.columns))}")
        kept = frame[self.columns()]
        kept = kept[~_written(kept[self.label]).isin(self.skip)]
        if self.skip_empty:
            kept = kept[np.logical_and.reduce([_are_texts(kept[column]) for column in self.texts])]
        for column in self.texts:
            _require(kept[column], _are_texts(kept[column]), where, "a text that is not empty")
        return kept.assign(**{self.label: self._places(kept[self.label], where)})

    def _places(self, values: pd.Series, where: str) -> pd.Series:
        places = {name: place for place, name in enumerate(self.labels)}
        if not any(name.isdecimal() for name in self.labels):
            places |= {str(place): place for place in range(len(self.labels))}
        found = _written(values).map(places)
        _require(
            values, found.notna().to_numpy(), where, f"one of {', '.join(self.labels)}, or a place in that list from 0"
        )
        if found.nunique() < 2:
            raise DataError(f"{where}: column {self.label!r} has fewer than two of the labels {', '.join(self.labels)}")
        return found.astype("int64")

    def group_keys(self, frame: pd.DataFrame) -> list[str]:
        """The text, or both texts of the pair, in normalised form."""
        columns = [[normalise(text) for text in frame[column].tolist()] for column in self.texts]
        return ["\n".join(texts) for texts in zip(*columns, strict=True)]

    def encode(self, frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Examples:
        """Tokenises one cleaned split; a frame without labels gets the first one everywhere."""
        from lnbench.tasks.tokens import tokenise

        texts = [frame[column].tolist() for column in self.texts]
        labels = frame[self.label].to_numpy("int64") if self.label in frame else np.zeros(len(frame), np.int64)
        return tokenise(tokenizer, *texts, labels=labels, max_length=self.max_length)

    def unlabelled(self, texts: Sequence[str | Sequence[str]]) -> pd.DataFrame:
        """One row a text or pair."""
        import pandas as pd

        rows = [self._fields(text) for text in texts]
        for number, row in enumerate(rows, 1):
            if len(row) != len(self.texts) or not all(text.strip() for text in row):
                needed = "a text" if self.pair is None else "two texts, split by a tab,"
                raise DataError(f"text {number} = {texts[number - 1]!r}: must be {needed} that is not empty")
        return pd.DataFrame(rows, columns=self.texts)

    def _fields(self, text: str | Sequence[str]) -> list[str]:
        if isinstance(text, str):
            return [text] if self.pair is None else text.split("\t")
        return list(text)

    def head(self, hidden_size: int, pooling: str, dropout: float) -> nn.Module:
        """A new linear layer on the sentence vector."""
        from lnbench.tasks.heads import SentenceHead

        return SentenceHead(hidden_size, len(self.labels), pooling, dropout)

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross entropy, averaged over the batch.

        Args:
            logits: (B, C).
            batch: with `labels`, (B,) int64.
        """
        from torch.nn import functional

        return functional.cross_entropy(logits.float(), batch["labels"])

    def predictions(
        self, outputs: Sequence[Mapping[str, NDArray[Any]]], frame: pd.DataFrame, examples: Examples
    ) -> list[dict[str, Any]]:
        """The texts, the label, and the probability of every label."""
        logits = np.stack([row["logits"] for row in outputs]).astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = (odds / odds.sum(axis=1, keepdims=True)).tolist()
        rows = [
            {**texts, "label": self.labels[place], "probabilities": dict(zip(self.labels, row, strict=True))}
            for texts, place, row in zip(
                frame[self.texts].to_dict("records"), logits.argmax(axis=1), probabilities, strict=True
            )
        ]
        return self._with_references(rows, frame)

    def score(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Accuracy, macro F1 and Matthews' correlation coefficient."""
        import torch
        from torchmetrics.functional import classification as metrics

        place = {name: number for number, name in enumerate(self.labels)}
        said, true = (torch.tensor([place[row[key]] for row in predictions]) for key in ("label", "reference"))
        count = len(self.labels)
        return {
            "accuracy": metrics.multiclass_accuracy(said, true, count, average="micro").item(),
            "macro_f1": metrics.multiclass_f1_score(said, true, count, average="macro").item(),
            "mcc": 0.0
            if _constant(said) or _constant(true)
            else metrics.multiclass_matthews_corrcoef(said, true, count).item(),
        }

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> list[dict[str, Any]]:
        """Always the most frequent label of `train`."""
        label = self.labels[train[self.label].mode()[0]]
        return self._with_references([{"label": label} for _ in range(len(split))], split)

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """The label, the probabilities from the highest down, and the text."""
        ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
        shares = ", ".join(f"{label} {value:.3f}" for label, value in ranked)
        return f"{prediction['label']}  ({shares})  {' | '.join(prediction[column] for column in self.texts)}"

    def _with_references(self, rows: list[dict[str, Any]], frame: pd.DataFrame) -> list[dict[str, Any]]:
        if self.label not in frame:
            return rows
        return [{**row, "reference": self.labels[place]} for row, place in zip(rows, frame[self.label], strict=True)]


def _constant(labels: Tensor) -> bool:
    """Whether all labels are equal: correlation is then 0 by convention, of which torchmetrics strays."""
    return bool((labels == labels[0]).all())


def _written(values: pd.Series) -> pd.Series:
    """Labels as text; 1.0 is what pandas makes of 1 beside a missing value."""
    return values.map(lambda value: str(int(value)) if isinstance(value, float) and value.is_integer() else str(value))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(values: pd.Series) -> NDArray[np.bool_]:
    return np.array([_is_text(value) for value in values.tolist()], dtype=bool)


def _require(values: pd.Series, fine: NDArray[np.bool_], where: str, allowed: str) -> None:
    """Raises an error that names the first row of `values`, counted from 1, that is not `fine`."""
    if not fine.all():
        place = int(fine.argmin())
        row, value = values.index[place] + 1, values.tolist()[place]
        raise DataError(f"{where}, row {row}: {values.name} = {value!r}; must be {allowed}")
