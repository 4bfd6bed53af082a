"""The general text on which a run measures what its language model retains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lnbench.core.config_folders import config_dir
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError, Free, Place, Schema, did_you_mean
from lnbench.tasks.base import TASKS, Task
from lnbench.tasks.data.content import HUB, SUFFIXES, content_of_file, content_of_splits, pinned

if TYPE_CHECKING:
    import pandas as pd

CHARACTERS = 32
"""Characters that are read for each token that is asked for. A text in any language has fewer in a token."""
APART = "\n\n"
"""What stands between two rows of a column when they are read as one text."""
WAYS = "type retention.path=FILE, or retention.data=NAME for the data set of a shipped task"
"""How to choose a text, for messages."""


class RetentionConfig(Schema):
    """A text whose loss is measured before and after tuning, and how much of it. By default there is none."""

    path: Free[Place | None] = None
    """A file of your own: plain text, or a table of which `column` is read. The run's identity has its content."""
    data: Free[str | None] = None
    """Name of a shipped task, whose data set is read in place of a file."""
    split: Free[Literal["train", "validation", "test"]] = "test"
    """The split of `data` that is read."""
    column: str | None = None
    """Column of a table, whose rows are read as one text. None reads `path` as plain text; of `data` it reads the first
    column of the task."""
    encoding: str = "utf-8"
    """Encoding of a file of your own."""
    tokens: Annotated[int, Field(ge=1)] = 16_384
    """Most tokens of the text that are read, from its start."""
    window: Annotated[int, Field(ge=2)] = 512
    """Tokens that the model reads at once, with those that its tokenizer puts before a text."""
    content: str = ""
    """Digest of the file, or commit on the hub. `resolved` finds it."""

    @model_validator(mode="after")
    def _has_one_text(self) -> Self:
        changed = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        if changed and not self.is_on:
            raise ValueError(f"{changed[0]} = {getattr(self, changed[0])!r}: there is no text; {WAYS}")
        if self.path is not None and self.data is not None:
            raise ValueError(f"path = {str(self.path)!r} and data = {self.data!r}: only one of them can be read")
        for name, owner in {"split": "data", "encoding": "path"}.items():
            if name in changed and getattr(self, owner) is None:
                raise ValueError(f"{name} = {getattr(self, name)!r}: belongs to retention.{owner}, which is not given")
        if self.path is not None and self.column is None and _is_table(self.path):
            raise ValueError(f"path = {str(self.path)!r}: is a table; type retention.column=COLUMN too")
        return self

    @property
    def is_on(self) -> bool:
        """Whether there is a text."""
        return self.path is not None or self.data is not None

    @property
    def setting(self) -> str:
        """Full name of the setting that names the text."""
        return "retention.path" if self.data is None else "retention.data"

    def resolved(self, data_root: Path | None) -> Self:
        """These settings, completed by the content of the text and its column. Complete ones are returned as they are.

        Raises:
            ConfigError: there is no such data set.
            DataError: the text cannot be found.
        """
        if self.content or not self.is_on:
            return self
        content = self.found_content(data_root)
        if not content:
            raise DataError(
                f"retention.data = {self.data!r}: its split {self.split!r} is neither on this machine nor reached on "
                f"the hub; put it into a folder and type data_root=FOLDER, or {WAYS}"
            )
        column = self.column if self.data is None else self.column or self._task.columns()[0]
        return self.model_copy(update={"content": content, "column": column})

    def found_content(self, data_root: Path | None) -> str:
        """The content of the text on this machine; empty if it is not found.

        Raises:
            ConfigError: there is no such data set, or it has no such split.
            DataError: a file of the user's own cannot be read.
        """
        if self.path is not None:
            return content_of_file("retention.path", self.path)
        task = self._task
        assert task.source is not None
        return content_of_splits(task.source, {self.split: self._split_of(task)}, data_root).get(self.split, "")

    def text(self, data_root: Path | None) -> str:
        """The start of the text, long enough for `tokens`.

        Raises:
            DataError: the text cannot be read, is empty, has no such column, or is no longer the configured one.
        """
        from lnbench.tasks.data.files import read_file, read_text

        if self._is_another(self.found_content(data_root)):
            raise DataError(f"retention: {self._where} is not the text any more with which this run was configured")
        if self.path is None:
            text = self._joined(self._split(data_root))
        elif self.column is None:
            text = read_text(self.path, self.encoding, "retention.encoding")
        else:
            text = self._joined(read_file(self.path, self.encoding, "retention.encoding"))
        if not text.strip():
            raise DataError(f"retention: {self._where} has no text")
        return text[: CHARACTERS * self.tokens]

    def _is_another(self, found: str) -> bool:
        """Whether a content is not that of the run. On the hub, the run's commit is read, whatever the newest is."""
        on_hub = self.content.startswith(HUB) and (found.startswith(HUB) or not found)
        return found != self.content and not on_hub

    def _split(self, data_root: Path | None) -> pd.DataFrame:
        from lnbench.tasks.data.read import read_splits, unfolded

        task, column = self._task, self.column or ""
        source, name = pinned(task.source, {self.split: self.content}), self._split_of(task)
        assert source is not None
        return unfolded(read_splits(source, [name], data_root)[name], [column])

    def _joined(self, frame: pd.DataFrame) -> str:
        """The rows of the column as one text. Empty rows are left out."""
        from lnbench.tasks.parts.checks import each, is_filled, is_text, require, require_columns

        assert self.column is not None
        require_columns(frame, [self.column], self._where)
        values = frame[self.column].map(_words)
        values = values[each(values, is_filled)]
        require(values, each(values, is_text), self._where, "a text, or a list of words")
        return APART.join(values)

    @property
    def _where(self) -> str:
        return str(self.path) if self.path is not None else f"{self.data}, split {self.split!r}"

    @property
    def _task(self) -> Task:
        known, name = _shipped(), str(self.data)
        if name not in known:
            raise ConfigError(
                f"retention.data = {name!r}: {did_you_mean(name, known)}must be the data set of one of "
                f"the shipped tasks: {', '.join(known)}"
            )
        return TASKS.parse(known[name], "task")

    def _split_of(self, task: Task) -> str:
        given = task.splits.given()
        if self.split not in given:
            raise ConfigError(
                f"retention.split = {self.split!r}: the data set {self.data!r} has no such split; it has: "
                f"{', '.join(given)}"
            )
        return given[self.split]


def _is_table(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def _words(value: Any) -> Any:
    """A row's text. Words are joined by spaces."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return value
    words = list(value)
    return " ".join(words) if all(isinstance(word, str) for word in words) else words


def _shipped() -> dict[str, dict[str, Any]]:
    """The settings of the shipped tasks that have a data set, by name."""
    from omegaconf import OmegaConf

    found: dict[str, dict[str, Any]] = {}
    for file in sorted((config_dir() / "task").glob("*.yaml")):
        plain = OmegaConf.to_container(OmegaConf.load(file))
        assert isinstance(plain, dict)
        if "source" in plain:
            found[file.stem] = {str(key): value for key, value in plain.items()}
    return found
