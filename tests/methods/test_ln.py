"""Which norms LN-tuning trains, and that it learns as HF peft's LN tuning does."""

import pytest
import torch
from peft import LNTuningConfig, TaskType, get_peft_model
from torch import nn
from transformers import BertForSequenceClassification, GPT2ForSequenceClassification, PreTrainedModel

from lnbench.core.schema import ConfigError
from tests.tiny import CONFIGS, LAYERS, batch, part, tiny, trained, tune

POST = ["attention.output.LayerNorm", "output.LayerNorm"]


def norms(model: PreTrainedModel) -> set[str]:
    """Names of the norms that train, without their terms."""
    return {name.rpartition(".")[0] for name in trained(model)}


def tuned(architecture: str, **settings: object) -> PreTrainedModel:
    model = tiny(architecture)
    tune(model, {"ln": part("ln", **settings)})
    return model


def test_bert_has_both_norms_of_every_block() -> None:
    assert norms(tuned("bert")) == {f"encoder.layer.{layer}.{norm}" for layer in range(LAYERS) for norm in POST}


@pytest.mark.parametrize(("norm", "path"), [("mha", POST[0]), ("ffn", POST[1])])
def test_one_norm_of_a_bert_block(norm: str, path: str) -> None:
    assert norms(tuned("bert", norms=[norm])) == {f"encoder.layer.{layer}.{path}" for layer in range(LAYERS)}


@pytest.mark.parametrize(
    ("reading", "norm", "expected"),
    [
        ("position", "mha", {"h.0.ln_2", "h.1.ln_2", "h.2.ln_2"}),
        ("position", "ffn", {"h.1.ln_1", "h.2.ln_1", "ln_f"}),
        ("sublayer", "mha", {"h.0.ln_1", "h.1.ln_1", "h.2.ln_1"}),
        ("sublayer", "ffn", {"h.0.ln_2", "h.1.ln_2", "h.2.ln_2"}),
    ],
)
def test_the_two_readings_of_after_in_a_pre_ln_model(reading: str, norm: str, expected: set[str]) -> None:
    assert norms(tuned("gpt2", norms=[norm], norm_reading=reading)) == expected


@pytest.mark.parametrize(
    ("architecture", "settings", "extra"),
    [
        ("bert", {"embedding_norm": True}, "embeddings.LayerNorm"),
        ("gpt2", {"embedding_norm": True}, "h.0.ln_1"),
        ("gpt2", {"final_norm": True, "norm_reading": "sublayer"}, "ln_f"),
        ("deberta", {"embedding_norm": True}, "embeddings.LayerNorm"),
        ("deberta_v2", {"embedding_norm": True}, "embeddings.LayerNorm encoder.LayerNorm"),
        (
            "deberta_v2_conv",
            {"embedding_norm": True},
            "embeddings.LayerNorm encoder.LayerNorm encoder.conv.LayerNorm",
        ),
    ],
)
def test_the_norms_outside_the_blocks_on_request(architecture: str, settings: dict[str, object], extra: str) -> None:
    base = {key: value for key, value in settings.items() if key == "norm_reading"}
    assert norms(tuned(architecture, **settings)) - norms(tuned(architecture, **base)) == set(extra.split())


INNER = {
    "qwen3": ["self_attn.q_norm", "self_attn.k_norm"],
    "olmo2": ["self_attn.q_norm", "self_attn.k_norm"],
    "cohere": ["self_attn.q_norm", "self_attn.k_norm"],
    "phi": ["self_attn.q_layernorm", "self_attn.k_layernorm"],
    "stablelm": [
        *(f"self_attn.q_layernorm.norms.{head}" for head in range(4)),
        *(f"self_attn.k_layernorm.norms.{head}" for head in range(2)),
    ],
}


@pytest.mark.parametrize("architecture", INNER)
def test_norms_of_queries_and_keys_are_trained_on_request_alone(architecture: str) -> None:
    expected = {f"layers.{layer}.{name}" for layer in range(LAYERS) for name in INNER[architecture]}
    assert norms(tuned(architecture, norms=["inner"])) == expected
    outer = norms(tuned(architecture))
    assert not outer & expected
    assert norms(tuned(architecture, norms=["mha", "ffn", "inner"])) == outer | expected


@pytest.mark.parametrize("architecture", ["bert", "qwen2", "stablelm_parallel"])
def test_a_model_without_norms_of_queries_and_keys_is_refused(architecture: str) -> None:
    with pytest.raises(ConfigError, match=r"method\.ln\.norms = \['mha', 'ffn', 'inner'\]: .* no norms of queries and"):
        tuned(architecture, norms=["mha", "ffn", "inner"])


@pytest.mark.parametrize("architecture", ["phi", "cohere", "cohere2", "gptj", "falcon", "stablelm_parallel"])
@pytest.mark.parametrize("norm", ["mha", "ffn"])
def test_half_of_a_shared_norm_is_refused(architecture: str, norm: str) -> None:
    with pytest.raises(ConfigError, match=rf"method\.ln\.norms = \['{norm}'\]: .* share one norm .*; choose both"):
        tuned(architecture, norms=[norm])
    assert len(norms(tuned(architecture))) == LAYERS


def test_norms_without_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"method\.ln: the norms of the architecture 'olmo' have no parameters"):
        tuned("olmo")


def test_terms_that_no_norm_has_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"norms of the architecture 'llama' have nothing that terms = \['bias'\]"):
        tuned("llama", terms=["bias"])


def test_the_first_block_of_modernbert_has_one_norm_of_its_own() -> None:
    by_sublayer = norms(tuned("modernbert", norm_reading="sublayer"))
    assert by_sublayer == {"layers.0.mlp_norm"} | {
        f"layers.{layer}.{norm}" for layer in (1, 2) for norm in ("attn_norm", "mlp_norm")
    }
    everything = norms(tuned("modernbert", embedding_norm=True))
    assert everything == by_sublayer | {"embeddings.norm", "final_norm"}


def test_a_norm_that_no_chosen_block_has_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"method\.ln: the architecture 'modernbert' has no norms = \['mha'\] in"):
        tuned("modernbert", norm_reading="sublayer", norms=["mha"], layers="1")


@pytest.mark.parametrize(
    ("reading", "norm", "expected"),
    [
        ("position", "mha", {"post_attention_layernorm", "pre_feedforward_layernorm"}),
        ("position", "ffn", {"post_feedforward_layernorm", "input_layernorm"}),
        ("sublayer", "mha", {"input_layernorm", "post_attention_layernorm"}),
        ("sublayer", "ffn", {"pre_feedforward_layernorm", "post_feedforward_layernorm"}),
    ],
)
def test_each_reading_gives_a_sublayer_two_of_four_norms(reading: str, norm: str, expected: set[str]) -> None:
    found = norms(tuned("gemma2", norms=[norm], norm_reading=reading)) - {"norm"}
    assert {name.rpartition(".")[2] for name in found} == expected


@pytest.mark.parametrize(("terms", "suffixes"), [(["gain"], {"weight"}), (["bias"], {"bias"})])
def test_gain_or_bias_alone(terms: list[str], suffixes: set[str]) -> None:
    assert {name.rpartition(".")[2] for name in trained(tuned("bert", terms=terms))} == suffixes


@pytest.mark.parametrize(("layers", "expected"), [("2-3", {1, 2}), ([1, 3], {0, 2}), (2, {1}), (["1-2", 3], {0, 1, 2})])
def test_layer_ranges_count_from_1(layers: object, expected: set[int]) -> None:
    assert {int(name.split(".")[2]) for name in norms(tuned("bert", layers=layers))} == expected


def test_a_layer_that_the_model_has_not_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"method\.ln\.layers = '2-4': the model has layers 1-3"):
        tuned("bert", layers="2-4")


@pytest.mark.parametrize("layers", ["0-2", "3-2", "x", "1-", "", [0]])
def test_a_range_that_is_none_is_refused_before_a_model_is_there(layers: object) -> None:
    with pytest.raises(ConfigError, match=r"method\.ln\.layers = .*must be 'all', or layers counted from 1"):
        part("ln", layers=layers)


CLASSIFIERS = {
    "bert": (BertForSequenceClassification, POST, "classifier"),
    "gpt2": (GPT2ForSequenceClassification, ["ln_1", "ln_2", "ln_f"], "score"),
}


@pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("architecture", CLASSIFIERS)
def test_twenty_steps_cost_the_same_losses_as_with_hf_peft(architecture: str) -> None:
    ours, theirs = _classifier(architecture), _classifier(architecture)
    names, head = CLASSIFIERS[architecture][1:]
    pattern = rf".*(layer\.\d+|h\.\d+|transformer)\.({'|'.join(names)})"
    peft = get_peft_model(theirs, LNTuningConfig(target_modules=pattern, task_type=TaskType.SEQ_CLS))
    tune(ours, {"ln": part("ln", embedding_norm=architecture == "gpt2")})
    ours.get_submodule(head).requires_grad_(True)
    assert sum(p.numel() for p in trained(ours).values()) == sum(p.numel() for p in trained(peft).values())
    torch.testing.assert_close(_losses(ours), _losses(peft), rtol=0, atol=1e-5)


def _classifier(architecture: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = CLASSIFIERS[architecture][0](CONFIGS[architecture])
    model.config.pad_token_id = 0
    model.eval()
    return model


def _losses(model: nn.Module) -> torch.Tensor:
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for step in range(20):
        inputs = batch((9, 5, 7, 3), seed=step)
        loss = model(**inputs, labels=inputs["input_ids"][:, 0] % 2).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses)
