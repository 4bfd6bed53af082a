"""Packages that only some commands need."""

from importlib.util import find_spec

from lnbench.core.schema import ConfigError

TUNING = ("torch", "transformers", "pytorch_lightning", "datasets")
"""Packages of the extra `run` without which no model can be loaded."""


def require_tuning() -> None:
    """Makes sure that models can be tuned and loaded here.

    Raises:
        ConfigError: lnbench was installed to read runs only.
    """
    if absent := [name for name in TUNING if find_spec(name) is None]:
        message = f"this command loads a model or its data, which needs {', '.join(absent)}"
        raise ConfigError(f"{message}; type pip install 'lnbench[run]'")
