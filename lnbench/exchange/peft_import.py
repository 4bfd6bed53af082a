"""Turns an adapter in HF peft's format (0.21) into a tuned model: LN-tuning, LoRA, (IA)^3, OFT, VeRA and BEFT."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import read_json
from lnbench.exchange import adapterhub
from lnbench.exchange.heads import HEAD_FILE, Unequal, from_transformers, put_plain_linear, read_head
from lnbench.exchange.importing import Base, Found, Part, import_found
from lnbench.exchange.peft_format import BASE, CONFIG, PREFIX, WEIGHTS
from lnbench.exchange.peft_methods import KINDS, Adapter, Kind

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
        adapter: folder that HF peft has saved, with adapter_config.json and adapter_model.safetensors, or AdapterHub's
            `adapters`; and with head.safetensors if a task head is beside the adapter.
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
    try:
        about = read_json(adapter / CONFIG)
    except (OSError, ValueError) as error:
        raise _unreadable(adapter, error) from error
    found = adapterhub.find(adapter, about) if adapterhub.wrote(about) else _find(adapter, about)
    return import_found(found, adapter, folder, overrides, any_base)


def _find(folder: Path, about: Any) -> Found:
    theirs = _read(folder, about)
    kind, base = (
        KINDS[about["peft_type"]],
        Base(about.get("base_model_name_or_path"), about.get("revision") or None, theirs.base_content),
    )
    return Found(kind.method, base, partial(_adapt, theirs, kind), partial(_fill_head, theirs, folder / HEAD_FILE))


def _adapt(theirs: Adapter, kind: Kind, backbones: Sequence[Backbone]) -> dict[str, Part]:
    return {kind.method: kind.read(theirs, backbones)}


def _read(folder: Path, about: Any) -> Adapter:
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            names: list[str] = file.keys()
            tensors, base = {name: file.get_tensor(name) for name in names}, (file.metadata() or {}).get(BASE)
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
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


def _unreadable(folder: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{folder}: is no adapter of peft that can be read ({error})")


def _fill_head(theirs: Adapter, beside: Path, model: TunedModel, config: RunConfig) -> None:
    """Loads the task head from the remaining tensors of the adapter, or from a file of its own."""
    left = theirs.tensors
    has_head = any(True for _ in model.head.parameters())
    if has_head and left:
        put_plain_linear(model.head, *from_transformers(config.task, model, left))
    elif has_head and beside.is_file():
        put_plain_linear(model.head, *read_head(beside, model.head))
    elif has_head:
        raise Unequal(f"it has no task head, neither inside nor in {beside.name}")
    elif left:
        raise Unequal(f"lnbench has no {', '.join(sorted(left)[:3])}")
