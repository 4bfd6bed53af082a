"""Named entities: a tag for each word of a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import eq
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from lnbench.core.errors import DataError
from lnbench.core.words import number_of
from lnbench.tasks.base import INPUT, Task
from lnbench.tasks.data.split import normalise
from lnbench.tasks.parts.checks import each, replace, require
from lnbench.tasks.parts.labels import rewritten
from lnbench.tasks.scores.resamples import entities, ratio
from lnbench.tasks.tokens import iob2
from lnbench.tasks.tokens.tagged_rows import as_list, named_tags, tagged_rows

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from lnbench.backbone.tuned_model import TunedModel
    from lnbench.tasks.tokens.examples import Examples

_WORD = re.compile(r"[^ \t\r\n]+")


class TokenClassification(Task):
    """One tag per word, trained by cross entropy at the first token of each word, and scored by whole entities.

    Tags are read in IOB1, IOB2, BILOU or BIOES, and become IOB2. A word without a token of its own, because it is cut
    off or made of characters that the tokenizer drops, gets the prediction O.

    Metrics, as conlleval and seqeval's default mode count: `f1`, `precision` and `recall` of entities, which are right
    if place, extent and type are right; `accuracy`, the share of words with the right tag.
    """

    kind: ClassVar[str] = "token_classification"

    metric: Literal["f1", "precision", "recall", "accuracy"] = "f1"
    mode: Literal["max"] = "max"
    tokens: str
    """Column of the words, one list per row."""
    tags: str
    """Column of the tags, one list per row, with names or with places in `labels` counted from 0."""
    labels: list[str]
    """All tags in IOB2. If empty, it is filled from the training split with O, then B- and I- of each type by
    alphabet."""
    max_length: Annotated[int, Field(ge=8)] = 128
    """Most tokens of a row, special tokens included; the rest is cut off."""

    @field_validator("labels")
    @classmethod
    def _are_iob2(cls, labels: list[str]) -> list[str]:
        if labels and (iob2.OUTSIDE not in labels or len(labels) < 2 or len(set(labels)) < len(labels)):
            raise ValueError("must be O and other tags, each once; [] takes them from the data")
        for label in labels:
            if not iob2.is_tag(label) or label[0] not in "OBI":
                raise ValueError(f"must be tags in IOB2 (O, B-TYPE, I-TYPE), not {label!r}")
        return labels

    @property
    def longest_row(self) -> int:
        """`max_length`."""
        return self.max_length

    def resolved(self, data_root: Path | None) -> Self:
        """This task with the tags of the training split, if none are given."""
        task = super().resolved(data_root)
        if task.labels:
            return task
        from lnbench.tasks.data.read import read_roles

        train = read_roles(task, data_root, ["train"])["train"]
        rows = tagged_rows(train.frame, self.tokens, self.tags, train.where)
        tags = named_tags(rows[self.tags], [], train.where)
        labels = iob2.tag_set(tag for row in tags for tag in row)
        if len(labels) < 2:
            raise DataError(f"{train.where}: column {self.tags!r} has no tag but O")
        return task.model_copy(update={"labels": labels})

    def columns(self) -> list[str]:
        """The columns of the words and of the tags."""
        return [self.tokens, self.tags]

    def clean(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """Words, and tags as places in `labels`, with one list of each per row. Rows without words are left out."""
        rows = tagged_rows(frame, self.tokens, self.tags, where)
        place = {label: number for number, label in enumerate(self.labels)}
        tags = named_tags(rows[self.tags], self.labels, where)
        require(tags, each(tags, lambda row: set(row) <= place.keys()), where, f"made of {', '.join(self.labels)}")
        return replace(rows, {self.tags: tags.map(lambda row: [place[tag] for tag in row])})

    def remarks(self, frame: pd.DataFrame) -> list[str]:
        """How many tags are not written in their normal form."""
        return rewritten((tag for row in frame[self.tags] for tag in as_list(row)), self.tags)

    def classes(self) -> list[str]:
        """The types of entities."""
        return [label[2:] for label in self.labels if label.startswith("B-")]

    def group_keys(self, frame: pd.DataFrame) -> list[str]:
        """The sentence in normalised form."""
        return [normalise(" ".join(words)) for words in frame[self.tokens]]

    def encode(self, frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Examples:
        """Tokenises one cleaned split. A frame without tags gets the first tag everywhere."""
        from lnbench.tasks.tokens.encode import tokenise_words

        words = frame[self.tokens].tolist()
        tags = frame[self.tags].tolist() if self.tags in frame else [[0] * len(row) for row in words]
        return tokenise_words(tokenizer, words, tags, max_length=self.max_length)

    def unlabelled(self, texts: Sequence[str | Sequence[str]]) -> pd.DataFrame:
        """One row per sentence, which is a list of words, or a text to be split at spaces, tabs and line breaks."""
        import pandas as pd

        rows = [_WORD.findall(text) if isinstance(text, str) else list(text) for text in texts]
        for number, row in enumerate(rows, 1):
            if not row:
                raise DataError(f"text {number} = {texts[number - 1]!r}: must have at least one word")
        return pd.DataFrame({self.tokens: rows})

    def head(self, hidden_size: int, pooling: str, dropout: float) -> nn.Module:
        """A new linear layer on the vector of every token."""
        from lnbench.tasks.parts.heads import TokenHead

        return TokenHead(hidden_size, len(self.labels), dropout)

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross entropy, averaged over the words of the batch; 0 if it has none.

        Args:
            logits: (B, L, C).
            batch: with `labels`, (B, L) int64.
        """
        from torch.nn import functional

        from lnbench.tasks.tokens.examples import IGNORED

        labels = batch["labels"]
        total = functional.cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="sum")
        return total / (labels != IGNORED).sum().clamp(min=1)

    def outputs(self, model: TunedModel, batch: Mapping[str, Tensor], test: bool) -> dict[str, Tensor]:
        """The likeliest tag at every token, `tags` (B, L)."""
        return {"tags": super().outputs(model, batch, test)["logits"].argmax(dim=-1)}

    def predictions(
        self, outputs: Sequence[Mapping[str, NDArray[Any]]], frame: pd.DataFrame, examples: Examples
    ) -> list[dict[str, Any]]:
        """The words and their tags."""
        places = np.split(examples.extras["words"], examples.offsets[1:-1])
        sentences = frame[self.tokens].tolist()
        rows = [
            {INPUT: {"tokens": words}, "tags": self._of_words(output["tags"], place, len(words))}
            for words, output, place in zip(sentences, outputs, places, strict=True)
        ]
        return self._with_references(rows, frame)

    def _of_words(self, tags: NDArray[Any], places: NDArray[Any], count: int) -> list[str]:
        """The tag of each word, from each token's tag and the place of the word that begins with it (-1 for none)."""
        found = [iob2.OUTSIDE] * count
        for token in np.flatnonzero(places >= 0):
            found[places[token]] = self.labels[int(tags[token])]
        return found

    def score(self, predictions: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """F1, precision and recall of entities over all rows together, and the accuracy of tags."""
        from seqeval.metrics.sequence_labeling import accuracy_score, precision_recall_fscore_support

        said, true = map(list, zip(*((row["tags"], row["reference"]) for row in predictions), strict=True))
        precision, recall, f1, _ = precision_recall_fscore_support(true, said, average="micro", zero_division=0)
        return {
            "f1": float(f1),
            "precision": float(precision),
            "recall": float(recall),
            "accuracy": float(accuracy_score(true, said)),
        }

    def numbers(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The places of each row's tags in `labels`, counted from 0, as `answer` and `reference`."""
        place = {name: number for number, name in enumerate(self.labels)}
        return {
            name: [[place[tag] for tag in row[key]] for row in predictions]
            for name, key in (("answer", "tags"), ("reference", "reference"))
        }

    def score_numbers(self, numbers: Mapping[str, Sequence[Any]]) -> dict[str, float]:
        """All metrics."""
        said, true = ([[self.labels[tag] for tag in row] for row in numbers[key]] for key in ("answer", "reference"))
        return self.score([{"tags": one, "reference": other} for one, other in zip(said, true, strict=True)])

    def resampled(
        self, numbers: Mapping[str, Sequence[Any]], metric: str, counts: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """All metrics."""
        pairs = list(zip(numbers["answer"], numbers["reference"], strict=True))
        if metric == "accuracy":
            right = np.array([sum(map(eq, *pair)) for pair in pairs], np.float64)
            return ratio(right, np.array([len(true) for _, true in pairs], np.float64), counts)
        same, said, true = entities(numbers["answer"], numbers["reference"], self.labels)
        parts = {"f1": (2 * same, said + true), "precision": (same, said), "recall": (same, true)}
        return ratio(*parts[metric], counts) if metric in parts else None

    def trivial(self, train: pd.DataFrame, split: pd.DataFrame) -> list[dict[str, Any]]:
        """O for every word."""
        return self._with_references([{"tags": [iob2.OUTSIDE] * len(words)} for words in split[self.tokens]], split)

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """The sentence, with its entities as [TYPE word word]."""
        return " ".join(_marked(prediction[INPUT]["tokens"], prediction["tags"]))

    def warnings(self, frame: pd.DataFrame, examples: Examples) -> list[str]:
        """How much was cut off, and how many words count as O because they have no token."""
        lost = sum(map(len, frame[self.tokens])) - int(np.count_nonzero(examples.extras["words"] >= 0))
        note = f"predicted to be O: {number_of(lost, 'word')} without a token, because cut off or unknown"
        return super().warnings(frame, examples) + [note] * bool(lost)

    def balance(self, frame: pd.DataFrame, examples: Examples) -> dict[str, int]:
        """Number of entities of each type."""
        starts = Counter(self.labels[place] for row in frame[self.tags] for place in row)
        return {label[2:]: starts[label] for label in self.labels if label.startswith("B-")}

    def label_texts(self, labels: NDArray[Any]) -> list[str]:
        """The tag at the first token of each word, an empty text elsewhere."""
        return [self.labels[place] if place >= 0 else "" for place in labels.tolist()]

    def _with_references(self, rows: list[dict[str, Any]], frame: pd.DataFrame) -> list[dict[str, Any]]:
        if self.tags not in frame:
            return rows
        references = ([self.labels[place] for place in places] for places in frame[self.tags])
        return [{**row, "reference": reference} for row, reference in zip(rows, references, strict=True)]


def _marked(words: Sequence[str], tags: Sequence[str]) -> Iterator[str]:
    for place, (word, tag) in enumerate(zip(words, iob2.from_any(tags), strict=True)):
        follows = place + 1 < len(tags) and tags[place + 1] == f"I-{tag[2:]}"
        opened = f"[{tag[2:]} {word}" if tag.startswith("B-") else word
        yield opened if tag == iob2.OUTSIDE or follows else f"{opened}]"
