import json
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import PreTrainedTokenizerFast

from lnbench.core.errors import DataError
from lnbench.tasks.data import load
from lnbench.tasks.data.load import TaskData, load_data
from lnbench.tasks.sequence_classification import SequenceClassification
from tests.tasks.builders import Rows, films, new_task, new_tokenizer
from tests.tasks.conftest import Writer

pytestmark = pytest.mark.usefixtures("both_ways")
SPLITS = {
    "train": films(("a good film", 1), ("a bad film", 0), ("c", 1)),
    "validation": films(("b", 1), ("A  BAD film", 0)),
    "test": films(("e", 0), ("c", 1)),
}


@pytest.fixture
def root(write_root: Writer) -> Path:
    return write_root(**SPLITS)


@pytest.fixture
def no_tokenising(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("was tokenised again")

    monkeypatch.setattr(SequenceClassification, "encode", refuse)


def values(loaded: TaskData) -> dict[str, list[Any]]:
    splits = {"train": loaded.train, "validation": loaded.validation, "test": loaded.test}
    return {role: [t.tolist() for t in rows.batch(np.arange(len(rows))).values()] for role, rows in splits.items()}


def test_official_splits_are_kept_and_their_overlap_counted(
    root: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    loaded = load_data(new_task(), tokenizer, root, tmp_path / "cache")
    assert loaded.sizes == {"train": 3, "validation": 2, "test": 2}
    assert loaded.overlap == {"train/validation": 1, "train/test": 1, "validation/test": 0}
    assert loaded.baseline["test"]["accuracy"] == 0.5
    assert loaded.train.labels.tolist() == [1, 0, 1]


def test_missing_splits_are_cut_from_train_by_text(
    write_root: Writer, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = [row for number in range(200) for row in films((f"a {number}", 0), (f"A  {number}", 1))]
    root = write_root(train=rows)
    task = new_task(splits={"validation_fraction": 0.25, "test_fraction": 0.25})
    loaded = load_data(task, tokenizer, root, tmp_path)
    assert sum(loaded.sizes.values()) == 400
    assert 60 < loaded.sizes["validation"] < 140
    assert all(size % 2 == 0 for size in loaded.sizes.values()), "equal texts were torn apart"
    write_root(train=rows[::-1])
    assert load_data(task, tokenizer, root, tmp_path).sizes == loaded.sizes


def test_limits_sample_rows_after_the_cuts(
    write_root: Writer, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(train=films(*((f"a {number}", number % 2) for number in range(200))))
    loaded, whole = (
        load_data(new_task(splits={**limits, "seed": 3}), tokenizer, root, tmp_path)
        for limits in ({"train_limit": 50, "test_limit": 9}, {})
    )
    assert loaded.sizes == {**whole.sizes, "train": 50, "test": 9}
    assert len(loaded.test) == 9
    assert loaded.fingerprint != whole.fingerprint
    kept, there = (set(frames["test"]["text"]) for frames in (loaded.frames, whole.frames))
    assert kept < there


def test_each_seed_may_draw_its_own_training_rows(
    write_root: Writer, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    root = write_root(train=films(*((f"a {number}", number % 2) for number in range(200))))
    limits = {"train_limit": 50, "validation_limit": 10, "test_limit": 9}
    shared, own = (
        [
            load_data(new_task(splits={**limits, "resample": draws}), tokenizer, root, tmp_path, seed=k)
            for k in (0, 1, 1)
        ]
        for draws in (False, True)
    )
    assert len({one.fingerprint for one in shared}) == 1
    assert own[1].fingerprint == own[2].fingerprint
    train = [set(one.frames["train"]["text"]) for one in own]
    assert train[0] != train[1]
    assert [len(rows) for rows in train] == [50, 50, 50]
    for split in ("validation", "test"):
        assert len({tuple(one.frames[split]["text"]) for one in [*shared, *own]}) == 1


def test_a_cut_that_leaves_nothing_is_named(
    write_root: Writer, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(
        DataError,
        match=r"films: no row is left for .*; raise task\.splits\.\w+_fraction or give task\.splits\.\w+=SPLIT$",
    ):
        load_data(new_task(splits={}), tokenizer, write_root(train=SPLITS["train"]), tmp_path)


@pytest.mark.usefixtures("no_tokenising")
def test_errors_name_task_split_and_row(write_root: Writer, tokenizer: PreTrainedTokenizerFast) -> None:
    root = write_root(**{**SPLITS, "validation": films(("a", 0), ("b", "fine"))})
    with pytest.raises(DataError, match="films, split 'validation', row 2: label = 'fine'"):
        load_data(new_task(), tokenizer, root)


@pytest.mark.parametrize(
    "validation",
    [
        films(("b", 1), ("a bad film", 0)),
        films(("b", 0), ("A  BAD film", 1)),
        SPLITS["validation"][::-1],
    ],
)
def test_fingerprint_sees_texts_labels_and_order(
    root: Path, write_root: Writer, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, validation: Rows
) -> None:
    before = load_data(new_task(), tokenizer, root, tmp_path).fingerprint
    assert load_data(new_task(), new_tokenizer(special=False), root, tmp_path).fingerprint == before
    write_root(validation=validation)
    assert load_data(new_task(), tokenizer, root, tmp_path).fingerprint != before


def test_fingerprint_is_the_hash_of_the_values_in_order(
    root: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Records of other versions are compared by it, so its definition must stay."""
    text = (
        '["train", "text", ["a good film", "a bad film", "c"]]["train", "label", [1, 0, 1]]'
        '["validation", "text", ["b", "A  BAD film"]]["validation", "label", [1, 0]]'
        '["test", "text", ["e", "c"]]["test", "label", [0, 1]]'
    )
    assert load_data(new_task(), tokenizer, root, tmp_path).fingerprint == sha256(text.encode()).hexdigest()


def test_a_second_run_reads_the_cache(
    write_root: Writer, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = new_task(pair="other")
    root = write_root(**{split: [{**row, "other": "a b"} for row in rows] for split, rows in SPLITS.items()})
    first = load_data(task, tokenizer, root, tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(SequenceClassification, "encode", None)
        assert values(load_data(task, new_tokenizer(), root, tmp_path / "cache")) == values(first)
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 1


def test_several_runs_at_once_tokenise_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    encode = SequenceClassification.encode

    def slow(self: SequenceClassification, frame: Any, tokenizer: Any) -> Any:
        encoded.append(threading.get_ident())
        time.sleep(0.1)
        return encode(self, frame, tokenizer)

    monkeypatch.setattr(SequenceClassification, "encode", slow)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load_data(new_task(), new_tokenizer(), root, tmp_path / "cache"), range(4)))
    assert len(encoded) == 3, "each split once"
    assert all(values(one) == values(loaded[0]) for one in loaded)


@pytest.mark.parametrize("change", ["tokenizer", "max_length", "data", "format"])
def test_nothing_stale_is_read_from_the_cache(
    root: Path, write_root: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    task, tokenizer = new_task(), new_tokenizer()
    load_data(task, tokenizer, root, tmp_path / "cache")
    if change == "tokenizer":
        tokenizer = new_tokenizer(special=False)
    elif change == "max_length":
        task = new_task(max_length=9)
    elif change == "data":
        write_root(train=SPLITS["train"][:2])
    else:
        monkeypatch.setattr(load, "CACHE_FORMAT", 0)
    load_data(task, tokenizer, root, tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"rubbish", "cut"])
def test_a_damaged_cache_is_rebuilt(
    root: Path,
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerFast,
    caplog: pytest.LogCaptureFixture,
    damage: bytes | str,
) -> None:
    first = load_data(new_task(), tokenizer, root, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "tokens").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] if isinstance(damage, str) else damage)
    with caplog.at_level(logging.WARNING):
        assert values(load_data(new_task(), tokenizer, root, tmp_path / "cache")) == values(first)
    assert "tokenising again" in caplog.text
    caplog.clear()
    assert values(load_data(new_task(), tokenizer, root, tmp_path / "cache")) == values(first)
    assert not caplog.records, "the cache was not made anew"


@pytest.mark.parametrize("part", ["train/tokens", "train/labels", "test/offsets"])
def test_a_flipped_bit_in_the_cache_changes_nothing(
    root: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    first = load_data(new_task(), tokenizer, root, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "tokens").iterdir()
    content = bytearray(file.read_bytes())
    size = int.from_bytes(content[:8], "little")
    begin, _ = json.loads(content[8 : 8 + size])[part]["data_offsets"]
    content[8 + size + begin] ^= 1
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert values(load_data(new_task(), tokenizer, root, tmp_path / "cache")) == values(first)
    assert "checksum does not fit" in caplog.text
    assert "tokenising again" in caplog.text


def test_a_cache_file_of_other_data_is_not_taken(
    root: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_data(new_task(), tokenizer, root, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "tokens").iterdir()
    load_data(new_task(max_length=8), tokenizer, root, tmp_path / "other")
    (other,) = (tmp_path / "other" / "tokens").iterdir()
    file.write_bytes(other.read_bytes())
    assert values(load_data(new_task(), tokenizer, root, tmp_path / "cache")) == values(first)
    assert "it was stored as" in caplog.text


def test_without_a_usable_cache_folder_a_run_goes_on(
    root: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert load_data(new_task(), tokenizer, root, tmp_path / "file").sizes["train"] == 3
    assert "going on without it" in caplog.text


def test_the_cache_folder_follows_the_environment(
    root: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "LNBENCH_CACHE", str(tmp_path / "mine"))
    load_data(new_task(), tokenizer, root)
    assert len(list((tmp_path / "mine" / "tokens").iterdir())) == 1


def test_the_fingerprint_is_the_digest_of_all_values_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another digest would give every run with a data set of its own another id."""
    monkeypatch.setattr(load, "PIECE", 3)
    columns: dict[str, list[Any]] = {"text": [f"é {n}" for n in range(7)], "label": [1.5, None, 2, "x", True, [1], {}]}
    frames = {"train": pd.DataFrame(columns), "test": pd.DataFrame({"text": []})}
    whole = "".join(
        json.dumps([role, name, frame[name].tolist()]) for role, frame in frames.items() for name in frame.columns
    )
    assert load.fingerprint_of(frames) == sha256(whole.encode()).hexdigest()
