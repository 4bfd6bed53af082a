"""Which steps go together in one pass."""

from dataclasses import replace
from functools import partial

import pytest

from lnbench.training.fused import stacker
from lnbench.training.fused.stacker import Stacker
from lnbench.training.fused.step import Learned, Step, learn
from tests.tiny import parts
from tests.training.fused.test_step import new_steps


def test_batches_of_other_sizes_are_worked_off_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = dict(enumerate(new_steps("bert", parts("ln"))))
    steps[1] = replace(steps[1], batch={name: tensor[:2] for name, tensor in steps[1].batch.items()})
    monkeypatch.setattr(stacker, "learn", lambda steps: [(step, len(steps)) for step in steps])
    answers: dict[int, object] = dict(Stacker().answer(steps))
    assert answers == {0: (steps[0], 2), 1: (steps[1], 1), 2: (steps[2], 2)}


def test_where_memory_runs_out_fewer_runs_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def fail_with_many(steps: list[Step]) -> list[Learned]:
        sizes.append(len(steps))
        if len(steps) > 1:
            raise MemoryError
        return learn(steps)

    monkeypatch.setattr(stacker, "learn", fail_with_many)
    steps, one = dict(enumerate(new_steps("bert", parts("ln")))), Stacker()
    for _ in range(2):
        assert all(isinstance(answer, Learned) for answer in one.answer(steps).values())
    assert sizes == [3, 1, 1, 1, 1, 1, 1], "what did not fit is not tried again"


def test_one_run_that_does_not_fit_fails_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    error = MemoryError()
    monkeypatch.setattr(stacker, "learn", partial(_raise, error))
    assert Stacker().answer({4: new_steps("bert", parts("ln"))[0]}) == {4: error}


def test_an_error_is_the_answer_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ValueError("wrong")
    monkeypatch.setattr(stacker, "learn", partial(_raise, error))
    assert Stacker().answer(dict(enumerate(new_steps("bert", parts("ln"))))) == {0: error, 1: error, 2: error}


def _raise(error: Exception, steps: list[Step]) -> list[Learned]:
    raise error
