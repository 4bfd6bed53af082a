"""Fixtures of the data tests."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from lnbench.tasks.data import files, large, read
from tests.tasks.builders import Rows, new_tokenizer

Writer = Callable[..., Path]


@pytest.fixture(params=["whole", "in pieces"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets are taken for small ones, as they are, and for large ones."""
    if request.param == "in pieces":
        for module in (files, large, read):
            monkeypatch.setattr(module, "ROWS", 2)
        monkeypatch.setattr(files, "LARGE", 0)
        monkeypatch.setattr(large, "MANY", 3)
        monkeypatch.setattr(large, "IN_MEMORY", 8)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return new_tokenizer()


@pytest.fixture
def write_root(tmp_path: Path) -> Writer:
    """Writes `<split>=rows` below a data root as JSON lines, and returns the root."""

    def write(folder: str = "films", **splits: Rows) -> Path:
        root = tmp_path / "data"
        (root / folder).mkdir(parents=True, exist_ok=True)
        for split, rows in splits.items():
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (root / folder / f"{split}.jsonl").write_text(text)
        return root

    return write
