import json
import os
import re
from pathlib import Path

import pytest
import torch

from lnbench.core.sealed import NewerError
from lnbench.core.tensors import write_tensors
from lnbench.records.adapter import AdapterError, load_adapter, save_adapter
from lnbench.records.files import ADAPTER

ABOUT = {"backbone": "some/model", "method": "ln"}


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    tensors = {
        "a.weight": torch.randn(3, 2).T,
        "b": torch.tensor([1.5], dtype=torch.bfloat16),
        "c": torch.nn.Parameter(torch.zeros(2)),
    }
    save_adapter(tensors, ABOUT, tmp_path / "new")
    loaded, about = load_adapter(tmp_path / "new")
    assert about == ABOUT
    assert list(loaded) == list(tensors)
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert all(loaded[name].dtype == tensors[name].dtype for name in tensors)


def test_the_header_can_be_read_without_lnbench(tmp_path: Path) -> None:
    save_adapter({"a": torch.zeros(1)}, ABOUT, tmp_path)
    content = (tmp_path / ADAPTER).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["lnbench"]) == {"format": 1, **ABOUT}
    assert header["a"]["dtype"] == "F32"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=f"^{tmp_path / ADAPTER}: is not there"):
        load_adapter(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "a flipped bit", "another file"])
def test_a_damaged_file_is_told_by_name(tmp_path: Path, damage: str) -> None:
    save_adapter({"a": torch.zeros(100)}, ABOUT, tmp_path)
    content = (tmp_path / ADAPTER).read_bytes()
    plain = b"\x02\0\0\0\0\0\0\0{}"
    flipped = content[:-100] + bytes([content[-100] ^ 4]) + content[-99:]
    broken = {"empty": b"", "truncated": content[:-1], "garbage": os.urandom(200), "another file": plain}
    (tmp_path / ADAPTER).write_bytes({**broken, "a flipped bit": flipped}[damage])
    with pytest.raises(AdapterError, match=f"^{tmp_path / ADAPTER}: is damaged or not an adapter of lnbench"):
        load_adapter(tmp_path)


def test_a_file_of_a_newer_lnbench_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    save_adapter({"a": torch.zeros(1)}, {**ABOUT, "format": 2}, tmp_path)  # type: ignore[dict-item]
    with pytest.raises(NewerError, match=rf"^{re.escape(str(tmp_path / ADAPTER))}: was written by a newer lnbench"):
        load_adapter(tmp_path)


def test_a_file_without_a_format_is_of_the_first_one(tmp_path: Path) -> None:
    write_tensors(tmp_path / ADAPTER, {"a": torch.zeros(1)}, json.dumps(ABOUT))
    assert load_adapter(tmp_path)[1] == ABOUT


@pytest.mark.parametrize("header", ["[" * 100_000, "[]", "null", ""])
def test_a_header_that_is_none_is_told_by_name(tmp_path: Path, header: str) -> None:
    write_tensors(tmp_path / ADAPTER, {"a": torch.zeros(1)}, header)
    with pytest.raises(AdapterError, match=r"is damaged or not an adapter of lnbench"):
        load_adapter(tmp_path)
