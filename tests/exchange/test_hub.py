"""Sharing a tuned model on the Hugging Face hub, and loading it from there; the hub is a fake."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd

import lnbench
from lnbench.backbone.source import is_repository
from lnbench.exchange import hub, peft_format
from lnbench.exchange.heads import HEAD_FILE
from lnbench.exchange.hub import HubError
from lnbench.export import main
from lnbench.records.files import ADAPTER, CARD, CONFIG, METRICS, RECORD
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from tests import runs

SHARED = [CARD, ADAPTER, CONFIG, RECORD]
TEXTS = ["good film", "a bad film"]


class FakeHub:
    """Takes the place of `HfApi`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.content: dict[str, bytes] = {}

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> None:
        assert exist_ok
        self.calls.append(("create_repo", repo_id, private))

    def create_commit(
        self, repo_id: str, operations: list[CommitOperationAdd], *, commit_message: str
    ) -> SimpleNamespace:
        self.calls.append(("create_commit", repo_id, commit_message))
        for added in operations:
            self.content[added.path_in_repo] = Path(str(added.path_or_fileobj)).read_bytes()
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")


@pytest.fixture(scope="module")
def finished(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run."""
    config = runs.configure(sources["bert"], data_root, tmp_path_factory.mktemp("finished"), "trainer.max_steps=2")
    run(config)
    return run_dir(config)


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    (tmp_path / "run").mkdir()
    for file in finished.iterdir():
        (tmp_path / "run" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "run"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The hub, with a token for it."""
    fake = FakeHub()
    monkeypatch.setattr(hub, "HfApi", lambda: fake)
    monkeypatch.setattr(hub, "get_token", lambda: "hf_secret")
    return fake


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The command."""

    def command(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["lnbench.export", *map(str, arguments)])
        main()

    return command


@pytest.mark.parametrize(("options", "private"), [([], None), (["--private"], True)])
def test_one_commit_has_all_that_is_shared(
    export: Callable[..., None],
    fake: FakeHub,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    private: bool | None,
) -> None:
    (folder / CARD).write_text("edited")
    export(folder, "--hub", "me/films", *options)
    (created, committed) = fake.calls
    assert created == ("create_repo", "me/films", private)
    assert committed[:2] == ("create_commit", "me/films")
    assert fake.content == {name: (folder / name).read_bytes() for name in SHARED}
    assert fake.content[CARD] == b"edited"
    out = capsys.readouterr().out
    assert f"sending to me/films: {', '.join(SHARED)}\n" in out
    assert "sent: https://hub/me/films/commit/1\n" in out
    assert "hf_secret" not in out


def test_an_adapter_for_peft_goes_with_it(
    export: Callable[..., None], fake: FakeHub, folder: Path, tmp_path: Path
) -> None:
    export(folder, "--hub", "me/films", "--peft", tmp_path / "adapter", "--head", "beside")
    assert fake.content.keys() == {*SHARED, peft_format.CONFIG, peft_format.WEIGHTS, HEAD_FILE}
    assert fake.content[peft_format.WEIGHTS] == (tmp_path / "adapter" / peft_format.WEIGHTS).read_bytes()


def test_a_run_without_a_card_gets_one(export: Callable[..., None], fake: FakeHub, folder: Path) -> None:
    card = (folder / CARD).read_bytes()
    (folder / CARD).unlink()
    export(folder, "--hub", "me/films")
    assert fake.content[CARD] == card


@pytest.mark.parametrize(
    "name", ["films", "me/my/films", "/films", "me/", "me/-films", "me/fi lms", "me/films.git", "é/a"]
)
def test_a_name_is_checked_before_anything_is_sent(
    export: Callable[..., None], fake: FakeHub, folder: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(SystemExit, match="must be USER/NAME"):
        export(folder, "--hub", name, "--peft", tmp_path / "adapter")
    assert not fake.calls
    assert not (tmp_path / "adapter").exists()


def test_without_a_token_it_says_how_to_get_one(
    export: Callable[..., None], fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "get_token", lambda: None)
    with pytest.raises(SystemExit, match="set HF_TOKEN, or log in with: hf auth login"):
        export(folder, "--hub", "me/films")
    assert not fake.calls


@pytest.mark.parametrize(("name", "message"), [(METRICS, "is not what the run wrote"), (RECORD, "has no record.json")])
def test_what_is_not_a_whole_run_is_not_sent(
    export: Callable[..., None], fake: FakeHub, folder: Path, name: str, message: str
) -> None:
    if name == RECORD:
        (folder / name).unlink()
    else:
        (folder / name).write_text("")
    with pytest.raises(SystemExit, match=message):
        export(folder, "--hub", "me/films")
    assert not fake.calls


def test_a_refusal_is_a_message(
    export: Callable[..., None], fake: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("403 Forbidden")

    monkeypatch.setattr(fake, "create_repo", refuse)
    with pytest.raises(SystemExit, match=r"'me/films': could not be uploaded \(403 Forbidden\)"):
        export(folder, "--hub", "me/films")


def test_private_alone_is_refused(
    export: Callable[..., None], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        export(folder, "--peft", folder / "adapter", "--private")
    assert "--private: only with --hub" in capsys.readouterr().err


@pytest.mark.parametrize("revision", [None, "1234abc"])
def test_it_is_loaded_back_by_its_name(finished: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None) -> None:
    asked: list[tuple[str, str | None, list[str]]] = []

    def snapshot(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        return str(finished)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    tuned = lnbench.load("me/films", revision)
    assert asked == [("me/films", revision, [CONFIG, ADAPTER, RECORD])]
    assert tuned.predict(TEXTS) == lnbench.load(finished).predict(TEXTS)


def test_a_folder_goes_before_a_repository(finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: pytest.fail("must not be asked"))
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "films").symlink_to(finished)
    monkeypatch.chdir(tmp_path)
    assert lnbench.load("me/films").predict(TEXTS)


def test_a_name_that_is_nowhere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("404 Client Error.\nmore")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(HubError, match=r"^runs/nothing: is no folder here, .* \(404 Client Error\.\)$"):
        lnbench.load("runs/nothing")


def test_paths_are_not_taken_for_repositories() -> None:
    assert not any(map(is_repository, ["/nowhere", "../films", "./films", "a/b/c", "films", "me/films/"]))
    assert is_repository("me/films")
    assert is_repository("gpt2", needs_owner=False)
