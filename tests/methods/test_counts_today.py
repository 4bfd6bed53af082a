"""Parameter counts of models that are used today, in closed form; no weights are loaded."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel

from lnbench.methods.base import Method
from tests.tiny import part, trained, tune

SHAPES: dict[str, dict[str, Any]] = {
    "ModernBERT-base": {"model_type": "modernbert"},
    "Gemma-3-270M": {
        "model_type": "gemma3_text",
        "vocab_size": 262_144,
        "hidden_size": 640,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "intermediate_size": 2048,
    },
    "Qwen3-0.6B": {
        "model_type": "qwen3",
        "vocab_size": 151_936,
        "hidden_size": 1024,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 3072,
    },
    "OLMo-2-1B": {
        "model_type": "olmo2",
        "vocab_size": 100_352,
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "intermediate_size": 8192,
    },
}
SIZES = {
    "ModernBERT-base": 149_014_272,
    "Gemma-3-270M": 268_098_176,
    "Qwen3-0.6B": 596_049_920,
    "OLMo-2-1B": 1_484_916_736 - 100_352 * 2048,
}
"""Parameters of the headless models; OLMo 2 unties its output layer, which the size that it states counts."""


def model_of(name: str) -> PreTrainedModel:
    settings = dict(SHAPES[name])
    with torch.device("meta"):
        model: PreTrainedModel = AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
    return model


@pytest.mark.parametrize("name", SHAPES)
def test_the_shapes_are_those_of_the_models(name: str) -> None:
    assert model_of(name).num_parameters() == SIZES[name]


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("ModernBERT-base", part("ln", embedding_norm=True), 34_560),
        ("ModernBERT-base", part("ln"), 34_560 - 768),
        ("ModernBERT-base", part("prefix", length=10), 22 * 2 * 10 * 768),
        ("Gemma-3-270M", part("ln"), 18 * 4 * 640),
        ("Gemma-3-270M", part("ln", embedding_norm=True), 18 * 4 * 640 + 640),
        ("Gemma-3-270M", part("ln", norms=["inner"]), 18 * 2 * 256),
        ("Gemma-3-270M", part("prefix", length=10), 18 * 2 * 10 * 256),
        ("Qwen3-0.6B", part("ln"), 28 * 2 * 1024),
        ("Qwen3-0.6B", part("ln", norms=["inner"]), 28 * 2 * 128),
        ("Qwen3-0.6B", part("prefix", length=10), 28 * 2 * 10 * 8 * 128),
        ("OLMo-2-1B", part("ln"), 16 * 2 * 2048),
        ("OLMo-2-1B", part("ln", norms=["inner"]), 16 * 2 * 2048),
    ],
)
def test_trained_parameters_in_closed_form(name: str, method: Method, expected: int) -> None:
    model = model_of(name)
    tune(model, {method.kind: method})
    assert sum(parameter.numel() for parameter in trained(model).values()) == expected
