"""The common part of tasks on a text or a pair of texts: columns, checks and tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from lnbench.core.errors import DataError
from lnbench.core.words import number_of
from lnbench.tasks.base import INPUT, Task
from lnbench.tasks.data.large import chosen, grown, pieces
from lnbench.tasks.data.split import normalise
from lnbench.tasks.parts.checks import (
    SKIP_EMPTY,
    each,
    is_empty,
    is_filled,
    is_text,
    replace,
    require_columns,
    require_texts,
    two_texts,
)
from lnbench.tasks.parts.labels import label_name

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from lnbench.tasks.tokens.examples import Examples


class SentenceTask(Task):
    """One answer per text or pair of texts.

    A family checks its answers in `_answers`, converts them for the loss in `_targets`, and for predictions in
    `_reference`.
    """

    text: str
    """Column of the text."""
    pair: str | None = None
    """Column of the second text, for pairs."""
    label: str
    """Column of the answer."""
    max_length: Annotated[int, Field(ge=8)] = 128
    """Most tokens of a row, special tokens included; the rest is cut off."""
    skip: tuple[str, ...] = ()
    """Values in the label column that mark rows to leave out, such as -1 for rows without a label."""
    skip_empty: bool = False
    """Leave out rows with an empty text instead of refusing the data."""

    @model_validator(mode="after")
    def _distinct_columns(self) -> SentenceTask:
        if len(set(self.columns())) < len(self.columns()):
            raise ValueError(f"text, pair and label must be different columns, not {', '.join(self.columns())}")
        return self

    @property
    def texts(self) -> list[str]:
        """The text columns, one, or two for pairs."""
        return [self.text] if self.pair is None else [self.text, self.pair]

    @property
    def example(self) -> tuple[str, ...]:
        """A text, or two for pairs."""
        return ("some text",) if self.pair is None else ("some text", "another text")

    @property
    def longest_row(self) -> int:
        """`max_length`."""
        return self.max_length

    def columns(self) -> list[str]:
        """The text columns and the label column."""
        return [*self.texts, self.label]

    def clean(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """The text columns, and the label column as the family represents it."""
        kept = self._rows(frame, where)
        for column in self.texts:
            require_texts(kept[column], where, remedy=SKIP_EMPTY)
        return replace(kept, {self.label: self._answers(kept[self.label], where)})

    def remarks(self, frame: pd.DataFrame) -> list[str]:
        """How many rows are left out because they have no text."""
        if not self.skip_empty:
            return []
        kept = self._labelled(frame)
        parts = (np.any([each(part[column], is_empty) for column in self.texts], axis=0) for part in pieces(kept))
        without = sum(int(part.sum()) for part in parts)
        return [f"left out: {number_of(without, 'row')} without a text, as task.skip_empty says"] * bool(without)

    def _rows(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """The columns in use, without the rows to skip."""
        require_columns(frame, self.columns(), where)
        kept = self._labelled(frame)
        if self.skip_empty:
            for column in self.texts:
                kept = chosen(kept, each(kept[column], is_filled).to_numpy())
        if kept.empty:
            raise DataError(f"{where}: has no rows")
        return kept

    def _labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The columns in use, without the rows that `skip` leaves out."""
        kept = frame[self.columns()]
        if not self.skip:
            return kept
        skipped = {label_name(value) for value in self.skip}
        wanted = each(kept[self.label], lambda value: label_name(value) not in skipped).to_numpy()
        return kept if wanted.all() else chosen(kept, wanted)

    def _answers(self, values: pd.Series, where: str) -> pd.Series:
        """The label column's values, checked."""
        raise NotImplementedError

    def _targets(self, answers: pd.Series) -> NDArray[Any]:
        """(N,) targets of the loss, from the checked values of the label column."""
        raise NotImplementedError

    def _reference(self, answer: Any) -> Any:
        """The form of a checked value in predictions."""
        raise NotImplementedError

    def group_keys(self, frame: pd.DataFrame) -> list[str]:
        """The text, or both texts of the pair, in normalised form."""
        return ["\n".join(texts) for texts in zip(*self._normalised(frame).values(), strict=True)]

    def text_keys(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """Each text of a pair, by its column."""
        return {} if self.pair is None else self._normalised(frame)

    def _normalised(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        return {column: [normalise(text) for text in frame[column].array] for column in self.texts}

    def encode(self, frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Examples:
        """Tokenises one cleaned split. In a frame without labels, all labels are 0."""
        import pandas as pd

        from lnbench.tasks.tokens.encode import tokenise

        texts = [frame[column].array for column in self.texts]
        answers = frame[self.label] if self.label in frame else pd.Series(0, index=frame.index)
        labels = grown(map(self._targets, pieces(answers)))
        return tokenise(tokenizer, *texts, labels=labels, max_length=self.max_length)

    def unlabelled(self, texts: Sequence[str | Sequence[str]]) -> pd.DataFrame:
        """One row per text or pair."""
        import pandas as pd

        rows = [self._fields(text) for text in texts]
        for number, row in enumerate(rows, 1):
            if len(row) != len(self.texts) or not all(map(is_text, row)):
                needed = two_texts("two texts", self.example) if self.pair else "a text that is not empty"
                raise DataError(f"text {number} = {texts[number - 1]!r}: must be {needed}")
        return pd.DataFrame(rows, columns=self.texts)

    def _fields(self, text: str | Sequence[str]) -> list[str]:
        if isinstance(text, str):
            return [text] if self.pair is None else text.split("\t")
        return list(text)

    def _inputs(self, frame: pd.DataFrame) -> list[dict[str, Any]]:
        """The texts of each row by column, as the beginning of a prediction."""
        columns = (frame[column].tolist() for column in self.texts)
        return [{INPUT: dict(zip(self.texts, texts, strict=True))} for texts in zip(*columns, strict=True)]

    def _shown(self, prediction: Mapping[str, Any]) -> str:
        """The texts of a prediction in one line."""
        return " | ".join(prediction[INPUT][column] for column in self.texts)

    def _with_references(self, rows: list[dict[str, Any]], frame: pd.DataFrame) -> list[dict[str, Any]]:
        if self.label not in frame:
            return rows
        answers = frame[self.label].tolist()
        return [{**row, "reference": self._reference(answer)} for row, answer in zip(rows, answers, strict=True)]
