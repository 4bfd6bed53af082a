"""Connects to a Ray cluster or starts one, redirects its output, reads its size, and notices the death of its head."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from lnbench.core.interruption import SIGNALS
from lnbench.core.schema import ConfigError
from lnbench.launch.settings import RaySettings

HEAD_PATIENCE_SECONDS = 30
"""Seconds without an answer after which the head counts as dead. Ray ends this process after 60, without a message."""
_TIMEOUT_SECONDS = 2.0


class Head:
    """The head node of the cluster. Without it, Ray answers nothing."""

    def __init__(self) -> None:
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        self._place = host, int(port)
        self._heard = time.monotonic()

    def silence(self) -> float:
        """Seconds since the last answer of the head, 0 if it answers now.

        Call this before anything else is asked of Ray. Other calls wait for a dead head until Ray ends the process.
        """
        with contextlib.suppress(OSError), socket.create_connection(self._place, timeout=_TIMEOUT_SECONDS):
            self._heard = time.monotonic()
            return 0.0
        return time.monotonic() - self._heard

    def __str__(self) -> str:
        return ":".join(map(str, self._place))


@contextlib.contextmanager
def connected(settings: RaySettings, messages: Path) -> Iterator[Head]:
    """Connects to the cluster or starts it, unless this process is already connected. Disconnects at the end.

    Args:
        settings: settings of the launcher, with the cluster's address.
        messages: file that gets the output of Ray, instead of this process's stdout.

    Raises:
        ConfigError: the cluster cannot be reached or started.
    """
    with messages.open("a", buffering=1) as file, contextlib.redirect_stdout(file):
        if ray.is_initialized():
            yield Head()
            return
        with _handlers_kept():
            _connect(settings)
        head = Head()
        try:
            yield head
        finally:
            if not head.silence():
                ray.shutdown()


def needs(settings: RaySettings) -> dict[str, float]:
    """The resources that a job needs on a node, by Ray's names.

    Raises:
        ConfigError: no node has these resources, and `max_jobs` does not say that the cluster can grow.
    """
    gpus = settings.num_gpus
    if gpus is None:
        gpus = 1 if any("GPU" in resources for resources in _nodes()) else 0
    needed = {"CPU": settings.num_cpus, "GPU": gpus}
    if not room(settings, needed):
        raise ConfigError(
            f"hydra.launcher.num_cpus, num_gpus = {settings.num_cpus:g}, {gpus:g}: no node of the Ray cluster has so "
            f"many; set hydra.launcher.max_jobs if it can grow"
        )
    return needed


def room(settings: RaySettings, needed: dict[str, float]) -> int:
    """Number of jobs that Ray may get at a time."""
    return settings.max_jobs or sum(_fitting(resources, needed) for resources in _nodes())


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _fitting(resources: dict[str, float], needed: dict[str, float]) -> int:
    shares = [resources.get(name, 0) / amount for name, amount in needed.items() if amount]
    return int(min(shares) + 1e-6)  # because 10 x 0.1 must count as 1


def _connect(settings: RaySettings) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {} if settings.address else {"include_dashboard": False}
    code = {"working_dir": settings.working_dir} if settings.working_dir else {}
    try:
        ray.init(
            address=settings.address or "local",
            runtime_env={**settings.runtime_env, **code},
            log_to_driver=False,
            logging_level=logging.ERROR,
            **options,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"hydra.launcher.address = {settings.address!r}: Ray cannot be reached or started so ({error})"
        ) from error


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Restores this process's signal handlers, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
