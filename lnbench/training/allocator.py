"""The C library's memory, of which a CPU's tensors are made."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""
LARGEST = 2**31 - 1
LARGEST_IN_HEAP = 32 * 2**20
"""Bytes; glibc allows no more."""


def keep_freed_memory() -> None:
    """Keeps what is freed for the next step, instead of giving it back and having every page zeroed again.

    Where the C library is not glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_IN_HEAP)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
