"""Generation of a text from a source, such as a summary of a dialogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from lnbench.backbone.config import BackboneKind
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.core.words import number_of
from lnbench.tasks.base import INPUT, Task
from lnbench.tasks.data.split import normalise
from lnbench.tasks.parts.beam_search import BeamSearch
from lnbench.tasks.parts.checks import SKIP_EMPTY, each, is_empty, is_filled, is_text, require, require_columns
from lnbench.tasks.scores.metric import METRICS
from lnbench.tasks.scores.references import linear, reference_lists
from lnbench.tasks.scores.resamples import ratio
from lnbench.tasks.scores.texts import Metric, missing, score

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from lnbench.backbone.tuned_model import TunedModel
    from lnbench.tasks.tokens.examples import Examples

SOURCE, TARGET, REFERENCES, GENERATED = "source", "target", "references", "generated"
PLACE = "{source}"
Length = Annotated[int, Field(ge=1)]


class ConditionalGeneration(Task):
    """A language model of p(target | prompt). Only the tokens of the target, end token included, count in the loss.

    A decoder reads the prompt and continues it. An encoder-decoder reads the prompt in its encoder, and its decoder
    writes the target.

    A source may have several references. In training, each of them is a target, and so it is in validation by the loss.
    Elsewhere, one text is generated per source and scored against all its references.

    Metrics: `loss`, the mean negative log-likelihood of a target token in nats (in the test, that of the first
    reference), and those of `metrics`. Validation computes the latter only if `metric` is one of them.
    """

    kind: ClassVar[str] = "generation"
    backbone: ClassVar[BackboneKind] = "causal_lm"
    lengths: ClassVar[tuple[str, ...]] = ("max_source_length", "max_target_length", "search.max_new_tokens")

    metric: Literal["loss"] | Metric = "loss"
    mode: Literal["max", "min"] = "min"
    metrics: tuple[Metric, ...]
    """Metrics of generated texts, with the scales and scorers of `lnbench.tasks.scores.texts`."""
    lowercase: bool = False
    """Ignore case in scores."""
    input: str
    """Column of the source, which is a text, a list of facts, or a list of triples of texts."""
    target: str
    """Column of the text to generate."""
    references: str | None = None
    """Column with a list of texts, which replaces `target` in the rows where it is not empty."""
    reference_columns: tuple[str, ...] = ()
    """Columns with one reference each, in addition to `target` or in place of it. A split has all of them or none. An
    empty value is no reference."""
    skip_empty: bool = False
    """Leave out rows with an empty source instead of refusing the data."""
    template: str
    """Template of the prompt. `{source}` stands for the source. The target follows after a space, or is a text of its
    own for an encoder-decoder."""
    max_source_length: Length
    """Most tokens of a prompt, template included. A source that is too long loses its end."""
    max_target_length: Length
    """Most tokens of a target, end token included. The rest is cut off."""
    search: BeamSearch
    """Settings of the beam search that generates texts."""

    @field_validator("template")
    @classmethod
    def _has_place(cls, template: str) -> str:
        if template.count(PLACE) != 1:
            raise ValueError(f"must contain {PLACE} once")
        return template

    @model_validator(mode="after")
    def _metric_fits(self) -> ConditionalGeneration:
        if self.metric != "loss" and self.metric not in self.metrics:
            raise ValueError(f"metric = {self.metric!r} must be 'loss' or one of metrics = {', '.join(self.metrics)}")
        mode = METRICS[self.metric].mode
        if self.mode != mode:
            raise ValueError(f"mode = {self.mode!r} must be {mode!r} with metric = {self.metric!r}")
        return self

    @property
    def longest_row(self) -> int:
        """Most tokens of a prompt with its target or generated text."""
        return self.max_source_length + max(self.max_target_length, self.search.max_new_tokens)

    @property
    def longest_text(self) -> int:
        """Largest number of tokens of a prompt, target or generated text, the decoder's start token included."""
        return max(self.max_source_length, 1 + self.max_target_length, 1 + self.search.max_new_tokens)

    def columns(self) -> list[str]:
        """The columns of source and target, and the column `references` if it is set."""
        return [self.input, self.target] if self.references is None else [self.input, self.target, self.references]

    def _columns_in(self, frame: pd.DataFrame) -> list[str]:
        """The columns that a split must have: `columns()`, or all `reference_columns` in place of the target."""
        extra = [column for column in self.reference_columns if column in frame]
        if not extra:
            return self.columns()
        needed = [column for column in self.columns() if column != self.target or column in frame]
        return [*needed, *self.reference_columns]

    def clean(self, frame: pd.DataFrame, where: str) -> pd.DataFrame:
        """Columns `source` and `target`, one row per reference."""
        import pandas as pd

        if why := missing([self.metric] if self.metric != "loss" else []):
            raise ConfigError(f"task.metric = {self.metric!r}: {why[self.metric]}")
        columns = self._columns_in(frame)
        require_columns(frame, columns, where)
        if self.skip_empty:
            frame = frame[each(frame[self.input].map(linear), is_filled)]
        sources = frame[self.input].map(linear)
        kind = "a text that is not empty, or a list of facts"
        require(frame[self.input], each(sources, is_filled), where, f"{kind}{SKIP_EMPTY}")
        require(frame[self.input], each(sources, is_text), where, kind)
        others = [column for column in self.reference_columns if column in columns]
        targets = reference_lists(frame, self.target, self.references, others)
        fine = each(targets, lambda texts: bool(texts) and all(map(is_text, texts)))
        require(targets, fine, where, "a text that is not empty")
        return pd.DataFrame({SOURCE: sources, TARGET: targets}).explode(TARGET)

    def remarks(self, frame: pd.DataFrame) -> list[str]:
        """How many rows are left out because they have no source, and which unread columns seem to be references."""
        empty = int(each(frame[self.input].map(linear), is_empty).sum())
        notes = [f"left out: {number_of(empty, 'row')} without a source, as task.skip_empty says"] * bool(empty)
        read = {*self.columns(), *self.reference_columns}
        alike = re.compile(re.escape(self.target) + r"[ _.-]?[0-9]+")
        if unread := [name for name in map(str, frame.columns) if name not in read and alike.fullmatch(name)]:
            notes.append(
                f"columns {', '.join(unread)} are not read; if they are references too, name them in "
                f"task.reference_columns=[{','.join(unread)}]"
            )
        return notes

    def arrange(self, frame: pd.DataFrame, role: str) -> pd.DataFrame:
        """Where texts are generated, one row per source, with a list of its references. The first is its target."""
        if role == "train" or (role == "validation" and self.metric == "loss"):
            return frame
        groups = frame.groupby(SOURCE, sort=False)[TARGET].agg(list).reset_index(name=REFERENCES)
        return groups.assign(**{TARGET: groups[REFERENCES].str[0]})

    def group_keys(self, frame: pd.DataFrame) -> list[str]:
        """The source in normalised form."""
        normalised = {source: normalise(source) for source in frame[SOURCE].unique()}
        return [normalised[source] for source in frame[SOURCE]]

    def encode(self, frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Examples:
        """Tokenises prompts, and targets if there are any; see `tokenise_prompts`."""
        from lnbench.tasks.tokens.prompts import tokenise_prompts

        before, after = self.template.split(PLACE)
        return tokenise_prompts(
            tokenizer,
            (before, after),
            frame[SOURCE].tolist(),
            frame[TARGET].tolist() if TARGET in frame else None,
            max_source_length=self.max_source_length,
            max_target_length=self.max_target_length,
        )

    def unlabelled(self, texts: Sequence[str | Sequence[str]]) -> pd.DataFrame:
        """One row per source."""
        import pandas as pd

        for number, text in enumerate(texts, 1):
            if not is_text(text):
                raise DataError(f"text {number} = {text!r}: must be a text that is not empty")
        return pd.DataFrame({SOURCE: list(texts)})

    def head(self, hidden_size: int, pooling: str, dropout: float) -> nn.Module:
        """The language model's own head, without new parameters."""
        from lnbench.tasks.parts.decoding import NextTokenLogits

        return NextTokenLogits()

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross entropy, averaged over the target tokens of the batch.

        Args:
            logits: (B, L, V), at each token the logits of the next one.
            batch: with `labels`, (B, L) int64.
        """
        from lnbench.tasks.parts.decoding import token_losses

        losses, counts = token_losses(logits, batch["labels"])
        return losses.sum() / counts.sum()

    def outputs(self, model: TunedModel, batch: Mapping[str, Tensor], test: bool) -> dict[str, Tensor]:
        """The summed loss and the number of target tokens, (B,), and, if needed, the generated ids, (B, T)."""
        from lnbench.backbone.tuned_model import inputs_of
        from lnbench.tasks.parts.decoding import generate, row_losses

        losses = row_losses(model(**inputs_of(batch)), batch["labels"])
        if not test and self.metric == "loss":
            return losses
        return {**losses, GENERATED: generate(model.backbone, batch, self.search)}

    def predictions(
        self, outputs: Sequence[Mapping[str, NDArray[Any]]], frame: pd.DataFrame, examples: Examples
    ) -> list[dict[str, Any]]:
        """The source, the generated text, its references, and the loss of the target with its number of tokens."""
        rows: list[dict[str, Any]] = [{INPUT: {SOURCE: source}} for source in frame[SOURCE]]
        for row, output in zip(rows, outputs, strict=True):
            if GENERATED in output:
                row[GENERATED] = examples.text(output[GENERATED].astype(np.int64))
        if TARGET not in frame:
            return rows
        references = frame[REFERENCES] if REFERENCES in frame else ([target] for target in frame[TARGET])
        return [
            {**row, REFERENCES: texts, "nll": float(output["nll"]), "tokens": int(output["tokens"])}
            for row, texts, output in zip(rows, references, outputs, strict=True)
        ]

    def score(self, predictions: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """The loss, and the metrics of generated texts that this machine can compute."""
        rows = list(predictions)
        loss = self.score_numbers(self.numbers(rows))
        if GENERATED not in rows[0]:
            return loss
        texts, references = ([row[key] for row in rows] for key in (GENERATED, REFERENCES))
        return {**loss, **score(self.metrics, texts, references, self.lowercase)}

    def numbers(self, predictions: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The loss of each target, summed over its tokens (`nll`), and their number. Generated texts repeat sources."""
        return {name: [row[name] for row in predictions] for name in ("nll", "tokens")}

    def score_numbers(self, numbers: Mapping[str, Sequence[Any]]) -> dict[str, float]:
        """The loss alone."""
        return {"loss": sum(numbers["nll"]) / sum(numbers["tokens"])}

    def resampled(
        self, numbers: Mapping[str, Sequence[Any]], metric: str, counts: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """The loss alone."""
        if metric != "loss":
            return None
        nll, tokens = (np.array(numbers[name], np.float64) for name in ("nll", "tokens"))
        return ratio(nll, tokens, counts)

    def missing(self) -> dict[str, str]:
        """Metrics that this machine cannot compute."""
        return missing(self.metrics)

    def warnings(self, frame: pd.DataFrame, examples: Examples) -> list[str]:
        """How many sources and targets are cut off."""
        from lnbench.tasks.tokens.prompts import CUT_SOURCE, CUT_TARGET

        settings = {CUT_SOURCE: "max_source_length", CUT_TARGET: "max_target_length"}
        counts = {setting: np.count_nonzero(examples.extras[name]) for name, setting in settings.items()}
        return [
            f"task.{setting} = {getattr(self, setting)} cuts off {count:,} of {number_of(len(examples), 'row')}"
            for setting, count in counts.items()
            if count
        ]

    def label_texts(self, labels: NDArray[Any]) -> list[str]:
        """The word `target` at each token that the model learns to generate."""
        from lnbench.tasks.tokens.examples import IGNORED

        return ["" if label == IGNORED else TARGET for label in labels]

    def readable(self, prediction: Mapping[str, Any]) -> str:
        """The generated text in one line."""
        return " ".join(prediction[GENERATED].split())
