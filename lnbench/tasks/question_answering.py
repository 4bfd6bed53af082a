"""Extractive question answering. The answer to a question is a run of words of its context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from lnbench.core.errors import DataError
from lnbench.tasks.base import INPUT, Task
from lnbench.tasks.data.split import normalise
from lnbench.tasks.parts.checks import is_text, require, require_columns, require_texts, two_texts
from lnbench.tasks.scores.answers import exact_match, f1, words_of
from lnbench.tasks.tokens.answer_spans import best_answers, find_answers, first_answer

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from lnbench.tasks.tokens.examples import Examples

ID, QUESTION, CONTEXT, ANSWERS = "id", "question", "context", "answers"
SHOWN = 3
"""Number of best answers that a prediction shows."""


class ExtractiveQA(Task):
    """Predicts the start and the end of the answer, each by cross entropy over the tokens.

    The data has the columns of SQuAD's hub copy: `id`, `question`, `context`, and `answers` as `{text: [...],
    answer_start: [...]}`. The model learns the first answer. A context that is too long is split into several windows.
    For windows without the answer, the model learns that there is none.

    Metrics, as SQuAD's official scorer has them, but in [0, 1]: `f1` of the answer's words against the best matching
    reference's, and `exact_match`.
    """

    kind: ClassVar[str] = "question_answering"

    metric: Literal["f1", "exact_match"] = "f1"
    mode: Literal["max"] = "max"
    max_length: Annotated[int, Field(ge=8)] = 384
    """Most tokens of a question with a window of its context, special tokens included."""
    stride: Annotated[int, Field(ge=0)] = 128
    """Tokens that two neighbouring windows share."""
    n_best: Annotated[int, Field(ge=1)] = 20
    """Number of candidates kept for each window, and then for each question. Their probabilities add up to 1."""
    max_answer_length: Annotated[int, Field(ge=1)] = 30
    """Most tokens of an answer."""
    null_threshold: float | None = None
    """None if every question has an answer. With a number, questions may have none. The model says so if the score of
    no answer exceeds the best answer's score by more than this number."""

    @model_validator(mode="after")
    def _windows_move_on(self) -> ExtractiveQA:
        if self.stride >= self.max_length:
            raise ValueError(f"stride = {self.stride}: must be less than max_length = {self.max_length}")
        return self

    @property
    def example(self) -> tuple[str, ...]:
        """A question and its context."""
        return ("What is this?", "This is some text.")

    @property
    def longest_row(self) -> int:
        """`max_length`."""
        return self.max_length

    def columns(self) -> list[str]:
        """`id`, `question`, `context` and `answers`."""
        return [ID, QUESTION, CONTEXT, ANSWERS]

    def clean(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """The four columns, with plain lists of answers. A wrong start moves to the nearest occurrence of the
        answer."""
        require_columns(frame, self.columns(), where)
        kept = frame[self.columns()]
        for column in (QUESTION, CONTEXT):
            require_texts(kept[column], where)
        answers: list[Any] = [find_answers(*row) for row in zip(kept[ANSWERS], kept[CONTEXT], strict=True)]
        allowed = "{text: [...], answer_start: [...]} with texts that occur in the context"
        if self.null_threshold is None:
            allowed += ", at least one"
        fine = [bool(some and (some["text"] or self.null_threshold is not None)) for some in answers]
        require(kept[ANSWERS], fine, where, allowed)
        return kept.assign(id=kept[ID].map(str), answers=answers)

    def group_keys(self, frame: pd.DataFrame) -> list[str]:
        """The context in normalised form, so that no two splits share one."""
        normalised = {context: normalise(context) for context in frame[CONTEXT].unique()}
        return [normalised[context] for context in frame[CONTEXT]]

    def text_keys(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """The questions. `group_keys` covers the contexts."""
        return {QUESTION: [normalise(question) for question in frame[QUESTION]]}

    def encode(self, frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Examples:
        """Tokenises one cleaned split, with one example per window."""
        from lnbench.tasks.tokens.windows import tokenise_windows

        answers = frame[ANSWERS] if ANSWERS in frame else [None] * len(frame)
        return tokenise_windows(
            tokenizer,
            frame[QUESTION].tolist(),
            frame[CONTEXT].tolist(),
            [first_answer(some) for some in answers],
            max_length=self.max_length,
            stride=self.stride,
        )

    def unlabelled(self, texts: Sequence[str | Sequence[str]]) -> pd.DataFrame:
        """One row per question with its context. Its id is its number."""
        import pandas as pd

        rows = [text.split("\t", 1) if isinstance(text, str) else list(text) for text in texts]
        for number, row in enumerate(rows, 1):
            if len(row) != 2 or not all(map(is_text, row)):
                needed = two_texts("a question and its context", self.example)
                raise DataError(f"text {number} = {texts[number - 1]!r}: must be {needed}")
        ids = [str(number) for number in range(1, len(rows) + 1)]
        return pd.DataFrame(rows, columns=[QUESTION, CONTEXT]).assign(id=ids)

    def head(self, hidden_size: int, pooling: str, dropout: float) -> nn.Module:
        """A new linear layer on every token, with one logit for the start and one for the end."""
        from lnbench.tasks.parts.heads import TokenHead

        return TokenHead(hidden_size, 2, dropout)

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean of the cross entropies of start and end, among the tokens that are not padding.

        Args:
            logits: (B, L, 2).
            batch: with `attention_mask`, (B, L), and `labels`, (B, 2) int64.
        """
        from torch.nn import functional

        padding = batch["attention_mask"].unsqueeze(-1) == 0
        return functional.cross_entropy(logits.float().masked_fill(padding, float("-inf")), batch["labels"])

    def predictions(
        self, outputs: Sequence[Mapping[str, NDArray[Any]]], frame: pd.DataFrame, examples: Examples
    ) -> list[dict[str, Any]]:
        """The best answer in all windows, and the three best answers with their probabilities among the `n_best`."""
        from lnbench.tasks.tokens.windows import NO_ANSWER, PLACES, ROW

        rows: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
        scores: list[dict[str, float]] = [{} for _ in rows]
        no_answer = np.full(len(rows), np.inf)
        for window, row in enumerate(examples.extras[ROW].tolist()):
            part = slice(*examples.offsets[window : window + 2])
            logits = outputs[window]["logits"][: part.stop - part.start].astype(np.float64)
            no_answer[row] = min(no_answer[row], logits[examples.extras[NO_ANSWER][window]].sum())
            places, context = examples.extras[PLACES][part], rows[row][CONTEXT]
            for text, score in best_answers(logits, places, context, self.max_answer_length, self.n_best):
                scores[row][text] = max(score, scores[row].get(text, score))
        return [self._prediction(*facts) for facts in zip(rows, scores, no_answer.tolist(), strict=True)]

    def _prediction(self, row: Mapping[str, Any], scores: dict[str, float], no_answer: float) -> dict[str, Any]:
        if self.null_threshold is not None:
            scores = {**scores, "": no_answer - self.null_threshold}
        ranked = sorted(scores.items(), key=lambda item: -item[1])[: self.n_best]
        odds = np.exp([score - ranked[0][1] for _, score in ranked])
        best = [
            {"answer": text, "probability": share}
            for (text, _), share in zip(ranked, (odds / odds.sum()).tolist(), strict=True)
        ]
        asked = {column: row[column] for column in (ID, QUESTION, CONTEXT)}
        references = {"references": row[ANSWERS]["text"]} if ANSWERS in row else {}
        return {INPUT: asked, "answer": ranked[0][0] if ranked else "", "n_best": best[:SHOWN], **references}

    def score(self, predictions: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """Exact match and F1 against the best matching reference, averaged over the questions."""
        return self.score_numbers(self._agreement(predictions))

    def numbers(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The first character and the length of each `answer` in its context, and each answer's metrics.

        No answer has the length 0.
        """
        places = [[row[INPUT][CONTEXT].find(row["answer"]), len(row["answer"])] for row in predictions]
        return {"answer": places, **self._agreement(predictions)}

    def score_numbers(self, numbers: Mapping[str, Sequence[Any]]) -> dict[str, float]:
        """All metrics."""
        return {name: float(np.mean(numbers[name])) for name in ("exact_match", "f1")}

    def row_scores(self, numbers: Mapping[str, Sequence[Any]], metric: str) -> NDArray[np.float64] | None:
        """Those of all metrics."""
        return np.array(numbers[metric], np.float64) if metric in ("exact_match", "f1") else None

    def _agreement(self, predictions: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The metrics of each answer."""
        pairs = [(row["answer"], self._counted(row["references"])) for row in predictions]
        return {"exact_match": [exact_match(*pair) for pair in pairs], "f1": [f1(*pair) for pair in pairs]}

    def _counted(self, references: Sequence[str]) -> Sequence[str]:
        """The references that count. SQuAD 2.0's scorer, unlike 1.1's, leaves out references without any word."""
        return references if self.null_threshold is None else [text for text in references if words_of(text)]

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> list[dict[str, Any]] | None:
        """No answer, for every question. None if every question has an answer."""
        if self.null_threshold is None:
            return None
        return [{"answer": "", "references": some["text"]} for some in split[ANSWERS]]

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """The answer, its probability, and the question."""
        share = prediction["n_best"][0]["probability"] if prediction["n_best"] else 1.0
        return f"{prediction['answer'] or '(no answer)'}  ({share:.3f})  {prediction[INPUT][QUESTION]}"

    def balance(self, frame: pd.DataFrame, examples: Examples) -> dict[str, int]:
        """How many windows contain the whole answer, and how many do not."""
        from lnbench.tasks.tokens.windows import NO_ANSWER

        without = int(np.count_nonzero(examples.labels[:, 0] == examples.extras[NO_ANSWER]))
        return {"windows with the answer": len(examples) - without, "windows without": without}

    def label_texts(self, labels: NDArray[Any]) -> list[str]:
        """The first and the last token of the answer."""
        return ["from token {} to token {}".format(*labels.tolist())]
