"""Files of tensors."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from lnbench.core.tensors import read_tensors, write_tensors


def test_equal_contents_give_equal_bytes_whatever_the_order_of_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors gives the texts of the header in another order now and then."""
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.bfloat16), "ä": torch.tensor([True])}
    orders = [False, True]

    def in_another_order(tensors: dict[str, torch.Tensor], texts: dict[str, str]) -> bytes:
        content = save(tensors, texts)
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        ordered = sorted(header["__metadata__"].items(), reverse=orders.pop())
        changed = json.dumps(
            {"__metadata__": dict(ordered), **{n: v for n, v in header.items() if n != "__metadata__"}}
        )
        padded = changed.encode() + b" " * (-len(changed.encode()) % 8)
        return len(padded).to_bytes(8, "little") + padded + content[start:]

    monkeypatch.setattr("lnbench.core.tensors.save", in_another_order)
    for name in ("one", "other"):
        write_tensors(tmp_path / name, tensors, "a text")
        found, text = read_tensors(tmp_path / name)
        assert text == "a text"
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[key], tensors[key]) for key in tensors)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize(
    "tensors",
    [
        {"b": torch.randn(3, 4), "a": torch.arange(5), "c": torch.ones(7, dtype=torch.uint8), "e": torch.tensor(1.5)},
        {"none": torch.zeros(0, 3), "half": torch.ones(3, dtype=torch.bfloat16), "on": torch.tensor([True])},
        {},
    ],
)
def test_the_file_is_the_one_that_safetensors_writes(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    write_tensors(tmp_path / "file", tensors, "a text")
    content = (tmp_path / "file").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    whole = save(tensors, json.loads(content[8:start])["__metadata__"])
    assert len(whole) == len(content)
    assert json.loads(whole[8:start]) == json.loads(content[8:start])
    assert whole[start:] == content[start:]
