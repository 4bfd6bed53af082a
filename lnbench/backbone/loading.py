"""Loads pretrained weights and tokenizers: from a Python package, a folder, or the hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from lnbench.backbone import gguf
from lnbench.backbone.config import BackboneKind, ModelConfig
from lnbench.backbone.quantization import check_quantizable, quantize, require_torchao
from lnbench.backbone.source import PACKAGE_SCHEME, check_content, resolve_source
from lnbench.backbone.tables import DECODERS
from lnbench.backbone.vocabulary import START, grow_embedding, known_tokens, start_of
from lnbench.core.digests import hub_answers
from lnbench.core.errors import is_out_of_memory
from lnbench.core.schema import ConfigError

WITH_POOLER = ("bert", "camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl")
"""Architectures that can be loaded without their pooling layer."""
LANGUAGE_MODELS = (
    "apertus",
    "arcee",
    "bloom",
    "cohere",
    "cohere2",
    "ernie4_5",
    "exaone4",
    "falcon",
    "gemma",
    "gemma2",
    "gemma3_text",
    "glm",
    "glm4",
    "gpt2",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "granite",
    "helium",
    "hunyuan_v1_dense",
    "llama",
    "ministral",
    "mistral",
    "olmo",
    "olmo2",
    "olmo3",
    "opt",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "seed_oss",
    "smollm3",
    "stablelm",
    "starcoder2",
)
"""Decoders with a role table."""
POOLERS = (*WITH_POOLER, "albert")
"""Architectures with a pooling layer."""
LOADERS: dict[BackboneKind, Any] = {"headless": AutoModel, "causal_lm": AutoModelForCausalLM}


def load_backbone(model: ModelConfig, kind: BackboneKind = "headless", pooler: bool = False) -> PreTrainedModel:
    """The pretrained transformer in fp32, or with quantised weights.

    Args:
        model: the pretrained model.
        kind: `headless`, or a language model, whose texts end with the tokenizer's end token.
        pooler: whether to keep the pretrained pooling layer, if the architecture has one.

    Raises:
        ConfigError: the weights are missing, cannot be read, are not those of the configuration, or are not those of a
            language model if one is needed.
    """
    check_content(model)
    source, options = _origin(model)
    config = load_config(model)
    options |= {"config": config, "use_safetensors": True, **_model_options(config, kind, pooler)}
    with _quietly():
        backbone: PreTrainedModel = _from_pretrained(_loader(config, kind), model, source, **options)
    _grow(backbone, model)
    if model.quantization:
        quantize(backbone, model.quantization)
    if kind == "causal_lm":
        tokenizer = load_tokenizer(model)
        backbone.generation_config = GenerationConfig(
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            decoder_start_token_id=start_of(tokenizer),
        )
    return backbone


def empty_backbone(model: ModelConfig, kind: BackboneKind = "headless", pooler: bool = False) -> PreTrainedModel:
    """The same architecture with arbitrary weights. If `model.shape` is given, nothing is downloaded.

    Raises:
        ConfigError: the architecture is not known, is not a language model if one is needed, or cannot be quantised as
            `model` says.
    """
    config = stated_config(model)
    options = _model_options(config, kind, pooler)
    backbone: PreTrainedModel = _loader(config, kind).from_config(config, **options)
    _grow(backbone, model)
    if model.quantization:
        check_quantizable(backbone, model.quantization)
    return backbone


def stated_config(model: ModelConfig) -> PreTrainedConfig:
    """The architecture of `model`. If `model.shape` is given, nothing is downloaded.

    Raises:
        ConfigError: as `load_config`.
    """
    local = model.source.startswith(PACKAGE_SCHEME) or Path(model.source).is_dir()
    shape: dict[str, Any] | None = None if local else model.shape
    if shape is None:
        return load_config(model)
    config: PreTrainedConfig = AutoConfig.for_model(**shape)
    return config


def _grow(backbone: PreTrainedModel, model: ModelConfig) -> None:
    if model.grow_embedding:
        grow_embedding(backbone, known_tokens(load_tokenizer(model)))


def require_kind(config: PreTrainedConfig, kind: BackboneKind) -> None:
    """Checks that an architecture suits the task.

    Raises:
        ConfigError: the task needs a language model and this is none; or this is an encoder-decoder and the task does
            not generate; or the model attends to the output of another one.
    """
    if kind == "causal_lm" and config.model_type not in (*LANGUAGE_MODELS, *DECODERS):
        raise ConfigError(
            f"model: the task generates text, and the architecture {config.model_type!r} does not; choose a decoder, "
            f"such as model=gemma3_270m, gpt2, gpt2_medium, opt_350m, pythia_160m, qwen3_0_6b or smollm2_135m, an "
            f"encoder-decoder, such as model=t5_small, flan_t5_base or bart_base, or another of these architectures: "
            f"{', '.join(sorted((*LANGUAGE_MODELS, *DECODERS)))}"
        )
    if kind == "headless" and config.model_type in DECODERS:
        raise ConfigError(
            f"model: the architecture {config.model_type!r} is an encoder-decoder, which writes a text, and the task "
            f"does not generate; choose a task that does, such as task=e2e_nlg or task=samsum, or a model such as "
            f"model=minilm or model=bert_base"
        )
    if config.model_type not in DECODERS and getattr(config, "add_cross_attention", False):
        raise ConfigError(
            "model: add_cross_attention = true in its configuration: its blocks attend to the output of an encoder, "
            "and there is none; set it to false"
        )


def require_pooling(config: PreTrainedConfig, pooling: str) -> None:
    """Checks that an architecture has the chosen sentence vector.

    Raises:
        ConfigError: it needs a pooling layer and has none.
    """
    if pooling == "pooler" and config.model_type not in POOLERS:
        raise ConfigError(
            f"model.pooling = 'pooler': the architecture {config.model_type!r} has no pooler; choose mean, first or "
            f"last"
        )


def load_config(model: ModelConfig) -> PreTrainedConfig:
    """The architecture of `model`, without its weights.

    Raises:
        ConfigError: the configuration is missing or cannot be read.
    """
    if model.quantization:
        require_torchao(model.quantization)
    source, options = _origin(model)
    config: PreTrainedConfig = _from_pretrained(AutoConfig, model, source, trust_remote_code=False, **options)
    return config


def load_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to `model`, with a padding token.

    A tokenizer without a padding token (GPT-2's) pads with its end-of-text token, which the attention mask hides. The
    tokenizer of an encoder-decoder also has the start token of the decoder (`start_of`).

    Raises:
        ConfigError: the tokenizer is missing or cannot be read; or the configuration of an encoder-decoder does not
            name the start token of the decoder.
    """
    source, options = _origin(model)
    tokenizer: PreTrainedTokenizerBase = _from_pretrained(AutoTokenizer, model, source, **options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.gguf_file is None and (config := load_config(model)).model_type in DECODERS:
        start = getattr(config, START, None)
        if start is None:
            raise ConfigError(
                f"model.source = {model.source!r}: its config.json has no decoder_start_token_id, with which the "
                f"decoder starts; write it there (T5's is that of its padding token, 0)"
            )
        setattr(tokenizer, START, start)
    return tokenizer


def _origin(model: ModelConfig) -> tuple[str, dict[str, Any]]:
    source = resolve_source(model.source, model.install)
    local = Path(source).is_dir()
    file: dict[str, Any] = {}
    if model.gguf_file:
        gguf.require_reader(model.gguf_file)
        if local and (folder := _unpacked(model, source)):
            return str(folder), {"local_files_only": True}
        file = {"gguf_file": model.gguf_file}
    if local:
        return source, {"local_files_only": True, **file}
    return source, {"revision": model.content or model.revision, "local_files_only": not hub_answers(), **file}


def _loader(config: PreTrainedConfig, kind: BackboneKind) -> Any:
    written = kind == "causal_lm" and config.model_type in DECODERS
    return AutoModelForSeq2SeqLM if written else LOADERS[kind]


def _unpacked(model: ModelConfig, source: str) -> Path | None:
    assert model.gguf_file
    try:
        with _quietly():
            return gguf.unpacked(Path(source), model.gguf_file)
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        raise _unloadable(model, error) from error


def _model_options(config: PreTrainedConfig, kind: BackboneKind, pooler: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"dtype": torch.float32}
    require_kind(config, kind)
    if kind == "headless" and config.model_type in WITH_POOLER:
        options["add_pooling_layer"] = pooler
    return options


def _from_pretrained(loader: Any, model: ModelConfig, source: str, **options: Any) -> Any:
    try:
        return loader.from_pretrained(source, **options)
    except Exception as error:  # of any type, where a file is not what its name says
        if is_out_of_memory(error):
            raise
        raise _unloadable(model, error) from error


def _unloadable(model: ModelConfig, error: Exception) -> ConfigError:
    first, second, *_ = [line.strip() for line in str(error).splitlines()] + ["", ""]
    told = f"{first} {second}" if first.endswith(":") else first
    if not isinstance(error, (OSError, SafetensorError, ValueError)):
        told = f"{type(error).__name__}: {told}"
    return ConfigError(
        f"model.source = {model.source!r}: cannot be loaded ({told}). It may be the id of a hub model (needs a network "
        f"once), a folder with config.json and model.safetensors, or package:NAME/FOLDER"
    )


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
