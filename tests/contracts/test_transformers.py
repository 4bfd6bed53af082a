"""What lnbench relies on in transformers 5.23, and what breaks here if it changes."""

import tempfile
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModel,
    GPT2LMHeadModel,
    PreTrainedModel,
    T5Config,
    T5Model,
    masking_utils,
)
from transformers.integrations import ggml, sdpa_attention

from lnbench.backbone.backbone import role_table
from tests.tiny import CONFIGS, EVERY_ARCHITECTURE, HEADS, LAYERS, VOCABULARY, batch, tiny, tiny_generator

CALLERS = [name for name in EVERY_ARCHITECTURE if role_table(CONFIGS[name]).attention and name != "mpnet"]
OTHERS = sorted({"mpnet", *EVERY_ARCHITECTURE} - set(CALLERS))
Call = dict[str, Any]


def calls_in(model: PreTrainedModel, **inputs: Tensor) -> list[Call]:
    """The mask and the keywords of each call of an attention function in one forward pass."""
    calls: list[Call] = []

    def look(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **keywords: Any
    ) -> tuple[Tensor, None]:
        calls.append({"module": module, "mask": attention_mask, **keywords})
        known = {name: keywords[name] for name in ("dropout", "scaling", "position_bias") if name in keywords}
        return sdpa_attention.sdpa_attention_forward(module, query, key, value, attention_mask, **known)

    AttentionMaskInterface.register("contract", masking_utils.sdpa_mask)
    AttentionInterface.register("contract", look)
    model.set_attn_implementation("contract")
    with torch.no_grad():
        model(**inputs)
    return calls


def t5() -> PreTrainedModel:
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": LAYERS,
        "num_heads": HEADS,
    }
    model: PreTrainedModel = T5Model(T5Config(**sizes, pad_token_id=0))
    model.eval()
    return model


@pytest.mark.parametrize("architecture", CALLERS)
def test_the_attention_of_each_block_calls_the_function(architecture: str) -> None:
    """Else prefixes and the cheap dropout are refused: `attention` in backbone/tables.py is then wrong."""
    assert len(calls_in(tiny(architecture), **batch())) == LAYERS


@pytest.mark.parametrize("architecture", OTHERS)
def test_other_architectures_ignore_the_function_in_silence(architecture: str) -> None:
    """So use_function looks whether one was called. Else name its `attention` in backbone/tables.py, for prefixes."""
    assert calls_in(tiny(architecture), **batch()) == []


def test_t5_gives_its_relative_positions_as_a_keyword() -> None:
    """Else attention functions compute T5 without positions: backbone/attention.py, parts/prefix_attention.py."""
    inputs = batch()
    calls = calls_in(t5(), **inputs, decoder_input_ids=inputs["input_ids"])
    assert len(calls) == 3 * LAYERS
    assert all(call["scaling"] == 1.0 for call in calls)
    assert [tuple(call["position_bias"].shape) for call in calls] == [(1, HEADS, 7, 7)] * len(calls)


def test_the_function_for_sdpa_adds_a_position_bias() -> None:
    """Else MPNet, whose attention backbone/mpnet.py routes, loses its positions."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, HEADS, 5, 8) for _ in range(3))
    bias = torch.randn(1, HEADS, 5, 5)
    given, _ = sdpa_attention.sdpa_attention_forward(
        nn.Module(), query, key, value, None, scaling=0.5, position_bias=bias, is_causal=False
    )
    expected = (0.5 * query @ key.mT + bias).softmax(-1) @ value
    torch.testing.assert_close(given, expected.transpose(1, 2))


def test_gemma2_gives_its_soft_cap_as_a_keyword() -> None:
    """Else backbone/attention.py does not cap Gemma 2's scores, and all its numbers change."""
    assert [call["softcap"] for call in calls_in(tiny("gemma2"), **batch())] == [2.0] * LAYERS


@pytest.mark.parametrize("architecture", ["gemma3", "modernbert"])
def test_sliding_layers_have_a_mask_of_their_own(architecture: str) -> None:
    """Else parts/prefix_attention.py, which widens the mask it is given, lets these layers see the whole text."""
    sliding, full, other = (int(call["mask"][0].sum()) for call in calls_in(tiny(architecture), **batch((7, 4))))
    assert sliding == other < full


def test_a_decoder_without_padding_gets_no_mask() -> None:
    """parts/prefix_attention.py then makes the causal mask from `is_causal`; else that code is not needed."""
    ids = batch((7, 7))["input_ids"]
    calls = calls_in(tiny("llama"), input_ids=ids, attention_mask=torch.ones_like(ids))
    assert [(call["mask"], call["module"].is_causal) for call in calls] == [(None, True)] * LAYERS


def test_masks_are_boolean_and_true_where_a_key_is_seen() -> None:
    """Else parts/prefix_attention.py, which adds True for the prefix, hides the prefix."""
    inputs = batch((7, 4))
    for call in calls_in(tiny("bert"), **inputs):
        assert call["mask"].dtype == torch.bool
        assert torch.equal(call["mask"], inputs["attention_mask"].bool()[:, None, None].expand_as(call["mask"]))


def test_weights_are_loaded_in_the_type_of_the_file_unless_one_is_named() -> None:
    """backbone/loading.py names fp32, as a bf16 backbone with a new fp32 head would be a mixed model."""
    with tempfile.TemporaryDirectory() as folder:
        tiny("bert").bfloat16().save_pretrained(folder)
        assert AutoModel.from_pretrained(folder).dtype == torch.bfloat16
        named = AutoModel.from_pretrained(folder, dtype=torch.float32)
    assert {value.dtype for value in named.state_dict().values() if value.is_floating_point()} == {torch.float32}


def test_the_reader_of_gguf_files_knows_no_scaling_of_positions() -> None:
    """So backbone/gguf.py refuses files of Llamas whose rotary embedding is scaled; else it need not."""
    keys: Any = ggml.GGUF_CONFIG_MAPPING["llama"]
    assert "rope.freq_base" in keys
    assert not [key for key in keys if key.startswith("rope.scaling")]


def test_generation_knows_positions_behind_padding_on_the_left() -> None:
    """tasks/parts/decoding.py pads on the left and gives no positions; else GPT-2's texts depend on the batch."""
    model: Any = tiny_generator("gpt2")
    text = batch((5,))["input_ids"]
    padded = nn.functional.pad(text, (4, 0))
    options: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "output_logits": True}
    options["return_dict_in_generate"] = True
    alone = model.generate(text, attention_mask=torch.ones_like(text), **options)
    beside = model.generate(padded, attention_mask=(padded > 0).long(), **options)
    torch.testing.assert_close(torch.stack(beside.logits), torch.stack(alone.logits), rtol=1e-4, atol=1e-4)


def without(*names: str) -> Callable[[Any, Any], None]:
    """`register` of a library that does not give these keywords to attention functions."""
    register = AttentionInterface.register.__func__  # type: ignore[attr-defined]

    def changed(cls: Any, key: str, function: Callable[..., Any]) -> None:
        @wraps(function)
        def less(*args: Any, **keywords: Any) -> Any:
            return function(*args, **{name: value for name, value in keywords.items() if name not in names})

        register(cls, key, less)

    return classmethod(changed)  # type: ignore[return-value]


def everything(*_: Any) -> Callable[..., Tensor]:
    return lambda batch_idx, head_idx, q_idx, kv_idx: q_idx.new_ones((), dtype=torch.bool)


def always_a_mask(*args: Any, **keywords: Any) -> Tensor | None:
    return SDPA_MASK(*args, **keywords | {"allow_is_causal_skip": False})


def additive(*args: Any, **keywords: Any) -> Tensor | None:
    mask = SDPA_MASK(*args, **keywords)
    return None if mask is None else (~mask).float() * -1e9


def no_bias(*args: Any, position_bias: Tensor | None = None, **keywords: Any) -> Any:
    return SDPA(*args, **keywords)


def loaded_in_fp32(*args: Any, **keywords: Any) -> Any:
    return LOAD(*args, **{"dtype": torch.float32} | keywords)


@wraps(GPT2LMHeadModel.forward)
def without_positions(*args: Any, position_ids: Tensor | None = None, **keywords: Any) -> Any:
    return FORWARD(*args, **keywords)


def obeyed(self: PreTrainedModel, name: str) -> None:
    function, vectors = AttentionInterface()[name], torch.zeros(1, 1, 1, 4)

    def call(module: nn.Module, *_: Any) -> None:
        function(module, vectors, vectors, vectors, None)

    self.register_forward_hook(call)


SDPA_MASK, SDPA = masking_utils.sdpa_mask, sdpa_attention.sdpa_attention_forward
LOAD, FORWARD = AutoModel.from_pretrained, GPT2LMHeadModel.forward
CHANGES: list[tuple[Callable[..., None], list[str], str, Any]] = [
    (
        test_the_attention_of_each_block_calls_the_function,
        ["bert"],
        "transformers.PreTrainedModel.set_attn_implementation",
        max,
    ),
    (
        test_other_architectures_ignore_the_function_in_silence,
        ["gptj"],
        "transformers.PreTrainedModel.set_attn_implementation",
        obeyed,
    ),
    (
        test_t5_gives_its_relative_positions_as_a_keyword,
        [],
        "transformers.AttentionInterface.register",
        without("position_bias"),
    ),
    (
        test_the_function_for_sdpa_adds_a_position_bias,
        [],
        "transformers.integrations.sdpa_attention.sdpa_attention_forward",
        no_bias,
    ),
    (test_gemma2_gives_its_soft_cap_as_a_keyword, [], "transformers.AttentionInterface.register", without("softcap")),
    (
        test_sliding_layers_have_a_mask_of_their_own,
        ["gemma3"],
        "transformers.masking_utils.sliding_window_overlay",
        everything,
    ),
    (test_a_decoder_without_padding_gets_no_mask, [], "transformers.masking_utils.sdpa_mask", always_a_mask),
    (
        test_masks_are_boolean_and_true_where_a_key_is_seen,
        [],
        "transformers.masking_utils.sdpa_mask",
        additive,
    ),
    (
        test_weights_are_loaded_in_the_type_of_the_file_unless_one_is_named,
        [],
        "transformers.AutoModel.from_pretrained",
        loaded_in_fp32,
    ),
    (
        test_the_reader_of_gguf_files_knows_no_scaling_of_positions,
        [],
        "transformers.integrations.ggml.GGUF_CONFIG_MAPPING",
        {"llama": {"rope.freq_base": "rope_theta", "rope.scaling.type": "rope_type"}},
    ),
    (
        test_generation_knows_positions_behind_padding_on_the_left,
        [],
        "transformers.GPT2LMHeadModel.forward",
        without_positions,
    ),
]


@pytest.mark.parametrize(
    ("contract", "arguments", "name", "changed"), CHANGES, ids=lambda value: getattr(value, "__name__", "")
)
def test_contract_fails_if_the_library_changes(
    contract: Callable[..., None], arguments: list[str], name: str, changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name, changed)
    with pytest.raises((AssertionError, KeyError)):
        contract(*arguments)
