"""Workers in threads that take turns: only one runs at a time, until it asks for something."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class Worker(threading.Thread, Generic[Asked, Answer, Result]):
    """A piece of work in its own thread, which runs only while another thread waits for it in `go_on`.

    The global state of a process, such as torch's random numbers, therefore needs no lock.
    """

    def __init__(self, work: Callable[["Worker[Asked, Answer, Result]"], Result]) -> None:
        """
        Args:
            work: function to run; it gets the worker, and can call `ask` on it.
        """
        super().__init__(daemon=True)
        self.asked: Asked | None = None
        """The request that the work waits on; None when it has ended."""
        self.result: Result | BaseException | None = None
        """The return value of the work, or the exception that it raised; None before its end."""
        self._work = work
        self._answer: Answer | Exception | None = None
        self._go, self._pause = threading.Semaphore(0), threading.Semaphore(0)

    def go_on(self, answer: Answer | Exception | None = None) -> None:
        """Lets the work continue until its next request or its end.

        Args:
            answer: answer to the last request; an exception is raised in the work.
        """
        self._answer, self.asked = answer, None
        self._go.release()
        self._pause.acquire()

    def ask(self, asked: Asked) -> Answer:
        """Called by the work itself. Waits for an answer, while other workers run."""
        self.asked = asked
        self._pause.release()
        self._go.acquire()
        answer, self._answer = self._answer, None
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    def run(self) -> None:
        """Does the work, in the thread."""
        self._go.acquire()
        try:
            self.result = self._work(self)
        except BaseException as error:
            self.result = error
        self._pause.release()
