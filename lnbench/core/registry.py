"""Finds the classes that a configuration may name.

A configuration names the class of a method or a task by its `kind`. Only registered classes are found. A file never
causes an import, so that reading other people's runs runs none of their code.
"""

import functools
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from lnbench.core.schema import ConfigError, Schema, did_you_mean, parse

KIND = "kind"
"""Key of a group of settings that names its class."""
ADDRESS = "_target_"
"""Key that version 0.1.0 used instead. Its value is the import address of the class."""

K = TypeVar("K", bound=Schema)

_allowed: dict[str, None] = {}


def allow_modules(names: Iterable[str]) -> None:
    """Imports modules, which runs their code, and lets configurations name the classes that they define.

    Args:
        names: names of modules that Python can import.

    Raises:
        ConfigError: a module cannot be imported, or its code raises an error.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except (ImportError, TypeError, ValueError) as error:
            raise ConfigError(
                f"plugins = {name!r}: cannot be imported ({error}); it must be a module that Python finds, for "
                f"instance because its folder is in PYTHONPATH"
            ) from error
        except Exception as error:
            *_, place = traceback.extract_tb(error.__traceback__)
            line = "" if isinstance(error, SyntaxError) else f", at {place.filename}:{place.lineno}"
            raise ConfigError(
                f"plugins = {name!r}: its code cannot be run ({type(error).__name__}: {error}{line})"
            ) from error
        _allowed.setdefault(name)


def allowed_modules() -> tuple[str, ...]:
    """The modules given to `allow_modules`."""
    return tuple(_allowed)


class Registry(Generic[K]):
    """The subclasses of one base class that configurations may name.

    They come from three places: the files of a package of lnbench, each of which defines the class with its name as
    `kind`; the entry points of installed packages; and the modules given to `allow_modules`.
    """

    def __init__(self, base: type[K], package: str, renamed: Mapping[str, str] | None = None) -> None:
        """
        Args:
            base: base class of all the classes.
            package: package with lnbench's own classes. Other packages register theirs in the entry point group of the
                same name.
            renamed: former file names, and their current names.
        """
        self.base = base
        self.package = package
        self.renamed = renamed or {}

    def parse(self, raw: Mapping[str, Any], path: str) -> K:
        """Validates settings against the class that their `kind` names.

        Args:
            raw: plain values as they come from YAML or JSON.
            path: dotted name of `raw` in the whole configuration, for the error message.

        Raises:
            ConfigError: there is no such class, or a field is wrong.
        """
        if not isinstance(raw, Mapping):
            raise ConfigError(f"{path} = {raw!r}: must be a group of settings with a {KIND}")
        fields = {key: value for key, value in raw.items() if key not in (KIND, ADDRESS)}
        return parse(self.find(self.kind_in(raw), path), fields, path)

    def kind_in(self, raw: Mapping[str, Any]) -> Any:
        """The kind that settings name, also in the form of version 0.1.0. None if they name none."""
        if KIND in raw or ADDRESS not in raw:
            return raw.get(KIND)
        address = str(raw[ADDRESS])
        if not address.startswith(f"{self.package}."):
            return address
        file = address.removeprefix(f"{self.package}.").partition(".")[0]
        return self.renamed.get(file, file)

    def ships(self, kind: str) -> bool:
        """Whether lnbench itself has the class of a kind."""
        return kind in self._files

    def find(self, kind: object, path: str) -> type[K]:
        """The class of a kind.

        Raises:
            ConfigError: there is no such class, or its module is not allowed.
        """
        if found := self.known(kind):
            return found
        known = sorted(self._known())
        raise ConfigError(
            f"{path}.{KIND} = {kind!r}: is unknown; {did_you_mean(str(kind), known)}known: {', '.join(known)}. A class "
            f"of your own is known once its module is allowed, which runs the module's code: plugins=[MODULE] on the "
            f"command line, --plugin MODULE where finished runs are read, or lnbench.allow_modules"
        )

    def known(self, kind: object) -> type[K] | None:
        """The class of a kind. None if there is none, or its module is not allowed.

        Raises:
            ConfigError: several classes have this kind.
        """
        if not isinstance(kind, str):
            return None
        found = [own] if kind in self._files and (own := self._own(kind)) else []
        found += [self._checked(point.load(), point.value) for point in self._points if point.name == kind]
        found += [cls for module in _allowed if (cls := self._defined_in(module).get(kind))]
        several = list(dict.fromkeys(f"{cls.__module__}.{cls.__qualname__}" for cls in found))
        if len(several) > 1:
            raise ConfigError(
                f"{KIND} = {kind!r}: several classes have this name, {' and '.join(several)}; give your own another"
            )
        return found[0] if found else None

    @property
    def _points(self) -> tuple[EntryPoint, ...]:
        return _entry_points(self.package, tuple(sys.path))

    def _own(self, kind: str) -> type[K] | None:
        return self._defined_in(f"{self.package}.{kind}").get(kind)

    def _known(self) -> set[str]:
        """All known kinds. Imports all modules that may define one."""
        modules = [*(f"{self.package}.{file}" for file in self._files), *_allowed]
        return {
            *(kind for module in modules for kind in self._defined_in(module)),
            *(point.name for point in self._points),
        }

    @functools.cached_property
    def _files(self) -> frozenset[str]:
        return frozenset(file.name for file in pkgutil.iter_modules(importlib.import_module(self.package).__path__))

    def _defined_in(self, module: str) -> dict[str, type[K]]:
        """The classes that a module defines and configurations may name, by kind."""
        own = module.startswith(f"{self.package}.")
        classes = [
            cls
            for cls in vars(importlib.import_module(module)).values()
            if isinstance(cls, type) and issubclass(cls, self.base) and cls.__module__ == module
        ]
        return {kind_of(cls): cls for cls in classes if cls is not self.base and (not own or KIND in vars(cls))}

    def _checked(self, cls: object, where: str) -> type[K]:
        if not (isinstance(cls, type) and issubclass(cls, self.base)):
            raise ConfigError(f"entry point {where!r} of {self.package}: is not a {self.base.__name__}")
        return cls


@functools.cache
def _entry_points(group: str, places: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of a group. Finding them takes a hundredth of a second.

    Args:
        group: the group.
        places: where Python looks for packages; others have other entry points.
    """
    return tuple(entry_points(group=group))


def kind_of(cls: type[Schema]) -> str:
    """Name of a class in configurations and in the identities of runs: its `kind`, or else its import address."""
    return str(vars(cls).get(KIND) or f"{cls.__module__}.{cls.__qualname__}")
