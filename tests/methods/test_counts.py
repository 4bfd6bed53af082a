"""Parameter counts of real architectures in closed form; no weights are loaded."""

from collections.abc import Callable

import pytest
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, PreTrainedModel

from tests.tiny import part, trained, tune

D, N, FFN, BOTTLENECK, HALF, PREFIX, PROMPT = 1024, 24, 4096, 22, 11, 22, 20
ADAPTER = N * (2 * D * BOTTLENECK + BOTTLENECK + D)

BERT = {
    "head": 0,
    "adalora": N * 12 * (10 * D + 2 * FFN + 6),
    "hadamard": 2 * N * 2 * D,
    "loreft": N * (2 * 8 * D + 8),
    "red": N * 2 * D,
    "ssf": N * (2 * (5 * D + FFN) + 2 * 2 * D),
    "beft": N * D,
    "ln": N * 2 * 2 * D,
    "bitfit": N * (4 * D + FFN + D + 2 * D),
    "prefix": N * 2 * PREFIX * D,
    "adapter": ADAPTER,
    "mha_adapter": ADAPTER,
    "parallel_adapter": ADAPTER,
    "mha_parallel_adapter": ADAPTER,
    "houlsby": 2 * N * (2 * D * HALF + HALF + D),
    "mam": ADAPTER + N * 2 * PREFIX * D,
    "prompt": PROMPT * D,
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


@pytest.mark.parametrize(("blocks", "share"), [("all", 0.033), ("5-12", 0.022)])
def test_shares_that_the_paper_of_hadamard_adapters_states_for_bert_base(blocks: str, share: float) -> None:
    with torch.device("meta"):
        model = BertModel(BertConfig())
    size = model.num_parameters()
    tune(model, {"hadamard": part("hadamard", layers=blocks)})
    count = sum(parameter.numel() for parameter in trained(model).values())
    assert count == 4 * 768 * (12 if blocks == "all" else 8)
    assert abs(100 * count / size - share) < 0.001


def test_sizes_that_the_literature_states_for_bert_large() -> None:
    assert bert_large(30_522).num_parameters() == 335_141_888
    assert BERT["ln"] == 98_304
    assert BERT["bitfit"] == 270_336


@pytest.mark.parametrize(
    ("method", "percent"),
    [
        *[(name, 0.33) for name in ("adapter", "mha_adapter", "parallel_adapter", "mha_parallel_adapter", "houlsby")],
        ("prefix", 0.33),
        ("mam", 0.66),
        ("ln", 0.03),
        ("bitfit", 0.08),
    ],
)
def test_shares_that_the_literature_states_for_bert_large(method: str, percent: float) -> None:
    assert abs(100 * BERT[method] / 335_141_888 - percent) < 0.01
