import pytest
import torch

from lnbench.config.trainer import TrainerConfig
from lnbench.core.schema import ConfigError
from lnbench.training.device import choose_precision, use_gpu


def trainer(**fields: str) -> TrainerConfig:
    return TrainerConfig.model_validate({"batch_size": 1, "eval_batch_size": 1, "max_epochs": 1, **fields})


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine with or without a GPU, whose device computes bf16 or does not."""
    gpu, bf16 = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: gpu and bf16)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512" if bf16 else "AVX2")


@pytest.mark.parametrize("machine", [(False, False)], indirect=True)
def test_a_gpu_that_is_not_there_is_refused() -> None:
    for check in (use_gpu, choose_precision):
        with pytest.raises(ConfigError, match=r"^trainer.device = 'gpu': .* no usable CUDA device; use cpu or auto$"):
            check(trainer(device="gpu"))


@pytest.mark.parametrize(
    ("machine", "device", "used"),
    [((False, True), "auto", False), ((True, True), "auto", True), ((True, True), "cpu", False)],
    indirect=["machine"],
)
def test_a_gpu_is_used_where_there_is_one(device: str, used: bool) -> None:
    assert use_gpu(trainer(device=device)) is used


@pytest.mark.parametrize("machine", [(False, False), (True, False)], indirect=True)
def test_bf16_is_refused_where_it_is_slow(machine: None) -> None:
    with pytest.raises(ConfigError, match=r"^trainer.precision = 'bf16': .*; use fp32 or auto$"):
        choose_precision(trainer(precision="bf16"))
    assert choose_precision(trainer(precision="auto")) == "32-true"


@pytest.mark.parametrize(
    ("machine", "precision", "chosen"),
    [
        ((False, True), "auto", "32-true"),
        ((False, True), "bf16", "bf16-mixed"),
        ((True, True), "auto", "bf16-mixed"),
        ((True, True), "bf16", "bf16-mixed"),
        ((True, True), "fp32", "32-true"),
    ],
    indirect=["machine"],
)
def test_auto_takes_bf16_on_a_gpu_only(precision: str, chosen: str) -> None:
    assert choose_precision(trainer(precision=precision)) == chosen
