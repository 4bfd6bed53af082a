"""Work that takes turns."""

import pytest

from lnbench.training.fused.turns import Worker


def test_only_one_goes_on_and_answers_come_back() -> None:
    told: list[str] = []

    def work(worker: Worker[str, int, int], name: str) -> int:
        told.append(f"{name} begins")
        answers = [worker.ask(f"{name}{number}") for number in range(2)]
        told.append(f"{name} ends")
        return sum(answers)

    one: Worker[str, int, int] = Worker(lambda worker: work(worker, "a"))
    other: Worker[str, int, int] = Worker(lambda worker: work(worker, "b"))
    for worker in (one, other):
        worker.start()
    one.go_on()
    assert (told, one.asked, one.result) == (["a begins"], "a0", None)
    other.go_on()
    one.go_on(1)
    assert (told, one.asked) == (["a begins", "b begins"], "a1")
    one.go_on(2)
    assert (told[-1], one.asked, one.result) == ("a ends", None, 3)


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_what_is_raised_is_the_result(error: BaseException) -> None:
    def work(_: Worker[str, int, int]) -> int:
        raise error

    worker: Worker[str, int, int] = Worker(work)
    worker.start()
    worker.go_on()
    assert worker.result is error


def test_an_exception_as_an_answer_is_raised_where_it_was_asked() -> None:
    def work(worker: Worker[str, int, str]) -> str:
        with pytest.raises(ValueError, match="wrong"):
            worker.ask("question")
        return "went on"

    worker: Worker[str, int, str] = Worker(work)
    worker.start()
    worker.go_on()
    worker.go_on(ValueError("wrong"))
    assert worker.result == "went on"
