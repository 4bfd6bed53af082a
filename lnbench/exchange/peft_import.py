"""Turns an adapter in HF peft's format (0.21) into a tuned model: LN-tuning, LoRA, (IA)^3, OFT, VeRA and BEFT."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from lnbench.backbone.backbone import views
from lnbench.backbone.tuned_model import BACKBONE, TunedModel
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.atomic_files import write_atomically
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import read_json
from lnbench.exchange.card_metadata import base_model
from lnbench.exchange.heads import HEAD_FILE, Unequal, from_transformers, put_plain_linear, read_head
from lnbench.exchange.peft_format import BASE, CONFIG, PREFIX, WEIGHTS
from lnbench.exchange.peft_methods import KINDS, Adapter, Tensors
from lnbench.records import files
from lnbench.records.adapter import header, save_adapter
from lnbench.training.assemble import build_model, load_pretrained

UNDERSTOOD = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "d_initial", "eps", "exclude_modules",
    "fan_in_fan_out", "feedforward_modules", "inference_mode", "init_ia3_weights", "init_lora_weights",
    "init_weights", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core",
    "module_dropout", "modules_to_save", "num_cayley_neumann_terms", "oft_block_size", "peft_type", "peft_version",
    "projection_prng_key", "qalora_group_size", "r", "rank_pattern", "revision", "save_projection", "target_modules",
    "task_type", "use_dora", "use_rslora", "vera_dropout",
}  # fmt: skip
"""Settings of an adapter that are read here, or that do not change its results."""
EMPTY: tuple[Any, ...] = (None, False, {}, [], "none")
"""Values of all other settings that have no effect."""
HARMLESS_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""Initialisations of LoRA that leave the pretrained weights unchanged."""


def import_peft(adapter: Path, folder: Path, overrides: Sequence[str], any_base: bool = False) -> RunConfig:
    """Writes the files of a tuned model that `lnbench.load` needs: its configuration and the trained values.

    Args:
        adapter: folder with adapter_config.json and adapter_model.safetensors, and with head.safetensors if a task head
            is beside the adapter.
        folder: folder to create.
        overrides: model and task, as for a run; the method comes from the adapter.
        any_base: whether to accept the model although the adapter names another.

    Returns:
        The configuration of the tuned model.

    Raises:
        ConfigError: the adapter cannot be read, has a feature that lnbench lacks, or does not fit the model or task;
            or the folder holds a run.
        DataError: the task takes settings from its data, and the data cannot be read.
    """
    if any((folder / name).exists() for name in (files.CONFIG, files.ADAPTER, files.RECORD)):
        raise ConfigError(f"{folder}: has a run already; choose another folder")
    theirs = _read(adapter)
    kind = KINDS[theirs.about["peft_type"]]
    raw = _compose(overrides, kind.method)
    config = validate(raw)
    if not any_base:
        _check_base(theirs, config)
    try:
        backbones = views(load_pretrained(config))
        if len(backbones) > 1:
            raise ConfigError("adapters of peft are not taken for encoder-decoders")
        adapted = kind.read(theirs, backbones[0])
        raw["method"][kind.method] |= adapted.settings
        config = validate(raw)
        model = build_model(config)
        _fill(model, adapted.values)
        _fill_head(model, config, theirs.tensors, adapter / HEAD_FILE)
    except (ConfigError, KeyError, RuntimeError, IndexError) as error:
        raise ConfigError(f"{adapter}: does not fit {config.model.name} and {config.task.name}: {error}") from error
    save_adapter(model.state(), header(config), folder)
    write_atomically(folder / files.CONFIG, json.dumps(config.to_dict(), indent=2) + "\n")
    return config


def _compose(overrides: Sequence[str], method: str) -> dict[str, Any]:
    """Composes a configuration. Its default precision is fp32, in which peft computes."""
    if named := [override for override in overrides if override.lstrip("+~").startswith("method")]:
        raise ConfigError(f"{named[0]}: the method comes from the adapter; give model and task")
    raw = to_plain(compose_config(*overrides, f"method={method}"))
    if raw["trainer"]["precision"] == "auto":
        raw["trainer"]["precision"] = "fp32"
    return raw


def _read(folder: Path) -> Adapter:
    try:
        about = read_json(folder / CONFIG)
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            names: list[str] = file.keys()
            tensors, base = {name: file.get_tensor(name) for name in names}, (file.metadata() or {}).get(BASE)
    except (OSError, ValueError, SafetensorError) as error:
        raise ConfigError(f"{folder}: is no adapter of peft that can be read ({error})") from error
    kind = about.get("peft_type") if isinstance(about, dict) else None
    if kind not in KINDS:
        raise ConfigError(f"{folder / CONFIG}: peft_type = {kind!r}; known: {', '.join(KINDS)}")
    foreign = {name: value for name, value in about.items() if name not in UNDERSTOOD and value not in EMPTY}
    if (start := about.get("init_lora_weights")) not in HARMLESS_STARTS:
        foreign["init_lora_weights"] = start
    if foreign:
        said = ", ".join(f"{name} = {value!r}" for name, value in sorted(foreign.items()))
        raise ConfigError(f"{folder / CONFIG}: {said}: has no counterpart in lnbench")
    return Adapter(about, base, {name.removeprefix(PREFIX): tensor.float() for name, tensor in tensors.items()})


def _check_base(theirs: Adapter, config: RunConfig) -> None:
    """Checks that the adapter was trained on the model: by content if both record it, else by name."""
    model, about = config.model, theirs.about
    if model.content and theirs.base_content == model.content:
        return
    name, revision = about.get("base_model_name_or_path"), about.get("revision") or None
    same_name = name in (model.source, base_model(config)) and revision == model.revision
    if same_name and not (model.content and theirs.base_content) and not model.gguf_file:
        return
    why = ""
    if same_name:
        why = ", of which a GGUF file is one of several" if model.gguf_file else ", which holds other files now"
    raise ConfigError(
        f"the adapter is for {_named(name, revision)}{why}, and the model is {_named(model.source, model.revision)}; "
        f"choose model=NAME or model.source=..., or give --any-base if it has the same weights all the same"
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


def _fill_head(model: TunedModel, config: RunConfig, left: Tensors, beside: Path) -> None:
    """Loads the task head from the remaining tensors of the adapter, or from a file of its own."""
    has_head = any(True for _ in model.head.parameters())
    if has_head and left:
        put_plain_linear(model.head, *from_transformers(config.task, model, left))
    elif has_head and beside.is_file():
        put_plain_linear(model.head, *read_head(beside, model.head))
    elif has_head:
        raise Unequal(f"it has no task head, neither inside nor in {beside.name}")
    elif left:
        raise Unequal(f"lnbench has no {', '.join(sorted(left)[:3])}")
