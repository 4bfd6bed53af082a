"""What the C library is told, and that one that cannot be told is left alone."""

import ctypes
from types import SimpleNamespace

import pytest

from lnbench.training.allocator import LARGEST, LARGEST_IN_HEAP, keep_freed_memory


def test_glibc_accepts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    library, answers = ctypes.CDLL(None), dict[int, int]()

    def mallopt(parameter: int, value: int) -> int:
        answers[value] = library.mallopt(parameter, value)
        return answers[value]

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    keep_freed_memory()
    assert answers == {LARGEST_IN_HEAP: 1, LARGEST: 1}, "1: accepted"


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    keep_freed_memory()
