"""Packages that only some commands need."""

from importlib.util import find_spec

from lnbench.core.schema import ConfigError

TUNING = ("torch", "transformers", "pytorch_lightning", "datasets")
"""Packages of the extra `run` without which no model can be loaded."""


def require_tuning() -> None:
    """Makes sure that models can be tuned, loaded and scored here.

    Raises:
        ConfigError: lnbench was installed to read runs only.
    """
    if absent := [name for name in TUNING if find_spec(name) is None]:
        raise ConfigError(f"this command needs {', '.join(absent)}; type pip install 'lnbench[run]'")
