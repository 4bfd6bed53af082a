"""Random numbers that depend only on a run's seed and their purpose."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose, the same on every machine and in every version."""
    digest = hashlib.sha256("/".join(map(str, (seed, *purpose))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_devices(seed: int) -> None:
    """Seeds torch's random numbers on the CPU and, if it is in use, on the process's GPU.

    This is faster than `torch.manual_seed`, which also records a call stack for each kind of device that is missing.
    That is too slow for every step.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)


@contextmanager
def seeded(seed: int, *purpose: object) -> Iterator[None]:
    """Inside the context, torch's CPU random numbers depend only on the arguments. The outer stream is not changed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, *purpose))
        yield
