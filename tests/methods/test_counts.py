"""Parameter counts of real architectures in closed form; no weights are loaded."""

from collections.abc import Callable

import pytest
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, PreTrainedModel

from tests.tiny import trained, tune

D, N, FFN, BOTTLENECK, PREFIX = 1024, 24, 4096, 22, 22
ADAPTER = N * (2 * D * BOTTLENECK + BOTTLENECK + D)

BERT = {
    "head": 0,
    "ln": N * 2 * 2 * D,
    "bitfit": N * (4 * D + FFN + D + 2 * D),
    "prefix": N * 2 * PREFIX * D,
    "adapter": ADAPTER,
    "mha_adapter": ADAPTER,
    "bitfit+ln": N * (4 * D + FFN + D + 2 * 2 * D),
    "ln+mha_adapter+prefix": N * 2 * 2 * D + ADAPTER + N * 2 * PREFIX * D,
}
GPT2 = {**BERT, "bitfit+ln": BERT["bitfit+ln"] + D}
"""By position, the last norm after FFN is GPT-2's final one, whose bias lies outside the blocks that BitFit covers."""


def bert_large(vocabulary: int) -> PreTrainedModel:
    with torch.device("meta"):
        return BertModel(
            BertConfig(
                vocab_size=vocabulary,
                hidden_size=D,
                num_hidden_layers=N,
                num_attention_heads=16,
                intermediate_size=FFN,
            )
        )


def gpt2_medium() -> PreTrainedModel:
    with torch.device("meta"):
        return GPT2Model(GPT2Config(n_embd=D, n_layer=N, n_head=16))


@pytest.mark.parametrize("method", BERT)
@pytest.mark.parametrize(("new_model", "expected"), [(lambda: bert_large(28_996), BERT), (gpt2_medium, GPT2)])
def test_trained_parameters_in_closed_form(
    new_model: Callable[[], PreTrainedModel], expected: dict[str, int], method: str
) -> None:
    model = new_model()
    tune(model, method)
    assert sum(parameter.numel() for parameter in trained(model).values()) == expected[method]


def test_sizes_and_shares_that_the_literature_states_for_bert_large() -> None:
    size = bert_large(30_522).num_parameters()
    assert size == 335_141_888
    assert BERT["ln"] == 98_304
    assert BERT["bitfit"] == 270_336
    assert round(100 * BERT["ln"] / size, 4) == 0.0293
    assert round(100 * BERT["bitfit"] / size, 2) == 0.08
    assert round(100 * BERT["adapter"] / size, 2) == 0.33
    assert abs(100 * BERT["prefix"] / size - 0.33) < 0.01
