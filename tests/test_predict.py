import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lnbench.methods.parts.lora_update import LowRankUpdate
from lnbench.predict import main
from lnbench.records.files import CARD
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from tests import runs
from tests.commands import words_of
from tests.forking import Program

SHORT = ("trainer.max_steps=4", "trainer.validate_every=null")
Predict = Callable[..., tuple[object, str]]


def finished(source: Path, data_root: Path, runs_dir: Path, *overrides: str) -> Path:
    config = runs.configure(source, data_root, runs_dir, *SHORT, *overrides)
    run(config)
    return run_dir(config)


@pytest.fixture(scope="module")
def single(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on single texts."""
    return finished(sources["bert"], data_root, tmp_path_factory.mktemp("single"))


@pytest.fixture(scope="module")
def pair(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on pairs."""
    return finished(sources["bert"], data_root, tmp_path_factory.mktemp("pair"), "task=mrpc")


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Predict:
    """Runs the command in this process; returns its exit message (None: success) and what it printed."""

    def call(*arguments: object, stdin: str = "") -> tuple[object, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            main()
        except SystemExit as end:
            return end.code, capsys.readouterr().out
        return None, capsys.readouterr().out

    return call


def test_texts_come_as_arguments_in_a_file_or_on_standard_input(predict: Predict, single: Path, tmp_path: Path) -> None:
    texts = ["good film", "a bad film", "so grün"]
    (tmp_path / "texts").write_text("\n\n".join(texts) + "\n", "utf-8")
    code, said = predict(single, *texts)
    assert code is None
    assert predict(single, "--file", tmp_path / "texts") == (None, said)
    assert predict(single, stdin="\n".join(texts)) == (None, said)
    lines = said.splitlines()
    assert len(lines) == 3
    for line, text in zip(lines, texts, strict=True):
        assert line.split()[0] in ("negative", "positive")
        assert line.endswith(text)


def test_json_is_one_object_a_line(predict: Predict, single: Path) -> None:
    code, said = predict(single, "--json", "good film", "so grün")
    first, second = map(json.loads, said.splitlines())
    assert code is None
    assert (first["input"]["sentence"], second["input"]["sentence"]) == ("good film", "so grün")
    assert first["label"] == max(first["probabilities"], key=first["probabilities"].get)
    assert sum(first["probabilities"].values()) == pytest.approx(1)


def test_a_tab_splits_a_pair(predict: Predict, pair: Path) -> None:
    code, said = predict(pair, "--json", "good film\ta bad film")
    answer = json.loads(said)
    assert code is None
    assert answer["input"] == {"sentence1": "good film", "sentence2": "a bad film"}
    assert answer["label"] in ("equivalent", "not_equivalent")


def test_what_the_card_of_a_run_shows_is_answered(predict: Predict, single: Path, pair: Path) -> None:
    for folder in (single, pair):
        (line,) = re.findall(r"^python -m lnbench\.predict .*$", (folder / CARD).read_text(), re.MULTILINE)
        code, said = predict(*words_of(line.replace("FOLDER", str(folder)))[3:])
        assert code is None
        assert "some text" in said


def test_merged_it_says_the_same(
    predict: Predict, sources: dict[str, Path], data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished(sources["bert"], data_root, tmp_path, "method=lora")
    expected = predict(folder, "good film")
    monkeypatch.setattr(LowRankUpdate, "forward", None)
    assert predict(folder, "--merged", "good film") == expected


@pytest.mark.parametrize("stdin", ["", "\n \n"])
def test_without_a_text_it_says_where_to_put_one(predict: Predict, single: Path, stdin: str) -> None:
    code, said = predict(single, stdin=stdin)
    assert str(code).startswith("no text given: ")
    assert said == ""


def test_an_unusable_text_is_told_by_number(predict: Predict, single: Path, pair: Path) -> None:
    assert str(predict(single, "good", " ")[0]).startswith("text 2 = ' ': must be a text that is not empty")
    assert predict(pair, "good")[0] == (
        "text 1 = 'good': must be two texts, neither of them empty, with a tab between them; in a shell type "
        r"$'some text\tanother text', in Python ('some text', 'another text')"
    )


def test_a_missing_folder_or_file_is_told(predict: Predict, single: Path, tmp_path: Path) -> None:
    assert "is not the folder of a run" in str(predict(tmp_path, "good")[0])
    assert str(predict(single, "--file", tmp_path / "none")[0]).startswith(f"{tmp_path}/none: cannot be read")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert str(predict(single, "--file", tmp_path / "binary")[0]).startswith(f"{tmp_path}/binary: cannot be read")


@pytest.mark.parametrize("arguments", [["/nowhere", "good film"], ["/nowhere"]])
def test_as_a_command_it_fails_without_a_traceback(arguments: list[str], tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    command = [sys.executable, "-m", "lnbench.predict", *arguments]
    assert Program(command, os.environ, stdout=out, stderr=err).wait() == 1
    assert "Traceback" not in err.read_text()
    assert len(err.read_text().splitlines()) == 1
    assert not out.read_text()


def test_typed_texts_and_a_file_are_not_both_taken(predict: Predict, single: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("bad\n")
    code, out = predict(single, "good", "--file", file)
    assert (code, out) == (2, "")


def test_a_byte_order_mark_is_no_part_of_the_first_text(predict: Predict, single: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffa good film\nbad\n".encode())
    expected = predict(single, "--json", "a good film", "bad")
    assert predict(single, "--json", "--file", file) == expected
    assert predict(single, "--json", stdin="\ufeffa good film\nbad") == expected


def test_a_text_of_several_lines_has_an_answer_on_one(predict: Predict, single: Path) -> None:
    code, out = predict(single, "good\nfilm \x1b[31m")
    assert code is None
    assert out.endswith(r"good\nfilm \x1b[31m" + "\n")
    assert out.count("\n") == 1


def test_a_text_that_is_cut_off_is_told(predict: Predict, single: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called = []
    main_of = sys.modules["lnbench.predict"]

    def note(*texts: object, **kwargs: object) -> None:
        called.append(texts) if kwargs.get("file") is sys.stderr else print(*texts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main_of, "print", note, raising=False)
        predict(single, "good film", "good film " * 40)
        assert called == [("note: task.max_length = 32 cuts off 1 of 2 rows: 50 tokens on average, 50 at most",)]
        called.clear()
        predict(single, "good film")
    assert called == []
