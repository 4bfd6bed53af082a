import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lnbench.config.run import RunConfig
from lnbench.core.errors import ProcessKilled
from lnbench.core.interruption import RunInterrupted
from lnbench.core.schema import ConfigError
from lnbench.records.files import ADAPTER, METRICS, PREDICTIONS, RESUME
from lnbench.records.identity import address_of, run_dir, run_id
from lnbench.records.record import read_record
from lnbench.run.lifecycle import run
from lnbench.run.sharded import run_rank
from lnbench.tasks.tokens.examples import IGNORED
from lnbench.training.batching import in_pieces
from lnbench.training.sharded.processes import ProcessTraceback, run_in_processes
from lnbench.training.sharded.sharding import own_part
from tests import runs
from tests.commands import Commands
from tests.conftest import Configure
from tests.forking import Forking, Program
from tests.tiny import ARCHITECTURES
from tests.training.interruption import AtCall, inject, send
from tests.training.test_fit import without_dropout
from tests.training.together import fail_in, wait_for_signal

CALM = ("+model.dropout=0.0", "trainer.lr=0.003", "trainer.max_epochs=1")
"""AdamW takes a whole step where rounding alone makes a gradient; small steps keep that small."""
UNEVEN = "trainer.batch_size=7"
"""72 rows in batches of 7 for 2 processes: 4 rows and 3, and a last batch of 2 rows."""
METHODS = ["prefix", "full", "adapter+ln+lora+prefix", "lora_xs+oft+svft+vera", "adapter+lora+prefix+unipelt"]
SETTINGS = [
    ("method=ln", "trainer.batch_size=71"),  # one row is left for the last batch, and none for rank 1
    ("method=ln+lora", UNEVEN, "trainer.accumulate=3", "trainer.validate_every=3"),
    ("method=ln+adapter", "trainer.gradient_checkpointing=true"),
    ("method=ln", "trainer.patience=1", "trainer.validate_every=2"),
    ("method=lora_all", "method.lora_all.dora=true", "method.lora_all.pissa=true", "method.lora_all.lr_ratio=4"),
]


@pytest.fixture(scope="module")
def calm(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the tiny models, without dropout, whose masks depend on which process draws them."""
    return {name: without_dropout(source, tmp_path_factory.mktemp("calm") / name) for name, source in sources.items()}


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a run are forked."""
    monkeypatch.setattr("lnbench.training.sharded.processes.multiprocessing.get_context", lambda _: Forking())


class Pair:
    """The same run on one device and on two."""

    def __init__(self, source: Path, data_root: Path, runs_dir: Path, *overrides: str) -> None:
        self.one, self.two = (
            runs.configure(source, data_root, runs_dir / str(count), f"trainer.devices={count}", *CALM, *overrides)
            for count in (1, 2)
        )


def do_all(configs: Sequence[RunConfig]) -> None:
    """Several runs in the same processes, which are slow to start."""
    for config in configs:
        run_rank(config, address_of(config), None)


def what_matters(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The trained values without the biases of keys, which attention ignores, so that rounding alone moves them."""
    values = load_file(folder / ADAPTER)
    for name in values:
        if name.endswith("key.bias"):
            values[name] = np.zeros(0)
        elif name.endswith("c_attn.bias"):
            query, _, value = np.split(values[name], 3)
            values[name] = np.concatenate([query, value])
    return values


def check_equal(one: RunConfig, two: RunConfig) -> None:
    """Two runs have left the same, up to rounding."""
    folders = [run_dir(config) for config in (one, two)]
    records = [read_record(folder) for folder in folders]
    assert records[0]
    assert records[1]
    assert records[0].metrics == records[1].metrics
    assert records[0].cost.steps == records[1].cost.steps
    adapters = [what_matters(folder) for folder in folders]
    assert adapters[0].keys() == adapters[1].keys()
    for name, expected in adapters[0].items():
        np.testing.assert_allclose(adapters[1][name], expected, rtol=0, atol=1e-5, err_msg=name)
    histories = [np.genfromtxt(folder / METRICS, delimiter=",", skip_header=1) for folder in folders]
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4, atol=1e-5)
    files = [{path.name for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    assert len((folders[1] / PREDICTIONS).read_text().splitlines()) == 32


@pytest.mark.slow
def test_a_sharded_run_equals_the_run_on_one_device(
    calm: dict[str, Path], sources: dict[str, Path], data_root: Path, tmp_path: Path
) -> None:
    cases: list[tuple[str, tuple[str, ...]]]
    cases = [(name, (f"method={method}", UNEVEN)) for name in ARCHITECTURES for method in METHODS]
    cases += [("bert", settings) for settings in SETTINGS]
    pairs = [Pair(calm[name], data_root, tmp_path, *settings, f"model.name={name}") for name, settings in cases]
    no_mask_left = ("method=head", "trainer.frozen_dropout=false", "trainer.max_epochs=2", UNEVEN)
    pairs.append(Pair(sources["bert"], data_root, tmp_path, *no_mask_left))
    run_in_processes(do_all, 2, False, [pair.two for pair in pairs])
    for pair in pairs:
        run(pair.one)
        check_equal(pair.one, pair.two)
        record = read_record(run_dir(pair.two))
        assert record
        assert record.hardware["devices"] == 2
        assert record.id == run_id(pair.one)


def do_interrupted(config: RunConfig) -> None:
    """A run of which one process, not that which writes the files, gets a signal."""
    with pytest.MonkeyPatch.context() as patch:
        if torch.distributed.get_rank() == 1:
            inject(patch, AtCall("on_train_batch_end", 6, send))
        run_rank(config, address_of(config), None)


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_an_interrupted_run_goes_on_on_any_number_of_devices(
    calm: dict[str, Path], data_root: Path, tmp_path: Path
) -> None:
    pair = Pair(calm["bert"], data_root, tmp_path, "method=ln+prefix", UNEVEN)
    run(pair.one)
    with pytest.raises(RunInterrupted):
        run_in_processes(do_interrupted, 2, False, pair.two)
    assert (run_dir(pair.two) / RESUME).is_file()
    copy = pair.two.model_copy(update={"runs_dir": tmp_path / "copy"})
    shutil.copytree(pair.two.runs_dir, copy.runs_dir)
    run_in_processes(do_all, 2, False, [pair.two])
    check_equal(pair.one, pair.two)
    on_one = copy.model_copy(update={"trainer": pair.one.trainer})
    run(on_one)
    check_equal(pair.one, on_one)


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_what_one_process_raises_ends_all() -> None:
    with pytest.raises(ConfigError, match=r"^seed = 7: is unlucky$") as error:
        run_in_processes(fail_in, 2, False, 1, None)
    assert isinstance(error.value.__cause__, ProcessTraceback)
    assert "in fail_in" in str(error.value.__cause__)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_killed_process_ends_all(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProcessKilled, match=rf"^one of 2 processes was killed by {number.name}$"):
        run_in_processes(fail_in, 2, False, 1, number)
    assert ("in fail_in" in capfd.readouterr().err) == (number == signal.SIGABRT), "a crash shows its place"


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, RunInterrupted)])
def test_signals_are_passed_on(tmp_path: Path, number: signal.Signals, raised: type[BaseException]) -> None:
    def send_when_all_are_there() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.02)
        send(number)

    before = signal.getsignal(number)
    thread = threading.Thread(target=send_when_all_are_there, daemon=True)
    thread.start()
    with pytest.raises(raised):
        run_in_processes(wait_for_signal, 2, False, tmp_path)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
@pytest.mark.parametrize("per_token", [False, True])
def test_shares_add_up_to_the_mean_over_the_batch(rows: int, per_token: bool) -> None:
    generator = torch.Generator().manual_seed(rows)
    labels = torch.randint(3, (rows, 4) if per_token else (rows,), generator=generator)
    if per_token:
        labels[torch.rand(labels.shape, generator=generator) < 0.4] = IGNORED
        labels[:, 0] = 1
    logits = torch.randn(*labels.shape, 3, generator=generator)

    def loss(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(batch["logits"].flatten(0, -2), batch["labels"].flatten())

    batch = {"logits": logits, "labels": labels}
    parts = [{name: tensor[start : start + 3] for name, tensor in batch.items()} for start in range(0, rows, 3)]
    shares = [own_part(piece, rank, 3) for piece in in_pieces(parts) for rank in range(3)]
    assert all(len(part["labels"]) for part, _ in shares)
    total = torch.stack([weight * loss(part) for part, weight in shares]).sum()
    torch.testing.assert_close(total, loss(batch))


def test_the_number_of_devices_leaves_the_identity(configure: Configure) -> None:
    assert run_id(configure("trainer=fsdp", "trainer.devices=2")) == run_id(configure())


def test_more_devices_than_there_are_is_refused(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^trainer.devices = 'all': this machine has no usable CUDA device"):
        run(configure("trainer=fsdp", "trainer.device=cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"^trainer.devices = 3: this machine has 2 usable CUDA devices"):
        run(configure("trainer.device=gpu", "trainer.devices=3"))


def test_a_part_that_looks_at_data_first_is_refused(configure: Configure) -> None:
    with pytest.raises(ConfigError, match=r"^method = fisher_ln\+lora: 'fisher_ln' needs the whole model"):
        run(configure("method=fisher_ln+lora", "trainer.devices=2"))


def test_a_sharded_run_in_a_sweep_is_refused(
    sources: dict[str, Path], data_root: Path, runs_dir: Path, commands: Commands
) -> None:
    command = runs.overrides(sources["bert"], data_root, runs_dir, "trainer.devices=2")
    check_told_once(*commands.lnbench(*command, "-m"), "trainer.devices = 2: in a sweep every run has one device")


@pytest.mark.slow
def test_a_mistake_that_all_processes_find_is_told_once(
    sources: dict[str, Path], data_root: Path, runs_dir: Path, tmp_path: Path
) -> None:
    command = runs.overrides(sources["bert"], data_root, runs_dir, "trainer.devices=2", "model.source=/nowhere")
    out, err = tmp_path / "out", tmp_path / "err"
    program = Program([sys.executable, "-m", "lnbench", *command], os.environ, tmp_path, out, err)
    check_told_once(
        program.wait(), out.read_text(), err.read_text(), "model.source = '/nowhere': there is no such folder, and"
    )


def check_told_once(code: object, out: str, err: str, message: str) -> None:
    assert code == 2
    assert err.startswith(message)
    assert err.count(message) == 1
    assert "Traceback" not in err
