import pytest

from lnbench.core.schema import ConfigError
from lnbench.launch import slots
from lnbench.launch.slots import divided_threads, make_slots, visible_gpus


@pytest.fixture(autouse=True)
def _two_gpus_and_eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_gpu_count", lambda: 2)
    monkeypatch.setattr(slots, "_cores", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("chosen", "visible"),
    [
        (None, ["0", "1"]),
        ("1", ["1"]),
        ("1, 0", ["1", "0"]),
        ("GPU-ab,MIG-cd", ["GPU-ab", "MIG-cd"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
    ],
)
def test_cuda_visible_devices_is_honoured(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, visible: list[str]
) -> None:
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus() == visible


def test_without_a_gpu_none_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_gpu_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert visible_gpus() == []


@pytest.mark.parametrize(
    ("gpus", "per_gpu", "names"),
    [
        (None, 1, ["GPU 0", "GPU 1"]),
        (1, 1, ["GPU 0"]),
        ([1], 1, ["GPU 1"]),
        ([4, "GPU-ab"], 1, ["GPU 4", "GPU GPU-ab"]),
        (None, 2, ["GPU 0 (1 of 2)", "GPU 1 (1 of 2)", "GPU 0 (2 of 2)", "GPU 1 (2 of 2)"]),
        (0, 1, ["CPU 0", "CPU 1", "CPU 2"]),
    ],
)
def test_slots(gpus: int | list[int | str] | None, per_gpu: int, names: list[str]) -> None:
    made = make_slots(gpus, per_gpu, cpu_slots=3)
    assert [slot.name for slot in made] == names
    seen = ["" if name.startswith("CPU") else name.split()[1] for name in names]
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in made] == seen


def test_more_gpus_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"hydra.launcher.gpus = 3: only 2 visible here"):
        make_slots(3, per_gpu=1, cpu_slots=1)


def test_slots_divide_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert divided_threads(1) == {}, "one slot computes as a run without a launcher does"
    assert divided_threads(3) == {"OMP_NUM_THREADS": "2"}
    assert divided_threads(16) == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert divided_threads(3) == {}
