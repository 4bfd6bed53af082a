"""`python -m lnbench.inspect`: what it says of the data."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lnbench.core.errors import REFUSED
from lnbench.inspect import main


class Command:
    """Runs the command in this process."""

    def __init__(self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        monkeypatch.setenv("COLUMNS", "160")
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # main changes it; monkeypatch puts it back
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.settings = [f"model.source={model}", "model.name=tiny", f"cache_dir={tmp_path / 'cache'}"]

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Returns the exit code and what was written to stdout and stderr."""
        self.monkeypatch.setattr(sys, "argv", ["lnbench.inspect", *self.settings, *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), *self.capsys.readouterr()


@pytest.fixture
def command(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(sources["bert"], tmp_path, monkeypatch, capsys)


def cells(text: str) -> list[list[str]]:
    """Rows of the printed tables."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_sizes_labels_and_overlap_are_shown(command: Command, data_root: Path, tmp_path: Path) -> None:
    code, out, err = command("task=mrpc", f"data_root={data_root}")
    assert (code, err) == (0, "")
    rows = {row[0]: row[1:] for row in cells(out)}
    assert rows["train"][0] == "96"
    assert rows["test"][0] == "32"
    counts = [int(rows[label][0].split()[0]) for label in ("equivalent", "not_equivalent")]
    assert sum(counts) == 96
    assert f"{counts[0]} ({counts[0] / 96:.1%})" in out
    said = " ".join(out.split())
    assert "rows of the second split whose input, or value in a column, is in the first: train/validation 0, t" in said
    assert "train/validation:swapped 0" in said
    assert "test scores of the majority baseline: accuracy " in out
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("cache", "data")] == []


def test_a_histogram_counts_all_training_rows(command: Command, tmp_path: Path) -> None:
    rows = [{"text": " ".join("abcde"[: number % 5 + 1]), "label": number % 2} for number in range(50)]
    path = write(tmp_path / "mine.jsonl", rows)
    _, out, _ = command("task=csv", f"task.path={path}", f"task.test_path={path}", f"task.validation_path={path}")
    bars = {row[0]: (row[1], row[2]) for row in cells(out) if len(row) == 3 and row[0].isdigit()}
    assert bars == {str(length): ("█" * 40, "10") for length in (3, 4, 5, 6, 7)}


def test_examples_show_what_the_model_sees_and_what_it_does_not(command: Command, tmp_path: Path) -> None:
    texts = ["a", "good film", "a b c d e good bad film a b"]
    path = write(tmp_path / "mine.jsonl", [{"text": text, "label": len(text) > 1} for text in texts])
    files = [f"task.{name}={path}" for name in ("path", "validation_path", "test_path")]
    _, out, _ = command("task=csv", *files, "task.max_length=8")
    assert "shortest training row  [CLS] a [SEP] => False\n" in out
    assert "median training row  [CLS] good film [SEP] => True\n" in out
    assert "longest training row  [CLS] a b c d e good [SEP] ... 4 tokens cut off => True\n" in out
    assert "train: task.max_length = 8 cuts off 1 of 3 rows: 4 tokens on average" in out


def test_tags_stand_behind_their_tokens(command: Command, tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("good B-PER\nfilm I-PER\na O\n\nb O\n\nc O\nd O\n")
    files = [f"task.{name}={tmp_path / 'train.conll'}" for name in ("path", "validation_path", "test_path")]
    _, out, _ = command("task=conll", *files)
    assert "longest training row  [CLS] good/B-PER film/I-PER a/O [SEP] \n" in out
    assert ["PER", "1 (100.0%)", "1 (100.0%)", "1 (100.0%)"] in cells(out)


def test_unusable_data_is_told(command: Command, tmp_path: Path) -> None:
    code, out, err = command("task=csv", f"task.path={tmp_path / 'nowhere.csv'}")
    assert (code, out) == (REFUSED, "")
    assert err.startswith("task.path = ")
