import os
from pathlib import Path

import pytest
import wandb

from lnbench.config import RunConfig
from lnbench.records.identity import run_dir, run_id
from lnbench.run import run
from lnbench.training.logger import open_logger
from tests.conftest import Configure
from tests.training.interruption import AtCall, inject, interrupt


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is logged in."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")


def offline_runs(config: RunConfig) -> list[Path]:
    """The files that `wandb sync` takes."""
    return sorted(run_dir(config).glob(f"wandb/offline-run-*/run-{run_id(config)}.wandb"))


def test_without_a_key_the_run_is_kept_offline(configure: Configure) -> None:
    config = configure("logger=wandb")
    score = run(config).metrics["test"]["accuracy"]
    assert wandb.run is None
    (file,) = offline_runs(config)
    content = file.read_bytes()
    for text in (
        b"train/loss",
        b"validation/accuracy",
        b"test/accuracy",
        str(score).encode(),
        b"ln/sst2",
        b"ln-sst2-0",
    ):
        assert text in content
    assert "WANDB_MODE" not in os.environ


def test_a_failure_closes_the_run(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure("logger=wandb")

    def fail() -> None:
        raise ZeroDivisionError

    inject(monkeypatch, AtCall("on_train_batch_end", 3, fail))
    with pytest.raises(ZeroDivisionError):
        run(config)
    assert wandb.run is None
    assert len(offline_runs(config)) == 1


def test_an_interrupt_closes_the_run(configure: Configure) -> None:
    config = configure("logger=wandb")
    interrupt(config, "on_train_batch_end", 3)
    assert wandb.run is None
    assert len(offline_runs(config)) == 1


@pytest.mark.parametrize(
    ("asked", "variable", "key", "mode"),
    [
        ("auto", None, False, "offline"),
        ("auto", None, True, "online"),
        ("auto", "disabled", True, "disabled"),
        ("online", None, False, "online"),
        ("offline", None, True, "offline"),
    ],
)
def test_the_mode_follows_the_configuration_then_the_key(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, asked: str, variable: str | None, key: bool, mode: str
) -> None:
    monkeypatch.setattr(wandb, "login", lambda **_: key)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    config = configure("logger=wandb", f"logger.wandb.mode={asked}")
    with open_logger(config, run_dir(config)) as logger:
        assert logger is not None
        settings = logger._wandb_init
    assert settings["mode"] == mode
    assert settings["id"] == run_id(config)
    assert settings["resume"] == ("allow" if mode == "online" else None)


def test_without_a_logger_there_is_none(configure: Configure) -> None:
    config = configure()
    with open_logger(config, run_dir(config)) as logger:
        assert logger is None
