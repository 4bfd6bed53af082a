"""Parameter-efficient tuning of pretrained language models, benchmarked alone and in sums."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = ("load", "load_several")


def __getattr__(name: str) -> Any:
    """Imports the functions of `lnbench.tuned` at first use, so that `import lnbench` does not wait for torch."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("lnbench.tuned"), name)
