"""Classification of a text or a pair of texts into one of a few labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import field_validator

from lnbench.core.errors import DataError
from lnbench.tasks.data.large import converted, pieces
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
        names = {name for part in pieces(values) for name in label_names(part)}
        labels = sorted(names, key=Decimal if all(map(is_number, names)) else None)
        if len(labels) < 2:
            raise DataError(f"{where}: column {self.label!r} holds nothing but {labels[0]!r}; there must be two labels")
        if len(labels) > max(2, len(values) // 2):
            raise DataError(
                f"{where}: column {self.label!r} has {len(labels)} different values in {len(values)} rows, too many "
                f"for labels; name another column in task.label, or for numbers choose task=csv_regression"
            )
        return labels

    def _answers(self, values: pd.Series, where: str) -> pd.Series:
        """Places in `labels`, int64."""
        places = {label_name(name): place for place, name in enumerate(self.labels)}
        allowed = f"one of {', '.join(self.labels)}"
        if not any(map(is_number, places)):
            places |= {str(place): place for place in range(len(self.labels))}
            allowed += f", or a number from {by_number(self.labels)}"
        found = converted(values, lambda some: [places.get(name, -1) for name in label_names(some)], np.int64)
        require(values, converted(found, lambda some: some >= 0, np.bool_), where, allowed)
        if found.min() == found.max():
            raise DataError(f"{where}: column {self.label!r} has fewer than two of the labels {', '.join(self.labels)}")
        return found

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

    def score(self, predictions: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """Accuracy, macro F1 and Matthews' correlation coefficient."""
        from sklearn.metrics import accuracy_score, f1_score

        place = {name: number for number, name in enumerate(self.labels)}
        pairs = Counter((row["reference"], row["label"]) for row in predictions)
        true, said = np.array([[place[name] for name in pair] for pair in pairs]).T
        rows = np.array([*pairs.values()], np.float64)
        return {
            "accuracy": float(accuracy_score(true, said, sample_weight=rows)),
            "macro_f1": float(f1_score(true, said, average="macro", zero_division=0, sample_weight=rows)),
            "mcc": _correlation(true, said, rows, len(self.labels)),
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

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """The majority baseline, which always predicts the most frequent label of `train`."""
        label = self.labels[self._counts(train).argmax()]
        return ({"label": label, "reference": self.labels[answer]} for answer in split[self.label])

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
        return dict(zip(self.labels, self._counts(frame).tolist(), strict=True))

    def _counts(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """(C,) number of rows with each label."""
        counts = np.zeros(len(self.labels), np.int64)
        for part in pieces(frame[self.label]):
            counts += np.bincount(part, minlength=len(counts))
        return counts


def _correlation(true: NDArray[Any], said: NDArray[Any], counts: NDArray[np.float64], labels: int) -> float:
    """Matthews' correlation coefficient, and 0 by convention if either side is constant.

    The formula of Gorodkin (2004), computed from counts by label, with no table of labels by labels.

    Args:
        true: (N,) places of labels.
        said: (N,) the places predicted for them.
        counts: (N,) how often each pair of places occurs.
        labels: number of labels.
    """
    trues, saids = (np.bincount(places, counts, labels) for places in (true, said))
    rows, right = float(counts.sum()), float(counts[true == said].sum())
    spread = (rows**2 - saids @ saids) * (rows**2 - trues @ trues)
    return float((right * rows - trues @ saids) / np.sqrt(spread)) if spread else 0.0
