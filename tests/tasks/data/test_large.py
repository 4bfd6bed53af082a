import json
import os
import shutil
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import datasets
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.core.cache import scratch_file
from lnbench.core.errors import DataError
from lnbench.tasks.data import files, large, load, read
from lnbench.tasks.data.files import read_file
from lnbench.tasks.data.source import HubDataset, Source
from lnbench.tasks.sequence_classification import SequenceClassification
from lnbench.tasks.tokens import encode
from scripts.bench_reading import Peak, memory
from tests.forking import Forking
from tests.tasks.builders import new_task, new_tokenizer

LENGTH = 2_000
"""Bytes of a text, which is a single token."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is large, and a piece has two rows."""
    monkeypatch.setattr(files, "ROWS", 2)
    monkeypatch.setattr(large, "ROWS", 2)
    monkeypatch.setattr(files, "LARGE", 0)


def read_in_pieces(path: Path) -> pd.DataFrame:
    frame = files._in_pieces(path, path.suffix, "utf-8")
    assert frame is not None, "was not read in pieces"
    return frame


FRAME = pd.DataFrame(
    {
        "text": ['a, "b"', "c\r\nd", "NA", "", "1.0", " é\u2028 ", "😀"],
        "number": [1, -2, 3, 4, 5, 6, 7],
        "share": [0.5, 1.0, 2.0, 1e300, 0.1, 3.0, 4.0],
        "truth": [True, False, True, True, False, False, True],
        "list": [["a"], [], ["b", "c"], ["d"], ["e"], ["f"], ["g"]],
        "other": [f"text {number}" for number in range(7)],
    }
)


@pytest.mark.usefixtures("small")
def test_pieces_give_the_frame_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = FRAME[["text", "number", "other"]]
    FRAME.to_parquet(tmp_path / "a.parquet")
    texts.to_csv(tmp_path / "a.csv", index=False)
    texts[texts["text"].str.isalnum()].to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    FRAME.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    pieces = {path: read_in_pieces(path) for path in tmp_path.iterdir()}
    monkeypatch.setattr(files, "LARGE", 2**40)
    for path, frame in pieces.items():
        pd.testing.assert_frame_equal(frame, read_file(path))
        assert isinstance(frame.index, pd.RangeIndex)
    assert len(pieces) == 4


TYPES = [st.text(max_size=3), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), st.none(), st.just([1])]


@given(
    st.sampled_from([st.one_of(TYPES), *TYPES]).flatmap(
        lambda values: st.lists(st.fixed_dictionaries({"a": values, "b": TYPES[0]}), min_size=1, max_size=7)
    )
)
def test_any_lines_of_json_give_the_frame_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("json") / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "LARGE", 0)
        patch.setattr(files, "ROWS", 2)
        pd.testing.assert_frame_equal(read_file(path), pd.DataFrame(rows))


@pytest.mark.usefixtures("small")
def test_a_column_whose_type_changes_is_read_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"a": value}) for value in (None, "x", 3, 4.5, True)))
    assert files._in_pieces(path, ".jsonl", "utf-8") is None
    assert read_file(path)["a"].tolist() == [None, "x", 3, 4.5, True]


@pytest.mark.usefixtures("small")
def test_a_data_set_of_the_hub_is_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = datasets.Dataset.from_pandas(FRAME)
    lengths: list[int] = []

    def on_disk(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
        parts = list(parts)
        lengths.extend(map(len, parts))
        return large.on_disk(parts)

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows)
    monkeypatch.setattr(read, "ROWS", 2)
    monkeypatch.setattr(read, "on_disk", on_disk)
    frame = read.read_splits(Source(folder="films", hub=HubDataset(id="a/b")), ["train"], None)["train"]
    pd.testing.assert_frame_equal(frame, rows.to_pandas())
    assert lengths == [2, 2, 2, 1]


@pytest.mark.usefixtures("small")
def test_chosen_rows_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "MANY", 3)
    wanted = np.array([True, False, False, False, True, True, False])
    pd.testing.assert_frame_equal(large.chosen(FRAME, wanted), FRAME[wanted])


@pytest.mark.usefixtures("small")
def test_without_room_for_texts_they_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(large, "scratch_file", full)
    monkeypatch.setattr(large, "MANY", 3)
    FRAME.to_parquet(tmp_path / "a.parquet")
    assert read_file(tmp_path / "a.parquet")["text"].tolist() == FRAME["text"].tolist()
    wanted = np.arange(7) > 2
    pd.testing.assert_frame_equal(large.chosen(FRAME, wanted), FRAME[wanted])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_without_room_for_tokens_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "IN_MEMORY", 8)
    tokens = large.Growing(np.int32)
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(large, "scratch_file", lambda: full)
        with pytest.raises(DataError, match=r"data cannot be written \(No space left on device\); make room"):
            tokens.add(np.zeros(9))


def test_nothing_is_left_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "LNBENCH_CACHE", str(tmp_path / "cache"))
    frame = large.on_disk([FRAME, FRAME])
    assert frame["text"].tolist() == FRAME["text"].tolist() * 2
    assert list((tmp_path / "cache").iterdir()) == []


def test_many_columns_of_numbers_need_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "IN_MEMORY", 8)
    opened = Mock(side_effect=scratch_file)
    monkeypatch.setattr(large, "scratch_file", opened)
    kinds = [np.int64, np.float64, np.bool_, np.float32]
    frame = pd.DataFrame({f"column {place}": np.arange(5).astype(kinds[place % 4]) for place in range(40)})
    frame.insert(7, "text", list("abcde"))
    whole = large.on_disk([frame, frame])
    assert whole.equals(pd.concat([frame, frame], ignore_index=True))
    assert opened.call_count == 1 + len(kinds)


def test_a_limit_above_the_number_of_rows_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing would list the places of all rows, and copy the rows."""
    drawn = Mock(side_effect=large.at)
    monkeypatch.setattr(load, "at", drawn)
    (tmp_path / "films").mkdir()
    for split in ("train", "validation", "test"):
        rows = [json.dumps({"text": f"{split} {number}", "label": number % 2}) + "\n" for number in range(4)]
        (tmp_path / "films" / f"{split}.jsonl").write_text("".join(rows))
    limits = {"train_limit": 4, "validation_limit": 5, "test_limit": 3}
    task = new_task(splits={"validation": "validation", "test": "test", **limits})
    sizes = load.load_data(task, new_tokenizer(), tmp_path, tmp_path / "cache").sizes
    assert sizes == {"train": 4, "validation": 4, "test": 3}
    assert drawn.call_count == 1


def growth(work: Callable[[Any], object], argument: object) -> int:
    """The bytes of memory at the peak of some work, over those at its start, in a process of its own."""
    with Forking().Pool(1) as pool:
        return pool.apply(_measured, (work, argument))


def _measured(work: Callable[[Any], object], argument: object) -> int:
    before, peak = memory(), Peak()
    peak.start()
    work(argument)
    return peak.stop() - before


def _load(folder: Path) -> None:
    os.environ["LNBENCH_CACHE"] = str(folder)
    for module in (files, large):
        module.ROWS = 1_000  # type: ignore[attr-defined]
    large.MANY = 1_000
    load.load_data(new_task(splits={"test_fraction": 0.2}), new_tokenizer(), folder, folder / "cache")


def _write(folder: Path, suffix: str, rows: int) -> Path:
    texts = [f"{number:08}".ljust(LENGTH, "x") for number in range(rows)]
    frame = pd.DataFrame({"text": texts, "label": np.arange(rows) % 2})
    (folder / "films").mkdir(parents=True)
    path = folder / "films" / f"train{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path, compression=None)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False)
    return folder


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_memory_does_not_grow_with_the_texts(tmp_path: Path, suffix: str) -> None:
    few, many = (growth(_load, _write(tmp_path / str(rows), suffix, rows)) for rows in (20_000, 40_000))
    shutil.rmtree(tmp_path)
    assert many - few < 20_000 * LENGTH / 2


@pytest.mark.parametrize(
    "changes",
    [
        {"splits": {"test_fraction": 0.2}},
        {"splits": {"test": "test", "train_limit": 900, "drop_overlap": True}},
        {"splits": {"test_fraction": 0.2}, "pair": "other", "skip": [1], "skip_empty": True, "labels": ["0", "2"]},
    ],
    ids=["cut", "limited", "pairs"],
)
def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """Not even two bytes are in memory for each row, at any time."""
    monkeypatch.setattr(files, "LARGE", 0)
    for module in (files, large):
        monkeypatch.setattr(module, "ROWS", 500)
    for module, name in ((large, "MANY"), (large, "IN_MEMORY"), (load, "PIECE"), (encode, "CHUNK")):
        monkeypatch.setattr(module, name, 100)
    task = new_task(**{"labels": ["0", "1", "2"], **changes})
    peaks: list[int] = []
    for rows in (4_000, 4_000, 11_000):  # the first imports what the others use
        folder = tmp_path / str(len(peaks)) / "films"
        folder.mkdir(parents=True)
        for split, start in (("train", 0), ("test", rows)):
            numbers = np.arange(start, start + (rows if split == "train" else 600))
            texts = (
                pd.Series(numbers % (rows - 5)).astype(str).str.ljust(100, "x")
            )  # more than the parser reads at once
            frame = pd.DataFrame({"text": texts, "other": texts.str[::-1], "label": numbers % 3})
            frame.to_csv(folder / f"{split}.csv", index=False)
        peaks.append(_traced(task, folder.parent))
    assert peaks[2] - peaks[1] < 7_000 * 2


def _traced(task: SequenceClassification, root: Path) -> int:
    """The bytes of Python and numpy at the peak, while a task's data is loaded."""
    tracemalloc.start()
    data = load.load_data(task, new_tokenizer(), root, root / "cache")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data.train) > 0
    return peak


def _tokens(folder: Path) -> None:
    os.environ["LNBENCH_CACHE"] = str(folder)
    tokens = large.Growing(np.int32)
    for _ in range(100):
        tokens.add(np.ones(2**18, np.int32))
    assert tokens.array().sum() == 100 * 2**18


def test_memory_does_not_grow_with_the_tokens(tmp_path: Path) -> None:
    assert growth(_tokens, tmp_path) < 20 * 2**20
