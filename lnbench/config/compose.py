"""Composes configurations with Hydra. `method=a+b+c` is a sum of three parts, and loggers are summed too."""

import contextlib
import copy
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.plugins.config_source import ConfigResult
from hydra.version import VersionBase
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from lnbench.config.defaults import SCHEMAS, completed
from lnbench.config.overrides import SUMS, choices, groups, several, understood
from lnbench.core.commands import quoted
from lnbench.core.config_folders import config_dir, config_dirs
from lnbench.core.schema import ConfigError, did_you_mean
from lnbench.methods.base import SEPARATOR, canonical_name

OWN = {
    "model": "for another: model.name=NAME model.source=HUB_ID_OR_FOLDER",
    "task": "for a file of your own: task=csv task.path=FILE",
}
"""By configuration group, what to type for a model or data of your own."""
MISSING = {"task.path": "FILE"}
"""By setting without a default, the placeholder for its value in messages."""
AMBIGUOUS = re.compile(
    r"(Ambiguous value for argument|Sweep parameters) '(?P<argument>.*)'( requires --multirun)?$", re.MULTILINE
)
UNKNOWN = re.compile(r"Could not override '.*'\.\nTo append to your config use \+(?P<word>.*)", re.DOTALL)
ABSENT = re.compile(r"Could not delete from config\. '(?P<key>.*)' does not exist\.$")
UNCHOSEN = re.compile(r"Could not delete '(?P<group>.*?)(=.*)?'\. No match in the defaults list$")
OTHER = re.compile(
    r"Could not delete from config\. The value of '(?P<key>.*)' is (?P<value>.*) and not (.*)\.$", re.DOTALL
)
ONE_MODE = re.compile(r"Only one of --run, --multirun, --cfg, .* can be specified$")
INTERVAL = re.compile(r"\w+ does not support sweep type : INTERVAL_SWEEP$")
NO_SETTING = re.compile(r"Interpolation key '(?P<name>.*)' not found$")
NO_VARIABLE = re.compile(r".*Environment variable '(?P<name>.*)' not found", re.DOTALL)
METHOD = "method"
SWEEP_DIR = "hydra.sweep.dir"
"""Hydra's name for `runs_dir`."""
ROOT = "config"
"""Name of the configuration whose defaults list starts every composition."""
_ONE_HYDRA = threading.RLock()


class FileConfigSource(file_config_source.FileConfigSource):
    """Serves a folder of YAML files, each with its schema's defaults, and every sum `method/a+b` or
    `logger/a+b`.

    A sum is a defaults list of its parts in canonical order. The parts come from the whole search path, so that a
    user's own parts (`--config-dir`) can be summed too.

    The class has the name of Hydra's class that it replaces. Hydra registers its own class repeatedly, but not over a
    class of the same name.
    """

    _read: ClassVar[dict[tuple[str, Path, int, int], ConfigResult]] = {}

    def is_config(self, config_path: str) -> bool:
        """Whether `config_path` is a file of the folder or a sum."""
        return _is_sum(config_path) or super().is_config(config_path)

    def load_config(self, config_path: str) -> ConfigResult:
        """Reads a file and completes it, or makes a sum.

        Raises:
            ConfigCompositionException: a part of the sum is empty or repeated.
        """
        if not _is_sum(config_path):
            return self._load_file(config_path)
        config = OmegaConf.create({"defaults": [*_parts(config_path), "_self_"]})
        return ConfigResult(self.provider, self.full_path(), config, header={"package": None})

    def _load_file(self, config_path: str) -> ConfigResult:
        """Reads and completes a file, unless it has been read since it was written. Hydra changes what it gets."""
        file = Path(self.path, self._normalize_file_name(config_path))
        if not file.is_file():
            return super().load_config(config_path)
        about = file.stat()
        key = (self.provider, file, about.st_mtime_ns, about.st_size)
        if key not in self._read:
            try:
                result = super().load_config(config_path)
            except YAMLError as error:
                raise ConfigCompositionException(_explain_yaml(file, error)) from error
            _check_header(config_path, file, result)
            if isinstance(result.config, DictConfig) and result.header["package"] != "_global_":
                result.config = completed(config_path.rpartition("/")[0], result.config)
            self._read[key] = result
        return copy.deepcopy(self._read[key])

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Sorted names in a group. While a shell completes a sum, the sums that continue it are added."""
        names = super().list(config_path, results_filter)
        return sorted([*names, *_continuations(config_path, names)]) if config_path in SUMS else names


def _explain_yaml(file: Path, error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f" (line {mark.line + 1}: {getattr(error, 'problem', error)})" if mark else ""
    return f"{file}: is no YAML{line}"


def _check_header(config_path: str, file: Path, result: ConfigResult) -> None:
    """Checks that the file of a part says where its settings belong, because a part without that has another's name.

    Raises:
        ConfigCompositionException: the file does not say so, or has no settings.
    """
    group, _, name = config_path.rpartition("/")
    if group != METHOD or "defaults" in result.config:
        return
    if not result.config:
        raise ConfigCompositionException(f"{file}: has no settings; a method has at least a kind")
    package, expected = result.header.get("package"), f"{group}.{name}"
    if package not in (expected, f"_group_.{name}", f"{group}._name_", "_group_._name_"):
        told = f"says {package}" if package else "does not say where its settings belong"
        raise ConfigCompositionException(f"{file}: {told}; its first line must be: # @package {expected}")


def register() -> None:
    """Makes Hydra read folders of configurations with `FileConfigSource`. Calling it twice does no harm."""
    Plugins.instance()  # this registers Hydra's own source of folders
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource


def compose_config(*overrides: str) -> DictConfig:
    """Composes the configuration of one run, as the command line does.

    Args:
        overrides: as on the command line: `method=ln+prefix`, `trainer.batch_size=8`.

    Raises:
        ConfigError: an override names something that does not exist.
    """
    return _composed(overrides)


def sweep_of(*overrides: str) -> dict[str, str]:
    """What an experiment among the overrides of one run sweeps over, and they do not set: values by name, as in YAML.

    Raises:
        ConfigError: an override names something that does not exist.
    """
    params = _composed(overrides, with_hydra=True).hydra.sweeper.params or {}
    given = {word.lstrip("+~").partition("=")[0] for word in overrides}
    return {str(name): str(values) for name, values in params.items() if name not in given}


def _composed(overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
    with hydra_of_ones_own():
        try:
            return compose(ROOT, overrides=understood(overrides, [config_dir()]), return_hydra_config=with_hydra)
        except (HydraException, ValueError) as error:
            raise ConfigError(explain(error)) from error


@contextlib.contextmanager
def hydra_of_ones_own() -> Iterator[None]:
    """Inside the context, Hydra reads the folder of the shipped configurations.

    A process has one Hydra. A program of the user's, or a notebook, may have started it for itself, and gets it back as
    it was. One thread at a time is in the context.
    """
    with _ONE_HYDRA:
        sources, base, job = SourcesRegistry.instance().types, VersionBase.instance(), JobRuntime.instance()
        scheme = FileConfigSource.scheme()
        Plugins.instance()  # this registers Hydra's own source of folders
        former, users, version, name = sources[scheme], GlobalHydra.instance().hydra, base.version_base, job.get("name")
        GlobalHydra.instance().clear()
        try:
            register()
            with initialize_config_dir(str(config_dir()), job_name="lnbench", version_base="1.3"):
                yield
        finally:
            GlobalHydra.instance().hydra = users
            sources[scheme], base.version_base = former, version
            job.set("name", name)


def without_hydra(config: DictConfig) -> DictConfig:
    """A copy of a configuration without Hydra's own settings, some of which only a running job can resolve."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def to_plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values with interpolations resolved, for `lnbench.config.run.validate`.

    Raises:
        ConfigError: an interpolation cannot be resolved, or a mandatory value (`???`) is not set.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_explain_value(error)) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def explain(error: Exception) -> str:
    """Says what is wrong and what is allowed. Hydra's own message would advise to append with `+`."""
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _explain_missing(error.missing_cfg_file, error.options or [])
    if ambiguous := AMBIGUOUS.match(str(error)):
        return several(ambiguous["argument"])
    if absent := ABSENT.match(str(error)):
        return f"~{absent['key']}: removes a value, and there is none; leave it out, or type {absent['key']}=VALUE"
    if other := OTHER.match(str(error)):
        return f"~{other['key']}={other[3]}: its value is {other['value']}; type ~{other['key']} to take it away"
    if unchosen := UNCHOSEN.match(str(error)):
        names = choices(unchosen["group"], config_dirs())
        return (
            f"~{unchosen[1]}{unchosen[2] or ''}: takes a choice away that was not made; leave it out, or type "
            f"{unchosen['group']}=NAME: {', '.join(names)}"
        )
    if ONE_MODE.match(str(error)):
        return (
            "-m, --cfg and --info: type only one of them; `lnbench.runs --missing OVERRIDES` shows the runs of a sweep"
        )
    if INTERVAL.match(str(error)):
        return "interval(START,STOP): names no values, and the sweeper needs some; type KEY=VALUE,VALUE"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return _explain_value(error)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        owner, _, name = str(cause.full_key).rpartition(".")
        if owner in SUMS and name in choices(owner, config_dirs()):
            chosen = canonical_name([*map(str, cause.parent_node), name])
            return f"{cause.full_key}: is not chosen; add it with {owner}={chosen}"
        if not len(cause.parent_node):
            return f"{cause.full_key}: {_explain_none(str(cause.full_key).rpartition('.')[0])}"
        name, known = str(cause.key), sorted({*map(str, cause.parent_node), *_groups(cause.full_key)} - {"hydra"})
        word = unknown["word"] if (unknown := UNKNOWN.match(str(error))) else str(cause.full_key)
        nearest = _elsewhere(cause.parent_node, str(cause.full_key), word) or did_you_mean(name, known)
        return f"{cause.full_key}: unknown key; {nearest}known keys: {', '.join(known) or 'none'}"
    return f"{error}\n{_first_line(cause)}" if isinstance(cause, OmegaConfBaseException) else str(error)


def _elsewhere(parent: Container, key: str, word: str) -> str:
    """A question that suggests settings and choices of the same name at other places. Empty if there are none.

    Args:
        parent: the group that lacks the setting.
        key: dotted name up to the part that is missing.
        word: the override as typed.
    """
    owner, _, name = key.rpartition(".")
    plain = OmegaConf.to_container(parent)
    assert isinstance(plain, dict)
    below = {str(group): node for group, node in plain.items() if group != "hydra"}
    if not owner:
        below |= {group: schema.model_fields for group, schema in SCHEMAS.items() if not below.get(group)}
    start = f"{owner}." if owner else ""
    offers = [quoted(f"{start}{place}.{word.removeprefix(start)}") for place in _places(below, name)]
    if not owner:
        offers += [f"{group}={name}" for group in groups(config_dirs()) if name in choices(group, config_dirs())]
    return f"did you mean {' or '.join(offers)}? " if offers else ""


def _places(node: Mapping[str, Any], name: str) -> list[str]:
    """Dotted names of the groups below a node that have a setting `name`, in each branch only the outermost."""
    inner = {key: value for key, value in node.items() if isinstance(value, Mapping)}
    return [key for key, value in inner.items() if name in value] or [
        f"{key}.{place}" for key, value in inner.items() for place in _places(value, name)
    ]


def _explain_value(error: OmegaConfBaseException) -> str:
    """Why the value of a setting cannot be resolved. The usual cause is a wrong name in `${...}`."""
    line = _first_line(error)
    told = f"{'runs_dir' if error.full_key == SWEEP_DIR else error.full_key}: "
    if setting := NO_SETTING.match(line):
        name = setting["name"]
        return (
            f"{told}${{{name}}} stands for a setting {name!r}, and there is none; for an environment variable type "
            f"'${{oc.env:{name}}}', for the text itself '\\${{{name}}}'"
        )
    if variable := NO_VARIABLE.match(line):
        return f"{told}the environment variable {variable['name']!r} is not set"
    if isinstance(error, MissingMandatoryValue):
        return f"{told}must be given; type {error.full_key}={MISSING.get(str(error.full_key), 'VALUE')}"
    return f"{told}{line}"


def _explain_none(owner: str) -> str:
    """Why a group such as `search` has no settings, because it is null or a plain value."""
    group = owner.partition(".")[0]
    offered = choices(group, config_dirs())
    last = owner.rpartition(".")[2]
    if owner == group and offered:
        return f"{owner} has no settings here; choose with {group}=NAME: {', '.join(offered)}"
    return f"{owner} has no settings here" + (f"; choose them with {group}={last}" if last in offered else "")


def _explain_missing(file: str, options: Sequence[str]) -> str:
    if "/" not in file:
        return f"--config-name {file}: there is no such file in the folders of configurations"
    group = next((name for name in groups(config_dirs()) if file.startswith(f"{name}/")), file.rpartition("/")[0])
    name, known = file.removeprefix(f"{group}/"), options or choices(group, config_dirs())
    own = f"; {OWN[group]}" if group in OWN else ""
    return f"{group} = {name!r}: does not exist; {did_you_mean(name, known)}available: {', '.join(known)}{own}"


def _first_line(error: Exception) -> str:
    """The first line of an error. OmegaConf's other lines describe its own types."""
    return str(error).partition("\n")[0]


def _groups(key: str | None) -> list[str]:
    """Names of the configuration groups if `key` lies at the root, as they do. Else empty."""
    return [] if "." in str(key) else groups(config_dirs())


def _is_sum(config_path: str) -> bool:
    group, _, name = config_path.rpartition("/")
    return group in SUMS and SEPARATOR in name


def _parts(config_path: str) -> list[str]:
    group, _, name = config_path.rpartition("/")
    parts = name.split(SEPARATOR)
    said = f"{group} = {name!r}: the parts are {', '.join(map(repr, parts))}"
    if "" in parts:
        raise ConfigCompositionException(f"{said}; none may be empty")
    if repeated := sorted({part for part in parts if parts.count(part) > 1}):
        raise ConfigCompositionException(f"{said}; {', '.join(map(repr, repeated))} may not be repeated")
    return canonical_name(parts).split(SEPARATOR)


def _continuations(group: str, parts: Iterable[str]) -> list[str]:
    typed = os.environ.get("COMP_LINE", "").rpartition(f"{group}=")[2]
    begun, separator, _ = typed.rpartition(SEPARATOR)
    return [begun + separator + part for part in parts if part not in begun.split(SEPARATOR)] if separator else []
