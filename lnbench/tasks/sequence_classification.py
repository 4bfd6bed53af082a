"""Classification of a text or a pair of texts into one of a few labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import field_validator

from lnbench.core.errors import DataError
from lnbench.tasks.parts.checks import each, require
from lnbench.tasks.parts.labels import by_number, is_label, is_number, label_name, label_names, rewritten
from lnbench.tasks.parts.sentences import SentenceTask
from lnbench.tasks.scores import resamples

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from lnbench.tasks.tokens.examples import Examples


SHOWN = 100
"""Largest number of labels with a probability in a prediction. All labels of all rows would be too many."""


class SequenceClassification(SentenceTask):
    """One label per row, by cross entropy without class weights.

    Metrics: `accuracy`; `macro_f1`, the F1 of each label, averaged; `mcc`, Matthews' correlation coefficient.
    """

    kind: ClassVar[str] = "sequence_classification"
    baseline: ClassVar[str] = "majority baseline"

    metric: Literal["accuracy", "macro_f1", "mcc"] = "accuracy"
    mode: Literal["max"] = "max"
    labels: list[str]
    """Names that the label column may hold, compared by `lnbench.tasks.parts.labels.label_name`. If none of them is a
    number, the column may also hold their places in this list, counted from 0. An empty list is filled from the
    training split, in alphabetical or numerical order."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str]) -> list[str]:
        if len(labels) == 1:
            raise ValueError("must name two labels or more; [] takes them from the data")
        if len(set(map(label_name, labels))) < len(labels):
            raise ValueError("must not name a label twice")
        return labels

    def resolved(self, data_root: Path | None) -> Self:
        """This task with the labels of the training split, if none are given."""
        task = super().resolved(data_root)
        if task.labels:
            return task
        from lnbench.tasks.data.read import read_roles

        train = read_roles(task, data_root, ["train"])["train"]
        return task.model_copy(update={"labels": task._labels_in(train.frame, train.where)})

    def _labels_in(self, frame: pd.DataFrame, where: str) -> list[str]:
        values = self._rows(frame, where)[self.label]
        require(values, each(values, is_label), where, "a label: a text, a number, true or false")
        names = label_names(values)
        labels = sorted(set(names), key=Decimal if all(map(is_number, names)) else None)
        if len(labels) < 2:
            raise DataError(f"{where}: column {self.label!r} holds nothing but {labels[0]!r}; there must be two labels")
        if len(labels) > max(2, len(names) // 2):
            raise DataError(
                f"{where}: column {self.label!r} has {len(labels)} different values in {len(names)} rows, too many for "
                f"labels; name another column in task.label, or for numbers choose task=csv_regression"
            )
        return labels

    def _answers(self, values: pd.Series, where: str) -> pd.Series:
        """Places in `labels`, int64."""
        places = {label_name(name): place for place, name in enumerate(self.labels)}
        allowed = f"one of {', '.join(self.labels)}"
        if not any(map(is_number, places)):
            places |= {str(place): place for place in range(len(self.labels))}
            allowed += f", or a number from {by_number(self.labels)}"
        found = label_names(values).map(places)
        require(values, found.notna(), where, allowed)
        if found.nunique() < 2:
            raise DataError(f"{where}: column {self.label!r} has fewer than two of the labels {', '.join(self.labels)}")
        return found.astype("int64")

    def remarks(self, frame: pd.DataFrame) -> list[str]:
        """The remarks on texts, and how many labels are not written in their normal form."""
        return [*super().remarks(frame), *rewritten(self._labelled(frame)[self.label], self.label)]

    def classes(self) -> list[str]:
        """The labels."""
        return self.labels

    def _targets(self, answers: pd.Series) -> NDArray[Any]:
        return answers.to_numpy("int64")

    def _reference(self, answer: int) -> str:
        return self.labels[answer]

    def head(self, hidden_size: int, pooling: str, dropout: float) -> nn.Module:
        """A new linear layer on the sentence vector."""
        from lnbench.tasks.parts.heads import SentenceHead

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
        """The texts, the label, and the probability of every label, or of the `SHOWN` likeliest ones."""
        rows = [
            {
                **row_input,
                "label": self.labels[int(row["logits"].argmax())],
                "probabilities": self._shares(row["logits"]),
            }
            for row_input, row in zip(self._inputs(frame), outputs, strict=True)
        ]
        return self._with_references(rows, frame)

    def _shares(self, logits: NDArray[Any]) -> dict[str, float]:
        """The probabilities of one row by label, in the labels' order."""
        odds = np.exp(logits.astype(np.float64) - logits.max())
        shares = odds / odds.sum()
        places: Sequence[int] = range(len(self.labels))
        if len(self.labels) > SHOWN:
            places = np.sort(np.argsort(-shares, kind="stable")[:SHOWN]).tolist()
        return {self.labels[place]: float(shares[place]) for place in places}

    def score(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Accuracy, macro F1 and Matthews' correlation coefficient."""
        from sklearn.metrics import accuracy_score, f1_score

        place = {name: number for number, name in enumerate(self.labels)}
        said, true = (np.array([place[row[key]] for row in predictions]) for key in ("label", "reference"))
        return {
            "accuracy": float(accuracy_score(true, said)),
            "macro_f1": float(f1_score(true, said, average="macro", zero_division=0)),
            "mcc": _correlation(true, said, len(self.labels)),
        }

    def numbers(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The places of the labels, counted from 0, as `answer` and `reference`."""
        place = {name: number for number, name in enumerate(self.labels)}
        return {
            name: [place[row[key]] for row in predictions]
            for name, key in (("answer", "label"), ("reference", "reference"))
        }

    def score_numbers(self, numbers: Mapping[str, Sequence[Any]]) -> dict[str, float]:
        """All metrics."""
        pairs = zip(numbers["answer"], numbers["reference"], strict=True)
        return self.score([{"label": self.labels[said], "reference": self.labels[true]} for said, true in pairs])

    def row_scores(self, numbers: Mapping[str, Sequence[Any]], metric: str) -> NDArray[np.float64] | None:
        """Whether each answer is right, for the accuracy."""
        if metric != "accuracy":
            return None
        said, true = (np.array(numbers[name], np.int64) for name in ("answer", "reference"))
        return np.equal(said, true).astype(np.float64)

    def resampled(
        self, numbers: Mapping[str, Sequence[Any]], metric: str, counts: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """Macro F1 and Matthews' correlation coefficient."""
        said, true = (np.array(numbers[name], np.int64) for name in ("answer", "reference"))
        known = {"macro_f1": resamples.macro_f1, "mcc": resamples.mcc}.get(metric)
        return known(said, true, len(self.labels), counts) if known else None

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> list[dict[str, Any]]:
        """The majority baseline, which always predicts the most frequent label of `train`."""
        label = self.labels[train[self.label].mode()[0]]
        row = {name: {"label": label, "reference": name} for name in self.labels}  # one object for all rows of a label
        return [row[self.labels[answer]] for answer in split[self.label].tolist()]

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """The label, the probabilities from the highest down, and the text."""
        ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
        shares = ", ".join(f"{label} {value:.3f}" for label, value in ranked)
        return f"{prediction['label']}  ({shares})  {self._shown(prediction)}"

    def label_texts(self, labels: NDArray[Any]) -> list[str]:
        """The label's name."""
        return [self.labels[int(labels)]]

    def balance(self, frame: pd.DataFrame, examples: Examples) -> dict[str, int]:
        """Number of rows with each label."""
        counts = frame[self.label].value_counts()
        return {name: int(counts.get(place, 0)) for place, name in enumerate(self.labels)}


def _correlation(true: NDArray[Any], said: NDArray[Any], labels: int) -> float:
    """Matthews' correlation coefficient of N labels, and 0 by convention if either side is constant.

    The formula of Gorodkin (2004), computed from counts by label, with no table of labels by labels.
    """
    trues, saids = (np.bincount(places, minlength=labels).astype(np.float64) for places in (true, said))
    rows, right = float(len(true)), float((true == said).sum())
    spread = (rows**2 - saids @ saids) * (rows**2 - trues @ trues)
    return float((right * rows - trues @ saids) / np.sqrt(spread)) if spread else 0.0
