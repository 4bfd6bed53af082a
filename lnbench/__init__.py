"""Parameter-efficient tuning of pretrained language models, benchmarked alone and in sums."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lnbench.core.errors import DataError as DataError
    from lnbench.core.interruption import RunInterrupted as RunInterrupted
    from lnbench.core.registry import allow_modules as allow_modules
    from lnbench.core.schema import ConfigError as ConfigError
    from lnbench.core.sealed import NewerError as NewerError
    from lnbench.exchange.tuned import load as load
    from lnbench.exchange.tuned import load_several as load_several
    from lnbench.records.failure import RunFailed as RunFailed
    from lnbench.records.lock import RunBusy as RunBusy
    from lnbench.report.records import records as records
    from lnbench.run.from_overrides import run as run

__version__ = "0.2.0"

_LAZY = {
    "ConfigError": "lnbench.core.schema",
    "DataError": "lnbench.core.errors",
    "NewerError": "lnbench.core.sealed",
    "RunBusy": "lnbench.records.lock",
    "RunFailed": "lnbench.records.failure",
    "RunInterrupted": "lnbench.core.interruption",
    "allow_modules": "lnbench.core.registry",
    "load": "lnbench.exchange.tuned",
    "load_several": "lnbench.exchange.tuned",
    "records": "lnbench.report.records",
    "run": "lnbench.run.from_overrides",
}


def __getattr__(name: str) -> Any:
    """Imports functions at first use, so that `import lnbench` does not wait for torch."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


class _CallablePackage(ModuleType):
    """A package with the name of a function. It can be called like the function and imported from like any package."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return __getattr__(self.__name__.rpartition(".")[2])(*args, **kwargs)


for _name in ("records", "run"):
    import_module(f"{__name__}.{_name}").__class__ = _CallablePackage
