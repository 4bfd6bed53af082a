"""Pieces of work of which one at a time goes on, until it asks for something."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class Worker(threading.Thread, Generic[Asked, Answer, Result]):
    """A piece of work in a thread of its own, which goes on only while someone waits for it in `go_on`.

    So what is global in a process, such as torch's random numbers, needs no lock.
    """

    def __init__(self, work: Callable[["Worker[Asked, Answer, Result]"], Result]) -> None:
        """
        Args:
            work: gets the worker, by which it may ask.
        """
        super().__init__(daemon=True)
        self.asked: Asked | None = None
        """What the work waits for; None when it has ended."""
        self.result: Result | BaseException | None = None
        """What the work gave or raised; None before its end."""
        self._work = work
        self._answer: Answer | Exception | None = None
        self._go, self._pause = threading.Semaphore(0), threading.Semaphore(0)

    def go_on(self, answer: Answer | Exception | None = None) -> None:
        """Lets the work go on until it asks the next time, or ends.

        Args:
            answer: to what it has asked; an exception is raised there.
        """
        self._answer, self.asked = answer, None
        self._go.release()
        self._pause.acquire()

    def ask(self, asked: Asked) -> Answer:
        """For the work itself: waits for an answer, while others go on."""
        self.asked = asked
        self._pause.release()
        self._go.acquire()
        answer, self._answer = self._answer, None
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    def run(self) -> None:
        """What the thread does."""
        self._go.acquire()
        try:
            self.result = self._work(self)
        except BaseException as error:
            self.result = error
        self._pause.release()
