"""Runs one function in several communicating processes of this machine."""

import contextlib
import faulthandler
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType
from typing import Any

from lnbench.core.errors import ProcessKilled
from lnbench.core.interruption import RunInterrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 10.0
"""Seconds that the other processes have to end after one has failed."""

Report = tuple[BaseException, str]
"""The exception that a process raised, and its traceback."""


class ProcessTraceback(Exception):
    """The traceback of an exception in another process, set as the cause of that exception here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def run_in_processes(work: Callable[..., None], count: int, gpu: bool, *arguments: Any) -> None:
    """Calls `work(*arguments)` in `count` new processes, which are ranks 0, 1, ... of one torch process group.

    Ctrl-C and SIGTERM are passed on to all of them. When one process fails, all end.

    Args:
        work: function from a module that is quick to import.
        count: number of processes.
        gpu: whether each process has its own GPU, numbered by its rank.
        arguments: arguments of `work`; pickled.

    Raises:
        BaseException: the exception of the first process that failed.
        ProcessKilled: a process died without raising anything.
        RunInterrupted: a signal ended a process before it could answer.
    """
    context = multiprocessing.get_context("spawn")
    reports: SimpleQueue[Report] = context.SimpleQueue()
    processes: list[SpawnProcess] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for rank in range(count):
                place = (rank, count, gpu, Path(folder) / "rendezvous")
                process = context.Process(target=_take_part, args=(place, reports, work, arguments))
                process.start()
                processes.append(process)
            with _passing_signals_on(processes) as passed_on:
                _wait(processes, reports, passed_on)
        finally:
            _end(processes)


def _wait(processes: Sequence[SpawnProcess], reports: "SimpleQueue[Report]", passed_on: list[int]) -> None:
    """Returns when all processes have done their work; raises the error of the first one that failed."""
    running = {process.sentinel: process for process in processes}
    while running:
        ended = [running.pop(sentinel) for sentinel in connection.wait(list(running)) if isinstance(sentinel, int)]
        for process in ended:
            process.join()
        exit_codes = [process.exitcode for process in ended if process.exitcode]
        if not exit_codes:
            continue
        exit_code = min(exit_codes)  # prefers a process that was killed: the others failed because of it
        if exit_code > 0 and not reports.empty():
            error, text = reports.get()
            raise error from ProcessTraceback(text)
        if passed_on:
            raise RunInterrupted
        how = f"was killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exited with {exit_code}"
        raise ProcessKilled(f"one of {len(processes)} processes {how}")


def _end(processes: Sequence[SpawnProcess]) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        process.kill()
        process.join()


@contextlib.contextmanager
def _passing_signals_on(processes: Sequence[SpawnProcess]) -> Iterator[list[int]]:
    """Passes the signals of this process on to all processes. Only the main thread gets signals."""
    passed_on: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        passed_on.append(number)
        for process in processes:
            if process.pid and process.is_alive():
                os.kill(process.pid, number)

    if threading.current_thread() is not threading.main_thread():
        yield passed_on
        return
    previous = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        yield passed_on
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _take_part(
    place: tuple[int, int, bool, Path],
    reports: "SimpleQueue[Report]",
    work: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    """The main function of a new process."""
    faulthandler.enable()  # a crash in a library shows its place
    os.setpgrp()  # a terminal then sends Ctrl-C to the parent alone, which passes it on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with _group(*place):
            work(*arguments)
    except BaseException as error:
        reports.put((_portable(error), traceback.format_exc()))
        sys.exit(1)


@contextlib.contextmanager
def _group(rank: int, count: int, gpu: bool, rendezvous: Path) -> Iterator[None]:
    """Membership in the process group; only rank 0 prints for the user."""
    import torch
    from torch import distributed

    if rank:
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    device = torch.device("cuda", rank) if gpu else None
    if device:
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "gloo",
        init_method=rendezvous.as_uri(),
        rank=rank,
        world_size=count,
        device_id=device,
    )
    yield
    distributed.destroy_process_group()


def _end_with_parent() -> None:
    """Ends this process when its parent ends, because the parent holds the run's lock."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """The exception itself, or one with the same message if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
