"""Parameter-efficient tuning of pretrained language models, benchmarked alone and in sums."""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_LAZY = {
    "allow_modules": "lnbench.core.registry",
    "load": "lnbench.exchange.tuned",
    "load_several": "lnbench.exchange.tuned",
}


def __getattr__(name: str) -> Any:
    """Imports functions at first use, so that `import lnbench` does not wait for torch."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
