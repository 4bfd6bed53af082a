import json
import subprocess
import sys

import pytest

from lnbench.config.run import validate
from lnbench.core.schema import Later, Schema
from lnbench.records import identity
from lnbench.records.identity import ID_LENGTH, run_dir, run_id
from tests.conftest import Configure


@pytest.mark.parametrize(
    "override",
    [
        "runs_dir=/elsewhere",
        "cache_dir=/elsewhere",
        "logger=wandb",
        "logger=mlflow+tensorboard",
        "rerun=true",
        "retry_failed=true",
        "trainer.device=auto",
        "trainer.devices=2",
        "trainer.on_oom=halve",
        "trainer.progress=true",
        "trainer.checkpoint_minutes=1",
        "method=ln",
    ],
)
def test_what_cannot_change_the_numbers_leaves_the_identity(configure: Configure, override: str) -> None:
    assert run_id(configure(override)) == run_id(configure())


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "model.name=other",
        "model.source=/elsewhere",
        "model.pooling=first",
        "method=bitfit",
        "method=ln+prefix",
        "method.ln.lr=0.5",
        "method.ln.terms=[gain]",
        "method.ln.layers=1",
        "task=cola",
        "task.metric=mcc",
        "task.max_length=24",
        "task.splits.validation_fraction=0.3",
        "task.source.folder=other",
        "trainer.batch_size=4",
        "trainer.eval_batch_size=32",
        "trainer.max_epochs=3",
        "trainer.max_steps=7",
        "trainer.validate_every=5",
        "trainer.lr=0.5",
        "trainer.head_lr=0.5",
        "trainer.weight_decay=0.5",
        "trainer.warmup=0.5",
        "trainer.grad_clip=null",
        "trainer.patience=1",
        "trainer.accumulate=2",
        "trainer.precision=fp32",
        "trainer.gradient_checkpointing=true",
    ],
)
def test_what_can_change_the_numbers_changes_the_identity(configure: Configure, override: str) -> None:
    assert run_id(configure(override)) != run_id(configure())


def test_the_order_of_the_parts_does_not_count(configure: Configure) -> None:
    config = configure("method=prefix+ln")
    assert run_id(config) == run_id(configure("method=ln+prefix"))
    raw = config.to_dict()
    raw["method"] = dict(reversed(raw["method"].items()))
    assert list(raw["method"]) != list(config.method)
    assert run_id(validate(raw)) == run_id(config)


def test_the_identity_survives_saving(configure: Configure) -> None:
    config = configure("method=ln+prefix")
    assert run_id(validate(json.loads(json.dumps(config.to_dict())))) == run_id(config)


def test_every_process_finds_the_same_identity(configure: Configure) -> None:
    config = configure("method=ln+prefix")
    script = (
        "import json, sys\nfrom lnbench.config.run import validate\nfrom lnbench.records.identity import run_id\n"
        "print(run_id(validate(json.load(sys.stdin))))"
    )
    arguments = [sys.executable, "-c", script]
    found = subprocess.run(arguments, input=json.dumps(config.to_dict()), capture_output=True, text=True, check=True)
    assert found.stdout.strip() == run_id(config)


def test_the_folder_is_readable(configure: Configure) -> None:
    config = configure("method=prefix+ln")
    folder = run_dir(config)
    assert folder.relative_to(config.runs_dir).parts[:-1] == ("sst2", "tiny", "ln+prefix")
    assert len(folder.name) == ID_LENGTH
    assert set(folder.name) <= set("0123456789abcdef")


def test_a_setting_that_is_added_later_leaves_old_runs_their_identity() -> None:
    class Before(Schema):
        rate: float = 1.0

    class After(Before):
        drop: Later[float] = 0.5

    assert After().identity() == Before().identity()
    assert After(drop=0.1).identity() == {"rate": 1.0, "drop": 0.1}


def test_a_change_of_bf16_leaves_the_ids_of_other_runs(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [configure(f"trainer.precision={name}") for name in ("auto", "fp32", "bf16")]
    before = [run_id(config) for config in configs]
    monkeypatch.setattr(identity, "BF16", identity.BF16 + 1)
    assert [run_id(config) == was for config, was in zip(configs, before, strict=True)] == [True, True, False]
