"""The command that writes a tuned model for other tools."""

import sys
from pathlib import Path

import pytest

from lnbench.exchange.heads import HEAD_FILE
from lnbench.exchange.peft_format import CONFIG, WEIGHTS
from lnbench.export import main
from lnbench.records.files import CARD, RECORD
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from tests.commands import Commands
from tests.conftest import Configure
from tests.records.many import finish


def export(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["lnbench.export", *map(str, arguments)])
    main()


def test_both_formats_are_written(configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = configure("method=ln", "trainer.max_steps=2")
    run(config)
    export(
        monkeypatch, run_dir(config), "--merged", tmp_path / "plain", "--peft", tmp_path / "adapter", "--head", "beside"
    )
    assert {"config.json", "model.safetensors", "tokenizer.json", HEAD_FILE} <= {
        p.name for p in (tmp_path / "plain").iterdir()
    }
    assert {CONFIG, WEIGHTS, HEAD_FILE} == {p.name for p in (tmp_path / "adapter").iterdir()}


def test_a_head_that_peft_cannot_hold_is_a_message(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = configure("method=ln", "trainer.max_steps=1")
    run(config)
    with pytest.raises(SystemExit, match=r"reads model\.pooling=pooler, and this head mean\. --head beside writes"):
        export(monkeypatch, run_dir(config), "--peft", tmp_path / "adapter")


def test_a_folder_that_is_no_run_is_a_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is not the folder of a run"):
        export(monkeypatch, tmp_path, "--peft", tmp_path / "adapter")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (CARD, "{folder}/README.md: Is a directory"),
        (RECORD, "{folder}/record.json: is damaged or of an unknown format (is not a file)"),
    ],
)
def test_a_folder_in_place_of_a_file_is_told_in_plain_words(
    configure: Configure, commands: Commands, name: str, message: str
) -> None:
    config = configure()
    finish(config)
    (run_dir(config) / name).unlink(missing_ok=True)
    (run_dir(config) / name).mkdir()
    assert commands.export(run_dir(config), "--card").code == message.format(folder=run_dir(config))


def test_nothing_to_write_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        export(monkeypatch, tmp_path)
    assert (
        "nothing to write: give --merged FOLDER, --peft FOLDER, --card, --hub USER/NAME, or several"
        in capsys.readouterr().err
    )
