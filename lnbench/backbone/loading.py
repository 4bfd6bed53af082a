"""Loads pretrained weights and tokenizers: from a Python package, a folder, or the hub."""

import functools
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, get_session
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from lnbench.backbone.config import BackboneKind, ModelConfig
from lnbench.schema import ConfigError

PACKAGE_SCHEME = "package:"
WITH_POOLER = ("bert", "roberta", "xlm-roberta")
"""Architectures whose pooling layer can be left out."""
LOADERS: dict[BackboneKind, Any] = {"headless": AutoModel, "causal_lm": AutoModelForCausalLM}


def load_backbone(model: ModelConfig, kind: BackboneKind = "headless", pooler: bool = False) -> PreTrainedModel:
    """The pretrained transformer in fp32.

    Args:
        model: which weights.
        kind: without any head, or as a language model.
        pooler: keep the pretrained pooling layer, where the architecture has one.

    Raises:
        ConfigError: the weights are not there or cannot be read.
    """
    source, options = _origin(model)
    options |= _model_options(load_config(model), kind, pooler)
    with _quietly():
        return _from_pretrained(LOADERS[kind], model, source, use_safetensors=True, **options)


def empty_backbone(model: ModelConfig, kind: BackboneKind = "headless", pooler: bool = False) -> PreTrainedModel:
    """The same architecture with arbitrary weights; `model.shape`, where given, spares a download.

    Raises:
        ConfigError: the architecture is neither stated nor to be found.
    """
    local = model.source.startswith(PACKAGE_SCHEME) or Path(model.source).is_dir()
    config = load_config(model) if local or model.shape is None else AutoConfig.for_model(**model.shape)
    return LOADERS[kind].from_config(config, **_model_options(config, kind, pooler))


def load_config(model: ModelConfig) -> PreTrainedConfig:
    """The architecture of `model`, without its weights.

    Raises:
        ConfigError: the configuration is not there or cannot be read.
    """
    source, options = _origin(model)
    return _from_pretrained(AutoConfig, model, source, **options)


def load_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to `model`, with a padding token.

    A tokenizer without one (GPT-2's) pads with its end-of-text token; the attention mask keeps it
    out of sight.

    Raises:
        ConfigError: the tokenizer is not there or cannot be read.
    """
    source, options = _origin(model)
    tokenizer = _from_pretrained(AutoTokenizer, model, source, **options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def resolve_source(source: str) -> str:
    """A hub id or folder that transformers can load; `package:NAME/FOLDER` becomes the package's folder.

    Raises:
        ConfigError: the package is not installed or has no such folder.
    """
    if not source.startswith(PACKAGE_SCHEME):
        return source
    package, _, folder = source.removeprefix(PACKAGE_SCHEME).partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"model.source = {source!r}: the Python package {package!r} is not installed")
    path = Path(spec.submodule_search_locations[0]) / folder
    if not path.is_dir():
        raise ConfigError(f"model.source = {source!r}: the Python package {package!r} has no folder {folder!r}")
    return str(path)


def _origin(model: ModelConfig) -> tuple[str, dict[str, Any]]:
    source = resolve_source(model.source)
    if Path(source).is_dir():
        return source, {"local_files_only": True}
    return source, {"revision": model.revision, "local_files_only": not _hub_answers()}


@functools.cache
def _hub_answers() -> bool:
    """Whether there is a way to the hub; without one, transformers would try again and again for a minute."""
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # of whichever HTTP client the hub's library has
        return False
    return True


def _model_options(config: PreTrainedConfig, kind: BackboneKind, pooler: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    if kind == "headless" and config.model_type in WITH_POOLER:
        options["add_pooling_layer"] = pooler
    return options


def _from_pretrained(loader: Any, model: ModelConfig, source: str, **options: Any) -> Any:
    try:
        return loader.from_pretrained(source, **options)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"model.source = {model.source!r}: cannot be loaded ({str(error).splitlines()[0]}). It may be the id of a "
            f"hub model (needs a network once), a folder with config.json and model.safetensors, or package:NAME/FOLDER"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Hides transformers' report on weights that a headless model does not use."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
