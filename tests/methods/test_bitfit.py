"""Which biases BitFit trains."""

import pytest
from transformers import PreTrainedModel

from lnbench.core.schema import ConfigError
from tests.tiny import EVERY_ARCHITECTURE, LAYERS, is_possible, part, tiny, trained, tune

BERT = {
    "query": ["attention.self.query"],
    "key": ["attention.self.key"],
    "value": ["attention.self.value"],
    "mha_output": ["attention.output.dense"],
    "ffn_input": ["intermediate.dense"],
    "ffn_output": ["output.dense"],
    "norms": ["attention.output.LayerNorm", "output.LayerNorm"],
}
GPT2_ATTENTION = ["query", "key", "value"]


def tuned(architecture: str, **settings: object) -> PreTrainedModel:
    model = tiny(architecture)
    tune(model, {"bitfit": part("bitfit", **settings)})
    return model


@pytest.mark.parametrize("architecture", [name for name in EVERY_ARCHITECTURE if is_possible(name, "bitfit")])
def test_all_biases_of_the_blocks_and_no_others(architecture: str) -> None:
    model = tiny(architecture)
    outside = ("embeddings", "pooler", "ln_f", "final_layer", "encoder.LayerNorm", "mapping_in", "norm.bias")
    biases = {name for name, _ in model.named_parameters() if name.endswith("bias")}
    in_blocks = {name for name in biases if any(character.isdigit() for character in name)}
    assert set(trained(tuned(architecture))) == in_blocks
    assert all(any(place in name for place in outside) for name in biases - in_blocks)


@pytest.mark.parametrize("component", BERT)
def test_one_component_of_a_bert_block(component: str) -> None:
    expected = {f"encoder.layer.{layer}.{owner}.bias" for layer in range(LAYERS) for owner in BERT[component]}
    assert set(trained(tuned("bert", components=[component]))) == expected


def test_all_components_are_all_biases_of_a_bert_block() -> None:
    assert set(trained(tuned("bert", components=list(BERT)))) == set(trained(tuned("bert")))


def test_layers_count_from_1() -> None:
    names = trained(tuned("bert", components=["norms"], layers="2"))
    assert {name.split(".")[2] for name in names} == {"1"}


def test_query_key_and_value_of_one_layer_are_trained_together() -> None:
    assert set(trained(tuned("gpt2", components=GPT2_ATTENTION))) == {f"h.{n}.attn.c_attn.bias" for n in range(LAYERS)}
    with pytest.raises(ConfigError, match=r"components = \['query', 'value'\]: query, key and value share one bias"):
        tuned("gpt2", components=["value", "query"])


def test_biases_that_are_added_after_a_shared_layer_are_found_one_by_one() -> None:
    query, value = (
        {f"encoder.layer.{n}.attention.self.{name}" for n in range(LAYERS)} for name in ("q_bias", "v_bias")
    )
    assert set(trained(tuned("deberta", components=["query"]))) == query
    assert set(trained(tuned("deberta", components=["query", "key", "value"]))) == query | value
    with pytest.raises(ConfigError, match=r"\['key'\]: the blocks .* there are those of query, value, "):
        tuned("deberta", components=["key"])


def test_the_order_of_components_does_not_change_the_identity() -> None:
    one, other = part("bitfit", components=["norms", "query"]), part("bitfit", components=["query", "norms"])
    assert one.identity() == other.identity()
    assert part("bitfit", components="norms").identity() == part("bitfit", components=["norms"]).identity()


@pytest.mark.parametrize("components", ["all", ["norms"]])
def test_a_model_without_biases_is_refused(components: object) -> None:
    with pytest.raises(ConfigError, match=r"method\.bitfit\.components = .*: the blocks of this model have no such"):
        tuned("llama", components=components)


@pytest.mark.parametrize("components", [[], ["norm"], "none", 3])
def test_components_that_do_not_exist_are_refused_by_name(components: object) -> None:
    with pytest.raises(ConfigError, match=r"^method\.bitfit\.components(\.0)? = .*: "):
        part("bitfit", components=components)
