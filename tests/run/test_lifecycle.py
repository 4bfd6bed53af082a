import errno
import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

import lnbench
from lnbench.config.run import RunConfig
from lnbench.core import atomic_files
from lnbench.core.errors import CheckpointError, DataError
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import read_sealed, write_sealed
from lnbench.exchange.card import model_card
from lnbench.exchange.tuned import load
from lnbench.records.failure import RunFailed, describe, read_failure, write_failure
from lnbench.records.files import (
    ADAPTER,
    CARD,
    CHECKPOINTS,
    CONFIG,
    DAMAGED,
    FAILURE,
    METRICS,
    PREDICTIONS,
    RECORD,
    RESUME,
)
from lnbench.records.finished import Finished
from lnbench.records.identity import run_dir, run_id
from lnbench.records.listing import find_runs, look_at
from lnbench.records.lock import LOCKS, RunBusy, hold
from lnbench.records.record import read_record
from lnbench.run.lifecycle import run
from lnbench.tasks.data.load import load_data
from lnbench.training.module import TuningModule
from tests import runs
from tests.commands import Commands
from tests.conftest import Configure
from tests.records import many
from tests.training.interruption import interrupt
from tests.training.loggers.offline_wandb import isolate
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def undisturbed(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run that is finished; `finished` copies it."""
    config = runs.configure(sources["bert"], data_root, tmp_path_factory.mktemp("undisturbed") / "runs")
    run(config)
    return config


@pytest.fixture
def whole(undisturbed: RunConfig) -> dict[str, Any]:
    """What `configure()` must come out with, whatever happens to it."""
    return runs.results(undisturbed)


@pytest.fixture
def finished(configure: Configure, undisturbed: RunConfig) -> RunConfig:
    """The configuration of a finished run, which the test may damage."""
    config = configure()
    shutil.copytree(undisturbed.runs_dir, config.runs_dir)
    return config


def test_a_run_leaves_a_record_with_all_that_is_needed_to_judge_it(configure: Configure) -> None:
    config = configure("method=ln+prefix")
    record = run(config)
    assert read_record(run_dir(config)) == record
    assert record.id == run_id(config) == run_dir(config).name
    assert (record.method, record.task, record.model, record.seed) == ("ln+prefix", "sst2", "tiny", 0)
    assert record.score == record.metrics["validation"]["accuracy"] == record.selection.score
    assert set(record.metrics["test"]) == {"accuracy", "macro_f1", "mcc"}
    assert record.data.rows == {"train": 72, "validation": 24, "test": 32}
    assert record.parameters.by_part.keys() == {"ln", "prefix"}
    assert record.parameters.trained == sum(record.parameters.by_part.values())
    assert record.parameters.inserted == record.parameters.by_part["prefix"]
    assert record.parameters.head == 2 * 32 + 2
    assert record.cost.steps == 18
    assert 0 < record.cost.train_seconds < record.cost.total_seconds
    assert record.hardware["device"] == "cpu"
    assert record.hardware["precision"] == "32-true"
    assert record.started_at <= record.finished_at
    assert record.config == json.loads((run_dir(config) / CONFIG).read_text())


def test_a_run_leaves_what_it_should_and_nothing_else(undisturbed: RunConfig) -> None:
    config = undisturbed
    record = run(config)
    files = {file.name for file in run_dir(config).iterdir()}
    assert files == {ADAPTER, CARD, CONFIG, METRICS, PREDICTIONS, RECORD}
    size = sum(array.size for array in load_file(run_dir(config) / ADAPTER).values())
    assert size == record.parameters.trained + record.parameters.head + 2 * 32
    assert (run_dir(config) / ADAPTER).stat().st_size < 10_000
    lines = [json.loads(line) for line in (run_dir(config) / PREDICTIONS).read_text().splitlines()]
    right = sum(line["label"] == line["reference"] for line in lines)
    assert right / len(lines) == pytest.approx(record.metrics["test"]["accuracy"])


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model or data fails."""

    def fail(*_: Any) -> None:
        raise AssertionError("must not be loaded")

    for name in ("build_model", "load_data", "load_tokenizer"):
        monkeypatch.setattr(f"lnbench.run.execute.{name}", fail)


def test_a_finished_run_is_not_done_again(
    finished: RunConfig, configure: Configure, capsys: pytest.CaptureFixture[str], no_training: None
) -> None:
    record = read_record(run_dir(finished))
    before = contents(finished.runs_dir)
    assert run(configure("trainer.device=auto", "logger=wandb")) == record
    assert contents(finished.runs_dir) == before
    assert "finished already" in capsys.readouterr().out


def test_rerun_does_it_again(configure: Configure, finished: RunConfig, whole: dict[str, Any]) -> None:
    path = run_dir(finished) / RECORD
    content = read_sealed(path)
    write_sealed(path, {**content, "seed": 77})
    assert run(configure()).seed == 77
    assert runs.results(configure("rerun=true")) == whole
    assert run(configure()).seed == 0


@pytest.mark.usefixtures("finished")
def test_an_interrupted_rerun_goes_on(configure: Configure, whole: dict[str, Any]) -> None:
    config = configure("rerun=true")
    interrupt(config, "on_train_batch_end", 6)
    assert not (run_dir(config) / RECORD).exists()
    assert (run_dir(config) / RESUME).is_file()
    assert runs.results(config) == whole


def test_a_rerun_does_not_go_on_from_an_older_end(configure: Configure) -> None:
    config = configure()
    interrupt(config, "on_test_batch_end", 1)
    kept = contents(run_dir(config) / CHECKPOINTS)
    run(config)
    for file, content in kept.items():
        atomic_files.write_atomically(file, content)
    interrupt(configure("rerun=true"), "on_train_batch_end", 1)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "a flipped bit", "of another run"])
def test_a_damaged_record_is_not_trusted(
    finished: RunConfig, whole: dict[str, Any], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = run_dir(finished) / RECORD
    content = path.read_bytes()
    flipped = content.replace(b'"steps": 18', b'"steps": 19')
    if damage == "of another run":
        write_sealed(path, {**read_sealed(path), "id": "0123456789ab"})
    else:
        path.write_bytes({"truncated": content[:100], "garbage": os.urandom(99), "a flipped bit": flipped}[damage])
    damaged = {file.name: content for file, content in contents(run_dir(finished)).items()}
    assert runs.results(finished) == whole
    kept = finished.runs_dir / DAMAGED / run_dir(finished).relative_to(finished.runs_dir)
    assert {file.name: content for file, content in contents(kept).items()} == damaged
    (warning,) = caplog.records
    assert warning.getMessage().startswith(f"{path}: ")
    assert warning.getMessage().endswith("; running again")
    caplog.clear()
    record = run(finished)
    assert read_record(run_dir(finished)) == record
    assert not caplog.records


def test_a_run_that_is_damaged_again_is_kept_each_time(configure: Configure) -> None:
    config = configure("trainer.max_steps=1")
    for note in ("one", "two"):
        run(config)
        (run_dir(config) / RECORD).write_text(note)
    run(config)
    kept = run_dir(config).relative_to(config.runs_dir)
    found = [run.folder.name for run in find_runs(config.runs_dir / DAMAGED)]
    assert found == [kept.name, f"{kept.name}-2"]
    assert [(config.runs_dir / DAMAGED / kept.with_name(name) / RECORD).read_text() for name in found] == ["one", "two"]
    assert [run.state for run in find_runs(config.runs_dir)] == ["finished"]


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_loaded(
    configure: Configure, tmp_path: Path, no_training: None
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=rf"^runs_dir = '{tmp_path}/file/x': cannot be written .*choose another"):
        run(configure(f"runs_dir={tmp_path}/file/x"))


@pytest.mark.parametrize("search", ["none", "lr"])
@pytest.mark.parametrize("name", [RECORD, PREDICTIONS, ADAPTER, METRICS, FAILURE, CONFIG, CARD, RESUME])
def test_a_folder_in_place_of_a_file_is_told_before_anything_is_loaded(
    configure: Configure, no_training: None, name: str, search: str
) -> None:
    config = configure(f"search={search}")
    (run_dir(config) / name).mkdir(parents=True)
    with pytest.raises(
        ConfigError, match=rf"^{run_dir(config) / name}: is a folder, and the run needs a file of that name; move or "
    ):
        run(config)
    assert (run_dir(config) / name).is_dir()


@pytest.mark.parametrize("name", [".", CHECKPOINTS])
def test_a_file_in_place_of_a_folder_is_told_before_anything_is_loaded(
    configure: Configure, no_training: None, name: str
) -> None:
    config = configure()
    path = run_dir(config) / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(ConfigError, match=rf"^{path}: is a file, and the run needs a folder of that name"):
        run(config)
    assert path.read_text() == "mine"


REMEDIES = {
    errno.ENOSPC: "make room there, and the same command goes on from the last saved state, or choose another",
    errno.EACCES: "give yourself the right to write there, or choose another",
    errno.EROFS: "let its file system be written, or choose another",
    errno.EIO: "choose another",
}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *((name, number) for name in (".lock", CONFIG) for number in REMEDIES),
        (RECORD, errno.ENOSPC),
        (RECORD, errno.EROFS),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_with_what_helps(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    config = configure("trainer.max_steps=1")
    replace, error = os.replace, OSError(number, os.strerror(number))

    def deny(source: Path, target: Path) -> None:
        if target.name == name:
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", deny)
    if name == ".lock":
        monkeypatch.setattr("lnbench.run.lifecycle.hold", Broken(error))
    told = f"runs_dir = '{config.runs_dir}': cannot be written ({os.strerror(number)}); {REMEDIES[number]} runs_dir="
    with pytest.raises((ConfigError, RunFailed), match=re.escape(told)) as caught:
        run(config)
    assert "make room" not in str(caught.value) or number == errno.ENOSPC


def test_a_device_that_is_not_there_is_told_before_anything_is_loaded(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, no_training: None, runs_dir: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^trainer.device = 'gpu'"):
        run(configure("trainer.device=gpu"))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    with pytest.raises(ConfigError, match=r"^trainer.precision = 'bf16'"):
        run(configure("trainer.precision=bf16"))
    assert [entry.name for entry in runs_dir.iterdir()] == [LOCKS]


def test_bf16_on_a_cpu_that_has_it_is_taken(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    record = run(configure("trainer.precision=bf16", "trainer.max_steps=1"))
    assert record.hardware["precision"] == "bf16-mixed"


@pytest.mark.parametrize("name", ["metrics.csv", "best.safetensors", "resume.safetensors", ADAPTER, RECORD])
def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    configure: Configure, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = configure()
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if f".{name}." in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            RunFailed, match=r"runs_dir = .*No space left on device.*the same command goes on"
        ) as failed:
            run(config)
    assert failed.value.cause == "disk"
    files = {file.name for file in run_dir(config).rglob("*") if file.is_file()}
    assert not {file for file in files if file.endswith(".tmp")}
    assert name not in files
    assert RECORD not in files
    assert runs.results(config) == whole


class Broken:
    """Stands for a function that fails with what nobody foresaw."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or ConfigError("task.low = '???': is missing")

    def __call__(self, *_: Any, **__: Any) -> None:
        raise self.error


@pytest.mark.parametrize("error", [None, OSError(errno.ENOSPC, "No space left on device"), UnicodeEncodeError])
def test_a_card_that_cannot_be_written_costs_no_record(
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    commands: Commands,
    error: Any,
) -> None:
    config = configure("trainer.max_steps=2")
    broken = error("ascii", "é", 0, 1, "ordinal not in range") if error is UnicodeEncodeError else error
    with monkeypatch.context() as patch:
        patch.setattr("lnbench.run.execute.write_card", Broken(broken))
        record = run(config)
    folder = run_dir(config)
    assert read_record(folder) == record
    assert not (folder / CARD).exists()
    (warning,) = [line.getMessage() for line in caplog.records]
    command = f"python -m lnbench.export {folder} --card"
    assert warning.startswith(f"{folder / CARD}: {type(Broken(broken).error).__name__}: ")
    assert warning.endswith(f"; the run is finished all the same; {command}")
    assert commands.export(*shlex.split(command)[3:]).out == f"written to {folder / CARD}\n"
    assert (folder / CARD).read_text() == model_card(record)


@pytest.mark.parametrize(
    "place",
    ["lnbench.training.loggers.wandb_log.summary_values", "lnbench.training.loggers.run_logger.RunLogger.log_results"],
)
def test_wandb_costs_no_record(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, place: str, tmp_path: Path
) -> None:
    isolate(monkeypatch, tmp_path / "wandb")
    config = configure("trainer.max_steps=2", "logger=wandb", "logger.wandb.mode=offline")
    monkeypatch.setattr(place, Broken(ZeroDivisionError("oops")))
    assert read_record(run_dir(config)) is None
    record = run(config)
    assert read_record(run_dir(config)) == record
    assert (run_dir(config) / CARD).is_file()


def test_a_screen_that_is_gone_costs_no_record(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure("trainer.max_steps=2")
    monkeypatch.setattr("lnbench.run.messages.show_finished", Broken(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    record = run(config)
    assert read_record(run_dir(config)) == record


@pytest.mark.parametrize("change", [{"colour": "red"}, {"format": 2}, {"format": "2.1"}])
@pytest.mark.parametrize("name", [RECORD, FAILURE])
@pytest.mark.parametrize("override", ["rerun=false", "rerun=true", "retry_failed=true"])
def test_what_a_newer_lnbench_left_is_never_overwritten(
    configure: Configure, no_training: None, name: str, change: dict[str, Any], override: str
) -> None:
    config = configure(override)
    if name == RECORD:
        many.finish(config)
    else:
        write_failure(describe(config, "error", "it broke"), many.begin(config))
    path = run_dir(config) / name
    write_sealed(path, {**read_sealed(path), **change})
    before = contents(run_dir(config))
    with pytest.raises(
        ConfigError, match=rf"^{path}: was written by a newer lnbench, .*; the file is kept: use a newer"
    ):
        run(config)
    assert contents(run_dir(config)) == before


@pytest.mark.parametrize("name", [RECORD, FAILURE])
def test_a_run_of_a_newer_lnbench_is_not_loaded(configure: Configure, name: str) -> None:
    config = configure("trainer.max_steps=2")
    run(config)
    if name == FAILURE:
        write_failure(describe(config, "error", "it broke"), run_dir(config))
    path = run_dir(config) / name
    write_sealed(path, {**read_sealed(path), "colour": "red"})
    with pytest.raises(ConfigError, match=rf"^{path}: was written by a newer lnbench, .* does not know its colour"):
        load(run_dir(config))


def test_a_state_that_a_newer_lnbench_saved_is_kept_for_it(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    with monkeypatch.context() as patch:
        patch.setattr("lnbench.training.fit.STATE_FORMAT", 99)
        patch.setattr("lnbench.training.callbacks.resume_point.__version__", "9.1.0")
        interrupt(config, "on_train_batch_end", 6)
    kept = contents(run_dir(config) / CHECKPOINTS)
    with pytest.raises(
        ConfigError, match=rf"^{run_dir(config) / RESUME}: was written by lnbench 9\.1\.0, .* format 99"
    ):
        run(config)
    assert contents(run_dir(config) / CHECKPOINTS) == kept
    assert look_at(run_dir(config), config.runs_dir).state == "interrupted"


INPUT = {
    "a hub that is away": ConnectionError("the hub is away"),
    "a file that went": FileNotFoundError(errno.ENOENT, "No such file", "model.safetensors"),
    "weights that are cut": SafetensorError("invalid header"),
    "a bug of a reader": AttributeError("'NoneType' object has no attribute 'shape'"),
    "a token that the model does not have": IndexError("index out of range in self"),
}


@pytest.mark.parametrize("name", INPUT)
@pytest.mark.parametrize("place", ["load_data", "build_model", "load_tokenizer"])
def test_what_goes_wrong_while_model_and_data_are_read_does_not_last(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    config, error = configure(), INPUT[name]
    for reader in ("load_data", "build_model", "load_tokenizer", "check_vocabulary"):
        monkeypatch.setattr(
            f"lnbench.run.execute.{reader}",
            Broken(error) if reader == place else lambda *_: SimpleNamespace(highest_token=0),
        )
    with pytest.raises(RunFailed, match=re.escape(f"{type(error).__name__}: {error}")) as failed:
        run(config)
    assert failed.value.cause == "refused"
    failure = read_failure(run_dir(config))
    assert failure
    assert (failure.lasts, failure.message) == (False, f"{type(error).__name__}: {error}")
    assert "raise self.error" in failure.traceback
    monkeypatch.setattr("lnbench.run.execute.load_tokenizer", Broken(ConfigError("it is tried again")))
    with pytest.raises(ConfigError, match="it is tried again"):
        run(config)


def test_labels_that_the_model_does_not_have_do_not_last(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure("trainer.max_steps=2")

    def damaged(*arguments: Any) -> Any:
        data = load_data(*arguments)
        data.train.labels[:] = 7
        return data

    with monkeypatch.context() as patch:
        patch.setattr("lnbench.run.execute.load_data", damaged)
        with pytest.raises(RunFailed, match=r"IndexError: .* out of bounds") as failed:
            run(config)
    assert failed.value.cause == "refused"
    record = run(config)
    assert read_record(run_dir(config)) == record


def test_saved_values_that_are_damaged_while_training_do_not_last(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure("trainer.max_steps=2")
    with monkeypatch.context() as patch:
        patch.setattr(TuningModule, "load_best", Broken(CheckpointError("best.safetensors: is damaged")))
        with pytest.raises(RunFailed) as failed:
            run(config)
    assert failed.value.cause == "refused"
    record = run(config)
    assert read_record(run_dir(config)) == record


def test_an_error_that_is_not_the_disks_is_not_blamed_on_it(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lnbench.run.execute.load_data", Broken(ConnectionError("the hub is away")))
    with pytest.raises(RunFailed, match="ConnectionError: the hub is away"):
        run(configure())


def break_training(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Makes the third training step fail."""
    step = TuningModule.training_step

    def breaking(self: TuningModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if batch_idx == 2:
            raise error
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TuningModule, "training_step", breaking)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ZeroDivisionError("oops"), "error"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (MemoryError("no memory"), "out of memory"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:13] DefaultCPUAllocator: can't allocate memory"),
            "out of memory",
        ),
    ],
)
def test_a_failure_is_recorded_and_tried_again_on_request(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: str
) -> None:
    config = configure("trainer.max_steps=3")
    with monkeypatch.context() as patch:
        break_training(patch, error)
        with pytest.raises(RunFailed):
            run(config)
    failure = read_failure(run_dir(config))
    assert failure
    assert (failure.id, failure.cause, failure.method, failure.seed) == (run_id(config), cause, "ln", 0)
    assert failure.message == f"{type(error).__name__}: {error}"
    assert failure.traceback.startswith("Traceback")
    assert "training_step" in failure.traceback
    assert failure.config == config.to_dict()
    with pytest.raises(RunFailed, match=rf"\({cause}\): .*; at 20.*, retry_failed=true tries .*{FAILURE}"):
        run(config)
    run(configure("trainer.max_steps=3", "retry_failed=true"))
    assert not (run_dir(config) / FAILURE).exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_a_number_ends_the_run(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    config = configure()
    step = TuningModule.training_step
    monkeypatch.setattr(
        TuningModule,
        "training_step",
        lambda self, batch, index: step(self, batch, index) * (value if self.global_step == 5 else 1.0),
    )
    with pytest.raises(
        RunFailed, match=r"Diverged: the loss is not finite at step 6; learning rates there: 0\.0"
    ) as failed:
        run(config)
    assert failed.value.cause == "diverged"
    assert not (run_dir(config) / CHECKPOINTS).exists()


def test_a_trained_value_that_is_not_a_number_ends_the_run(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(self: TuningModule, *_: Any) -> None:
        if self.global_step == 4:
            next(iter(self.model.trained().values())).data.fill_(math.nan)

    monkeypatch.setattr(TuningModule, "on_validation_start", spoil, raising=False)
    monkeypatch.setattr(TuningModule, "on_train_batch_end", spoil)
    with pytest.raises(RunFailed, match="is not finite at step 4"):
        run(configure())


def test_a_run_that_another_process_does_is_left_to_it(configure: Configure, no_training: None) -> None:
    config = configure()
    with hold(config.runs_dir, run_id(config)), pytest.raises(RunBusy, match=rf"process {os.getpid()} on .* since 20"):
        run(config)


def test_a_record_that_another_process_left_meanwhile_is_taken(
    configure: Configure, undisturbed: RunConfig, monkeypatch: pytest.MonkeyPatch, no_training: None
) -> None:
    record = read_record(run_dir(undisturbed))
    assert record
    looks = iter([None, Finished(record, run_dir(undisturbed))])
    monkeypatch.setattr("lnbench.run.lifecycle.finished_run", lambda _: next(looks))
    assert run(configure()) == record


@pytest.mark.parametrize("name", [ADAPTER, PREDICTIONS, METRICS])
def test_a_run_whose_files_are_damaged_is_done_again(
    finished: RunConfig, whole: dict[str, Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = run_dir(finished) / name
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    assert runs.results(finished) == whole
    kept = finished.runs_dir / DAMAGED / run_dir(finished).relative_to(finished.runs_dir)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: is not what the run wrote; its checksum does not fit the record; its folder is kept as {kept}; "
        f"running again"
    ]
    assert (kept / name).read_bytes() == content


def test_a_run_that_is_refused_says_why_and_is_tried_again(configure: Configure, tmp_path: Path) -> None:
    config = configure(f"data_root={tmp_path}/data")
    (tmp_path / "data" / "sst2").mkdir(parents=True)
    with pytest.raises(DataError, match="has no split") as refusal:
        run(config)
    found = look_at(run_dir(config), config.runs_dir)
    assert (found.state, found.reason) == ("failed", f"refused: {refusal.value}")
    runs.write_data(tmp_path / "data")
    interrupt(config, "on_train_batch_end", 3)
    assert look_at(run_dir(config), config.runs_dir).state == "interrupted"
    run(config)
    assert look_at(run_dir(config), config.runs_dir).state == "finished"


def test_a_run_that_was_begun_and_is_then_refused_can_still_go_on(
    configure: Configure, whole: dict[str, Any], tmp_path: Path
) -> None:
    config = configure(f"data_root={runs.write_data(tmp_path / 'data')}")
    interrupt(config, "on_train_batch_end", 6)
    file = tmp_path / "data" / "sst2" / "train.jsonl"
    content = file.read_text()
    file.write_text("{")
    with pytest.raises(DataError):
        run(config)
    assert look_at(run_dir(config), config.runs_dir).state == "interrupted"
    file.write_text(content)
    assert runs.results(config) == whole


def test_a_try_that_is_refused_before_it_begins_leaves_an_earlier_failure(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    with monkeypatch.context() as patch:
        break_training(patch, ZeroDivisionError("oops"))
        with pytest.raises(RunFailed):
            run(config)
    failure = read_failure(run_dir(config))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^trainer.device = 'gpu'"):
        run(configure("retry_failed=true", "trainer.device=gpu"))
    assert failure
    assert read_failure(run_dir(config)) == failure


class Cli:
    """`python -m lnbench` in a process of its own, where every warning is an error."""

    def __init__(self, overrides: list[str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lnbench", *overrides],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(Path(lnbench.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Cli":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str, str]:
        """Exit code and output, once it has ended."""
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


LONGER = ("trainer.max_epochs=25", "trainer.validate_every=25")


@pytest.fixture
def command(sources: dict[str, Path], data_root: Path, runs_dir: Path) -> list[str]:
    """Overrides of a run of a few seconds."""
    return runs.overrides(sources["bert"], data_root, runs_dir, *LONGER)


@pytest.mark.slow
def test_ctrl_c_ends_with_its_exit_code_and_the_same_command_goes_on(
    command: list[str], configure: Configure, commands: Commands, tmp_path: Path
) -> None:
    config = configure(*LONGER)
    folder = run_dir(config)
    with Cli(command, tmp_path) as cli:
        wait_for(lambda: (folder / METRICS).exists() or cli.process.poll() is not None)
        cli.process.send_signal(signal.SIGINT)
        code, out, err = cli.end()
    assert code == 130
    assert f"The same command goes on from the state that is saved in {folder}" in out
    assert "Traceback" not in err
    assert "Press Ctrl-C again" in err
    again, out, err = commands.lnbench(*command)
    assert (again, err) == (0, "")
    assert str(folder) in out
    record = read_record(folder)
    assert record
    assert record.cost.steps == 225
    assert run(config) == record, "it is not done again"
    whole = runs.results(configure(*LONGER, f"runs_dir={tmp_path}/whole"))
    assert record.metrics == whole["metrics"]


def test_a_mistake_found_late_is_a_message_without_a_traceback(
    command: list[str], tmp_path: Path, commands: Commands
) -> None:
    code, _, err = commands.lnbench(*command, f"model.source={tmp_path}/nowhere")
    assert code == 2
    assert err.startswith(f"model.source = '{tmp_path}/nowhere': there is no such folder, and")
    assert "Traceback" not in err
