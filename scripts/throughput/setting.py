"""The common input of all frameworks: one model in a folder, one data set, and one configuration for each method."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers.utils import logging

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.loading import empty_backbone, load_tokenizer
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.core.schema import ConfigError
from lnbench.tasks.sequence_classification import SequenceClassification
from lnbench.training.assemble import check_length, load_pretrained
from scripts.throughput.flops import MatmulSpeed
from scripts.throughput.step import device_of, in_bf16


def configure(methods: Sequence[str], overrides: Sequence[str]) -> dict[str, RunConfig]:
    """The checked configuration of each method.

    Args:
        methods: methods or sums, as in `method=`.
        overrides: all other overrides, as on lnbench's command line.

    Raises:
        ConfigError: a configuration is not possible, or its task is no classification of sentences.
    """
    short = "++task.splits.validation_limit=64"
    configs = {
        name: validate(to_plain(compose_config(*overrides, f"method={name}", short))) for name in dict.fromkeys(methods)
    }
    for config in configs.values():
        if not isinstance(config.task, SequenceClassification):
            raise ConfigError(f"task = {config.task.name!r}: is no classification of sentences, such as task=tweets")
    return configs


def put_model(config: RunConfig, folder: Path, random_weights: bool) -> None:
    """Saves the model and its tokenizer, for all frameworks to load.

    Args:
        config: configuration that names the model.
        folder: folder for the files.
        random_weights: whether to use the model's architecture with random weights, and MiniLM's tokenizer and
            vocabulary, which need no download.
    """
    if random_weights:
        minilm = validate(to_plain(compose_config("model=minilm"))).model
        tokenizer = load_tokenizer(minilm)
        backbone = empty_backbone(config.model, config.task.backbone, pooler=config.model.pooling == "pooler")
        backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    else:
        tokenizer, backbone = load_tokenizer(config.model), load_pretrained(config)
    logging.disable_progress_bar()
    backbone.config.pad_token_id = tokenizer.pad_token_id
    backbone.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def with_model(config: RunConfig, folder: Path) -> RunConfig:
    """The configuration with the model that `put_model` saved.

    Raises:
        ConfigError: the model has too few positions for the task.
    """
    source = {"source": str(folder), "revision": None, "gguf_file": None, "content": None}
    config = config.model_copy(update={"model": config.model.model_copy(update=source)})
    check_length(config)
    return config


def new_matmul(config: RunConfig, tokens: int) -> MatmulSpeed:
    """Speed of the first layer of a block's feed-forward network, which is one of the block's two largest layers.

    Args:
        config: configuration with model, device and precision.
        tokens: number of tokens in a batch.
    """
    with torch.device("meta"):
        backbone = Backbone(empty_backbone(config.model, config.task.backbone))
    layer = backbone.linear_maps("ffn_input", 0)[0]
    dtype = torch.bfloat16 if in_bf16(config) else torch.float32
    return MatmulSpeed(tokens, (layer.in_features, layer.out_features), device_of(config), dtype)
