"""Turns an adapter that another library has saved into a tuned model."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from lnbench.backbone.backbone import Backbone, views
from lnbench.backbone.tuned_model import BACKBONE, TunedModel
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.atomic_files import write_atomically
from lnbench.core.schema import ConfigError
from lnbench.exchange.card_metadata import base_model
from lnbench.records import files
from lnbench.records.adapter import header, save_adapter
from lnbench.training.assemble import build_model, load_pretrained

Tensors = dict[str, Tensor]


class Base(NamedTuple):
    """The pretrained model of an adapter, as far as the adapter says."""

    name: str | None
    revision: str | None = None
    content: str | None = None
    """As `model.content`, if lnbench wrote the adapter."""


class Part(NamedTuple):
    """What an adapter is in one method of lnbench."""

    settings: dict[str, Any]
    """Settings of the method."""
    values: Tensors
    """Values by name in the backbone with the method attached. Missing ones keep their initial value, which changes
    nothing."""


class Found(NamedTuple):
    """An adapter that was read, before its model is loaded."""

    method: str
    """Name of the method in lnbench, which may be a sum."""
    base: Base
    adapt: Callable[[Sequence[Backbone]], dict[str, Part]]
    """The parts of the method, by name, for a model; an encoder-decoder is two backbones. Raises ConfigError if the
    adapter has something that the method lacks."""
    fill_head: Callable[[TunedModel, RunConfig], None]
    """Gives a model the adapter's task head. Raises ConfigError if the adapter has none that fits."""


def import_found(found: Found, adapter: Path, folder: Path, overrides: Sequence[str], any_base: bool) -> RunConfig:
    """Writes the files of a tuned model whose adapter was found. `import_peft` has the other arguments.

    Args:
        found: the adapter.

    Raises:
        ConfigError: the adapter does not fit the model or task, or the folder holds a run.
        DataError: the task takes settings from its data, and the data cannot be read.
    """
    if any((folder / name).exists() for name in (files.CONFIG, files.ADAPTER, files.RECORD)):
        raise ConfigError(f"{folder}: has a run already; choose another folder")
    raw = _compose(overrides, found.method)
    config = validate(raw)
    if not any_base:
        _check_base(found.base, config)
    try:
        adapted = found.adapt(views(load_pretrained(config)))
        for name, part in adapted.items():
            raw["method"][name] |= part.settings
        config = validate(raw)
        model = build_model(config)
        for part in adapted.values():
            _fill(model, part.values)
        found.fill_head(model, config)
    except (ConfigError, KeyError, RuntimeError, IndexError) as error:
        raise ConfigError(f"{adapter}: does not fit {config.model.name} and {config.task.name}: {error}") from error
    save_adapter(model.state(), header(config), folder)
    write_atomically(folder / files.CONFIG, json.dumps(config.to_dict(), indent=2) + "\n")
    return config


def _compose(overrides: Sequence[str], method: str) -> dict[str, Any]:
    """Composes a configuration. Its default precision is fp32, in which other libraries compute."""
    if named := [override for override in overrides if override.lstrip("+~").startswith("method")]:
        raise ConfigError(f"{named[0]}: the method comes from the adapter; give model and task")
    raw = to_plain(compose_config(*overrides, f"method={method}"))
    if raw["trainer"]["precision"] == "auto":
        raw["trainer"]["precision"] = "fp32"
    return raw


def _check_base(base: Base, config: RunConfig) -> None:
    """Checks that the adapter was trained on the model: by content if both record it, else by name."""
    model = config.model
    if model.content and base.content == model.content:
        return
    same_name = base.name in (model.source, base_model(config)) and base.revision == model.revision
    if same_name and not (model.content and base.content) and not model.gguf_file:
        return
    why = ""
    if same_name:
        why = ", of which a GGUF file is one of several" if model.gguf_file else ", which holds other files now"
    raise ConfigError(
        f"the adapter is for {_named(base.name, base.revision)}{why}, and the model is "
        f"{_named(model.source, model.revision)}; choose model=NAME or model.source=..., or give --any-base if it has "
        f"the same weights all the same"
    )


def _named(source: object, revision: str | None) -> str:
    return f"{source!r}" + (f" at revision {revision!r}" if revision else "")


def _fill(model: TunedModel, values: Tensors) -> None:
    trained = model.trained()
    for name, value in values.items():
        own = trained[f"{BACKBONE}.{name}"]
        if own.shape != value.shape:
            raise ConfigError(f"{name} has the shape {tuple(value.shape)}, and the model's {tuple(own.shape)}")
        own.detach().copy_(value)
