"""Fixtures of the data tests."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from tests.tasks.builders import Rows, new_tokenizer

Writer = Callable[..., Path]


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
