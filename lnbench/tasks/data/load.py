"""A task's data, from the source to tokenised splits."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lnbench.core.cache import one_at_a_time
from lnbench.core.errors import DataError
from lnbench.core.registry import kind_of
from lnbench.tasks.base import Task
from lnbench.tasks.data import notes, token_cache
from lnbench.tasks.data.content import FIELDS
from lnbench.tasks.data.large import Growing, at, grown, pieces, slices
from lnbench.tasks.data.read import ReadSplit, read_roles
from lnbench.tasks.data.source import ROLES
from lnbench.tasks.data.split import LEFT_OUT, SWAPPED, assign, cut, hashed, members, overlap, sample, swapped, together
from lnbench.tasks.parts.checks import each, is_filled, require, require_columns
from lnbench.tasks.parts.labels import label_names
from lnbench.tasks.tokens.encode import pad_id, tokenizer_identity
from lnbench.tasks.tokens.examples import Examples

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

CACHE_FORMAT = 2
"""Version of the cached tokens. It rises when tokenisation changes, so that no older cache file is used."""
PIECE = 1_000
"""Number of values that become JSON text at a time."""


@dataclass(frozen=True, eq=False)
class TaskData:
    """The three tokenised splits of a task.

    Attributes:
        frames: the cleaned rows of each split, from which its examples were made.
        fingerprint: SHA-256 of the texts and labels of all splits, in their order.
        overlap: numbers of rows of a second split that repeat something of a first, by names of three forms.
            `"train/test"` counts rows with the input of a row of the first, in the source's own splits before cuts and
            limits. Splits that are cut from train share no input. `"train/test premise"` counts rows with a value in
            that column that the first has too. It exists for each `group_by` column, and for each text of an input with
            several. `"train/test:swapped"` counts pairs of the first with their texts swapped. The last two are counted
            after cuts and before limits.
        baseline: by split and metric, the score of the input-free baseline.
        warnings: warnings for the user about each split, before the run.
    """

    train: Examples
    validation: Examples
    test: Examples
    frames: dict[str, pd.DataFrame]
    fingerprint: str
    overlap: dict[str, int]
    baseline: dict[str, dict[str, float]]
    warnings: dict[str, list[str]]

    @property
    def splits(self) -> dict[str, Examples]:
        """The tokenised splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def highest_token(self) -> int:
        """The highest token id of all splits."""
        return max(int(examples.tokens.max()) for examples in self.splits.values())

    @property
    def sizes(self) -> dict[str, int]:
        """Number of rows of each split."""
        return {role: len(frame) for role, frame in self.frames.items()}


def load_data(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    data_root: Path | None = None,
    cache_dir: Path | None = None,
    seed: int = 0,
) -> TaskData:
    """Reads, checks, splits and tokenises a task's data. Tokenised data is kept for the next run.

    Args:
        task: the task.
        tokenizer: tokenizer of the model that will be tuned.
        data_root: folder with one subfolder per data set, read first.
        cache_dir: folder for tokenised data; None: `$LNBENCH_CACHE` or the user's cache folder.
        seed: seed of the run, which draws the training rows if `task.splits.resample` is set.

    Raises:
        DataError: the data cannot be found or used.
    """
    rows = _rows(task, data_root)
    frames = _sampled(task, rows.parts, seed)
    fingerprint = fingerprint_of(frames)
    examples = _tokenised(task, frames, fingerprint, tokenizer, cache_dir)
    warnings = dict(rows.remarks)
    for role, some in notes.of_splits(task, frames, examples).items():
        warnings[role] = [*warnings.get(role, []), *some, *rows.overlap_notes[role]]
    warnings["train"] += notes.of_leaks(rows.left_out)
    return TaskData(
        **examples,
        frames=frames,
        fingerprint=fingerprint,
        overlap=rows.overlap,
        baseline={role: _baseline(task, frames["train"], frame) for role, frame in frames.items()},
        warnings=warnings,
    )


class _Rows(NamedTuple):
    """The rows of the three splits, before samples are drawn, and what is known of them.

    The frames as they were read, and the keys of their rows, are as large as the data. They are gone by now.
    """

    parts: dict[str, pd.DataFrame]
    overlap: dict[str, int]
    overlap_notes: dict[str, list[str]]
    remarks: dict[str, list[str]]
    left_out: int
    """Number of training rows that are left out because the test split has their text."""


def _rows(task: Task, data_root: Path | None) -> _Rows:
    read = read_roles(task, data_root)
    given = {role: task.clean(part.frame, part.where) for role, part in read.items()}
    keys, roles, groups = _keys(task, read["train"], given)
    leaks = _leaks(task, keys)
    parts = _split(task, given, roles, groups, leaks)
    shared = overlap(keys)
    del keys, roles
    shared |= {**_shared_groups(task, read, parts), **_shared_texts(task, parts)}
    return _Rows(
        parts={role: task.arrange(frame, role) for role, frame in parts.items()},
        overlap=shared,
        overlap_notes={role: notes.of_overlap(task, given, role, shared) for role in parts},
        remarks={role: task.remarks(part.frame) for role, part in read.items()},
        left_out=int(leaks.sum()),
    )


def _keys(
    task: Task, train: ReadSplit, given: Mapping[str, pd.DataFrame]
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.uint8], int]:
    """The hashes of the keys of all rows, by role, the role that each row of `train` draws, and how many groups draw.

    The number is 0 without `group_by`. Only with it is more than a piece of the keys in memory.
    """
    shares, seed = task.splits.cuts(given), task.splits.seed
    columns = _groups(task, train, given["train"])
    groups = together([task.group_keys(given["train"]), *columns]) if columns else []
    roles, hashes = Growing(np.uint8), {role: Growing(np.int64) for role in given}
    roles.add(assign(groups, shares, seed))
    for role, frame in given.items():
        for part in pieces(frame):
            keys = task.group_keys(part)
            hashes[role].add(hashed(keys))
            if role == "train" and not columns:
                roles.add(assign(keys, shares, seed))
    return {role: some.array() for role, some in hashes.items()}, roles.array(), len(set(groups))


def _groups(task: Task, part: ReadSplit, train: pd.DataFrame) -> list[list[str]]:
    """The values of each `group_by` column in the training rows.

    Raises:
        DataError: there is no such column, or a row has no value in it.
    """
    require_columns(part.frame, task.splits.group_by, part.where)
    columns = [part.frame[name].loc[train.index] for name in task.splits.group_by]
    for values in columns:
        require(values, each(values, is_filled), part.where, "a value, for task.splits.group_by names this column")
    return [label_names(values).tolist() for values in columns]


def _shared_texts(task: Task, parts: Mapping[str, pd.DataFrame]) -> dict[str, int]:
    """Numbers of rows that share a text with an earlier role, by roles and column, and of swapped pairs, by roles."""
    texts = {role: _hashed_texts(task, frame) for role, frame in parts.items()}
    shared = {
        f"{roles} {column}": rows
        for column in texts["train"]
        for roles, rows in overlap({role: columns[column] for role, columns in texts.items()}).items()
    }
    if len(texts["train"]) != 2:
        return shared
    first, second = texts["train"]
    pairs = {role: (columns[first], columns[second]) for role, columns in texts.items()}
    return {**shared, **{f"{roles}{SWAPPED}": rows for roles, rows in swapped(pairs).items()}}


def _hashed_texts(task: Task, frame: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """By column, the hashes of the texts to compare between splits."""
    hashes: defaultdict[str, Growing] = defaultdict(lambda: Growing(np.int64))
    for part in pieces(frame):
        for name, keys in task.text_keys(part).items():
            hashes[name].add(hashed(keys))
    return {name: some.array() for name, some in hashes.items()}


def _shared_groups(task: Task, read: Mapping[str, ReadSplit], parts: Mapping[str, pd.DataFrame]) -> dict[str, int]:
    """By roles and column of `group_by`, the number of rows with a value that an earlier role has too.

    A role without the column is left out.
    """
    shared: dict[str, int] = {}
    for column in task.splits.group_by:
        values = {}
        for role, frame in parts.items():
            source = read.get(role, read["train"]).frame
            if column in source:
                known = source[column].loc[frame.index]
                values[role] = hashed(label_names(known[each(known, is_filled)]))
        shared |= {f"{roles} {column}": rows for roles, rows in overlap(values).items()}
    return shared


def _baseline(task: Task, train: pd.DataFrame, split: pd.DataFrame) -> dict[str, float]:
    trivial = task.trivial(train, split)
    return task.score(trivial) if trivial is not None else {}


def _split(
    task: Task, given: Mapping[str, pd.DataFrame], roles: NDArray[np.uint8], groups: int, leaks: NDArray[np.bool_]
) -> dict[str, pd.DataFrame]:
    """Cuts the missing roles off the training split, and drops the training rows that leak."""
    others = {role: frame for role, frame in given.items() if role != "train"}
    both = zip(slices(roles), slices(leaks), strict=True)
    kept = (np.where(leaking, np.uint8(LEFT_OUT), some) for some, leaking in both)
    frames = {**others, **cut(given["train"], grown(kept))}
    for role in ROLES:
        if role not in frames:
            raise DataError(f"{task.name}: no row is left for {role}; {_why_nothing(task, role, groups, leaks)}")
    return {role: frames[role] for role in ROLES}


def _why_nothing(task: Task, role: str, groups: int, leaks: NDArray[np.bool_]) -> str:
    """Why no row is left for a role, and what helps."""
    if leaks.all():
        return "the test split has the text of each, and task.splits.drop_overlap=true leaves out such rows"
    own = f"task.{FIELDS[role]}=FILE" if task.path is not None else f"task.splits.{role}=SPLIT"
    ways = f"raise task.splits.{role}_fraction or give {own}"
    if role == "train":
        ways = "lower task.splits.validation_fraction or task.splits.test_fraction"
    columns = ", ".join(task.splits.group_by)
    if not columns:
        return ways
    return (
        f"task.splits.group_by = {columns} makes {groups:,} groups of the rows, each of which is in one "
        f"split; group by another column, {ways}"
    )


def _leaks(task: Task, keys: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
    """For each training row, whether it is left out because the test split has its text."""
    tested = keys.get("test") if task.splits.drop_overlap else None
    return members(keys["train"], tested) if tested is not None else np.zeros(len(keys["train"]), bool)


def _sampled(task: Task, frames: Mapping[str, pd.DataFrame], seed: int) -> dict[str, pd.DataFrame]:
    """The frames, with no more rows than their limits."""
    limits, splits = task.splits.limits(), task.splits
    seeds = {"train": f"{splits.seed} of run {seed}"} if splits.resample else {}
    return {
        role: at(frame, sample(frame, task.group_keys, limits[role], seeds.get(role, splits.seed)))
        if limits.get(role, len(frame)) < len(frame)
        else frame
        for role, frame in frames.items()
    }


def fingerprint_of(frames: Mapping[str, pd.DataFrame]) -> str:
    """SHA-256 of all values of all frames, in their order, as JSON text."""
    digest = hashlib.sha256()
    for role, frame in frames.items():
        for column in frame.columns:
            for piece in _as_json(role, column, frame[column]):
                digest.update(piece.encode())
    return digest.hexdigest()


def _as_json(role: str, column: Any, values: pd.Series) -> Iterator[str]:
    """The JSON text of the list of role, column and list of values, in pieces."""
    yield json.dumps([role, column, []])[:-2]
    for start in range(0, len(values), PIECE):
        yield ", " * bool(start) + json.dumps(values.iloc[start : start + PIECE].tolist())[1:-1]
    yield "]]"


def _tokenised(
    task: Task,
    frames: Mapping[str, pd.DataFrame],
    fingerprint: str,
    tokenizer: PreTrainedTokenizerBase,
    cache_dir: Path | None,
) -> dict[str, Examples]:
    parts = [CACHE_FORMAT, fingerprint, tokenizer_identity(tokenizer), kind_of(type(task)), task.identity()]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    file = token_cache.token_file(cache_dir, key)
    with contextlib.nullcontext() if file.is_file() else one_at_a_time(file):
        if (kept := token_cache.load_tokens(file, pad_id(tokenizer))) is not None:
            return {role: replace(rows, tokenizer=tokenizer) for role, rows in kept.items()}
        examples = {role: task.encode(frame, tokenizer) for role, frame in frames.items()}
        token_cache.store_tokens(file, examples)
        return examples
