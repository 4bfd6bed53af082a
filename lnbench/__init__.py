"""Parameter-efficient tuning of pretrained language models, benchmarked alone and in sums."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports `load` at first use, so that `import lnbench` does not wait for torch."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lnbench.tuned import load

    return load
