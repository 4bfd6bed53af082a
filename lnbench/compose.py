"""`method=a+b+c` for Hydra: a source of configurations that adds the sum of its parts to a folder."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from lnbench.methods.base import SEPARATOR, canonical_name
from lnbench.schema import ConfigError, did_you_mean

GROUP = "method"
ROOT = "config"
"""Name of the configuration whose defaults list starts every composition."""


def config_dir() -> Path:
    """The folder of the shipped configurations: in the package when installed, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


class SumSource(FileConfigSource):
    """Serves a folder of YAML files, and every sum `method/a+b` of the parts in its `method/`.

    A sum is a defaults list of its parts in canonical order. The parts come from the whole search
    path, so one that a user keeps elsewhere (`--config-dir`) can be summed too.
    """

    def __init__(self, provider: str, path: str) -> None:
        """Takes `lnbench://FOLDER` as `path`; without a folder, serves the shipped configurations."""
        super().__init__(provider, path)
        self.path = self.path or str(config_dir())

    @staticmethod
    def scheme() -> str:
        """What starts the addresses that Hydra resolves to this class."""
        return "lnbench"

    def is_config(self, config_path: str) -> bool:
        """Whether `config_path` is a file of the folder or a sum."""
        return _is_sum(config_path) or super().is_config(config_path)

    def load_config(self, config_path: str) -> ConfigResult:
        """Reads a file, or makes a sum.

        Raises:
            ConfigCompositionException: a part of the sum is empty or repeated.
        """
        if not _is_sum(config_path):
            return super().load_config(config_path)
        config = OmegaConf.create({"defaults": [*_parts(config_path), "_self_"]})
        return ConfigResult(self.provider, self.full_path(), config, header={"package": None})

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Names in a group, sorted; while a shell completes a sum, also the sums that continue it."""
        names = super().list(config_path, results_filter)
        return sorted([*names, *_continuations(names)]) if config_path == GROUP else names


def register() -> None:
    """Makes Hydra know `lnbench://`; doing so twice does no harm."""
    Plugins.instance().register(SumSource)


def compose_config(*overrides: str) -> DictConfig:
    """Composes the configuration of one run, as the command line does.

    Args:
        overrides: as on the command line: `method=ln+prefix`, `trainer.batch_size=8`.

    Raises:
        ConfigError: an override names something that does not exist.
    """
    register()
    with initialize_config_dir(str(config_dir()), job_name="lnbench", version_base="1.3"):
        try:
            return compose(ROOT, overrides=[*overrides])
        except (HydraException, ValueError) as error:
            raise ConfigError(explain(error)) from error


def without_hydra(config: DictConfig) -> DictConfig:
    """A copy of a configuration without Hydra's part, which has values that only a running job can resolve."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def to_plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, interpolations resolved, as `lnbench.config.validate` takes it.

    Raises:
        ConfigError: an interpolation cannot be resolved, or a mandatory value (`???`) is not set.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {_first_line(error)}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def explain(error: Exception) -> str:
    """What is wrong and what is allowed, in place of Hydra's advice to append with `+`."""
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        known = error.options or sorted(file.stem for file in (config_dir() / group).glob("*.yaml"))
        return f"{group} = {name!r}: does not exist; {did_you_mean(name, known)}available: {', '.join(known)}"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        name, known = str(cause.key), sorted({*map(str, cause.parent_node), *_groups(cause.full_key)} - {"hydra"})
        return f"{cause.full_key}: unknown key; {did_you_mean(name, known)}known keys: {', '.join(known) or 'none'}"
    return f"{error}\n{_first_line(cause)}" if isinstance(cause, OmegaConfBaseException) else str(error)


def _first_line(error: Exception) -> str:
    """OmegaConf's later lines tell of its own types."""
    return str(error).partition("\n")[0]


def _groups(key: str | None) -> list[str]:
    """Names of the configuration groups when `key` lies beside them, at the root."""
    return [] if "." in str(key) else [folder.name for folder in config_dir().iterdir() if folder.is_dir()]


def _is_sum(config_path: str) -> bool:
    group, _, name = config_path.rpartition("/")
    return group == GROUP and SEPARATOR in name


def _parts(config_path: str) -> list[str]:
    name = config_path.rpartition("/")[2]
    parts = name.split(SEPARATOR)
    said = f"{GROUP} = {name!r}: the parts are {', '.join(map(repr, parts))}"
    if "" in parts:
        raise ConfigCompositionException(f"{said}; none may be empty")
    if repeated := sorted({part for part in parts if parts.count(part) > 1}):
        raise ConfigCompositionException(f"{said}; {', '.join(map(repr, repeated))} may not be repeated")
    return canonical_name(parts).split(SEPARATOR)


def _continuations(parts: Iterable[str]) -> list[str]:
    typed = os.environ.get("COMP_LINE", "").rpartition(f"{GROUP}=")[2]
    begun, separator, _ = typed.rpartition(SEPARATOR)
    return [begun + separator + part for part in parts if part not in begun.split(SEPARATOR)] if separator else []
