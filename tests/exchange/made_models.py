"""Tiny models that are the same in every version of torch and transformers. It needs nothing of lnbench."""

import zlib
from typing import Any

import torch
import transformers
from torch import Tensor

LABELS = 13
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "vocab_size": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
IDS = [[5, 17, 40, 8, 99, 23, 64], [31, 7, 7, 52, 12, 90, 3]]
KINDS: dict[str, tuple[str, str]] = {
    "bert": ("BertConfig", "BertForTokenClassification"),
    "distilbert": ("DistilBertConfig", "DistilBertForTokenClassification"),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel"),
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "roberta": ("RobertaConfig", "RobertaForTokenClassification"),
}
"""By architecture, the configuration and the model in transformers."""


def base(kind: str, model_class: Any = None) -> Any:
    """A tiny model whose weights depend on nothing but the names and shapes of its parameters.

    Args:
        kind: one of `KINDS`; with `_bf16` at its end, the weights are rounded.
        model_class: another class of model.
    """
    architecture = kind.partition("_")[0]
    config_name, model_name = KINDS[architecture]
    more = {"num_key_value_heads": 1} if architecture == "llama" else {"num_labels": LABELS}
    config = getattr(transformers, config_name)(**SIZES, **more)
    config._attn_implementation = "eager"
    model = (model_class or getattr(transformers, model_name))(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(waves(name, parameter) + ("norm" in name.lower() and name.endswith("weight")))
            if kind.endswith("bf16"):
                parameter.data = parameter.to(torch.bfloat16)  # and no buffers, such as rotary frequencies
    return model.eval()


def waves(name: str, like: Tensor) -> Tensor:
    """Numbers between -0.3 and 0.3 of a tensor's shape, which depend on its name."""
    start = zlib.crc32(name.encode()) % 1000
    return (0.3 * torch.sin(torch.arange(like.numel(), dtype=torch.float64) * 1.7 + start)).reshape(like.shape)
