"""Methods on encoder-decoders: on both sides or one, in self- and cross-attention."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from lnbench.backbone.backbone import views
from lnbench.core.schema import ConfigError
from lnbench.methods.base import SEPARATOR, Method
from tests.tiny import (
    DECODER_LAYERS,
    ENCODER_LAYERS,
    HIDDEN,
    PARTS,
    TWO_SIDED,
    is_possible,
    part,
    parts,
    shake,
    tiny,
    tiny_generator,
    trained,
    tune,
    two_texts,
)

SUMMABLE = [name for name in PARTS if not part(name).exclusive]
SUMS = ["ln+mha_adapter", "ln+mha_adapter+prefix", "lora+prompt"]
SAMPLES = ["bart", "flan_t5"]
CASES = [
    (architecture, method)
    for architecture in sorted(TWO_SIDED)
    for method in ([*PARTS, *SUMS] if architecture in SAMPLES else SUMS)
    if is_possible(architecture, method)
]
SINGLE = ["adapter", "bitfit", "ln", "lora", "prefix"]
OTHERS = [(name, method) for name in sorted(TWO_SIDED) if name not in SAMPLES for method in SINGLE]
SIDES = (("encoder", ENCODER_LAYERS), ("decoder", DECODER_LAYERS))
for_all_cases = pytest.mark.parametrize(("architecture", "method"), CASES)
on_samples = pytest.mark.parametrize("architecture", SAMPLES)


def logits(model: PreTrainedModel) -> Tensor:
    found: Tensor = model(**two_texts()).logits
    return found


def gradients(model: PreTrainedModel) -> dict[str, Tensor]:
    model.zero_grad()
    logits(model).pow(2).sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


@pytest.mark.parametrize(("architecture", "method"), [*CASES, *(case for case in OTHERS if is_possible(*case))])
def test_every_claimed_parameter_gets_a_gradient_and_no_other(architecture: str, method: str) -> None:
    model = tiny_generator(architecture)
    claims = set().union(*tune(model, method).values())
    shake(model)
    assert set(trained(model)) == claims
    assert (set(gradients(model)) if claims else set()) == claims


@for_all_cases
def test_the_trained_tensors_alone_restore_the_function(architecture: str, method: str) -> None:
    model, again = tiny_generator(architecture), tiny_generator(architecture)
    tune(model, method)
    shake(model)
    file = save({name: tensor.detach().clone() for name, tensor in trained(model).items()})
    tune(again, method, seed=5)
    assert not again.load_state_dict(load(file), strict=False).unexpected_keys
    torch.testing.assert_close(logits(again), logits(model), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("architecture", "method"), [case for case in CASES if not {"prefix", "prompt"} & set(parts(case[1]))]
)
def test_a_method_starts_from_the_pretrained_function(architecture: str, method: str) -> None:
    model = tiny_generator(architecture)
    tune(model, method)
    torch.testing.assert_close(logits(model), logits(tiny_generator(architecture)), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("architecture", "method"), [case for case in CASES if case[1] in SUMS])
def test_gradient_checkpointing_changes_no_gradient(architecture: str, method: str) -> None:
    model = tiny_generator(architecture)
    for one in model.modules():
        if isinstance(one, PreTrainedModel):
            one.config.use_cache = False
    tune(model, method)
    shake(model.double())
    expected = gradients(model)
    for one in model.train().modules():
        if isinstance(one, nn.Dropout):
            one.p = 0.0
        elif isinstance(getattr(one, "dropout", None), float):
            one.dropout = 0.0
    model.activation_checkpointing_enable({"use_reentrant": False})
    torch.testing.assert_close(gradients(model), expected)


@on_samples
def test_loreft_edits_the_first_tokens_of_both_texts(architecture: str) -> None:
    model = tiny_generator(architecture)
    claims = tune(model, {"loreft": part("loreft", last=0)})["loreft"]
    torch.testing.assert_close(logits(model), logits(tiny_generator(architecture)), rtol=0, atol=1e-4)
    shake(model)
    assert set(gradients(model)) == set(claims)
    edits = {name.rpartition(".loreft.")[0] for name in claims}
    assert {sum(side in name for name in edits) for side in ("encoder", "decoder")} == {ENCODER_LAYERS, DECODER_LAYERS}


@on_samples
@pytest.mark.parametrize("method", SUMMABLE)
def test_a_side_is_what_the_other_leaves(architecture: str, method: str) -> None:
    if not is_possible(architecture, method) or "layers" not in type(part(method)).model_fields:
        return
    found = {}
    for layers in ("all", "encoder", "decoder", "1-2", "decoder:2"):
        chosen = {method: part(method, layers=layers)}
        if method == "compacter":
            chosen = {method: part(method, layers=layers, terms=2)}
        found[layers] = set(tune(tiny(architecture), chosen)[method])
    encoder, decoder = ({name for name in found["all"] if name.startswith(side)} for side, _ in SIDES)
    assert found["encoder"] == encoder
    assert found["decoder"] == decoder
    assert encoder
    assert decoder
    assert encoder < found["1-2"] | encoder <= found["all"]
    assert found["decoder:2"] < decoder
    assert found["decoder:2"] <= found["1-2"]


@on_samples
def test_adapters_of_a_decoder_come_after_both_attentions(architecture: str) -> None:
    model = tiny(architecture)
    tune(model, "mha_adapter")
    hosts = [name.rpartition(".mha_adapter")[0] for name, _ in model.named_modules() if name.endswith("mha_adapter")]
    names = {module: name for name, module in model.named_modules()}
    outputs = [names[one.layer] for view, layer in blocks(model) for one in view.linear_maps("mha_output", layer)]
    assert sorted(hosts) == sorted(outputs)
    assert len(hosts) == ENCODER_LAYERS + 2 * DECODER_LAYERS


@on_samples
def test_a_parallel_adapter_of_cross_attention_reads_what_its_queries_read(architecture: str) -> None:
    model = tiny(architecture)
    tune(model, "mha_parallel_adapter")
    decoder = views(model)[1]
    query, output = decoder.linear_maps("query", 0)[1].layer, decoder.output_of("cross", 0)
    seen: dict[str, Tensor] = {}
    query.register_forward_pre_hook(lambda _, x: seen.update(query=x[0]))
    adapter = output.get_submodule("mha_parallel_adapter")
    adapter.register_forward_pre_hook(lambda _, x: seen.update(adapter=x[0]))
    model(**two_texts((5, 5), written=3))
    assert torch.equal(seen["query"], seen["adapter"])


def blocks(model: PreTrainedModel) -> Iterable[tuple[Any, int]]:
    return [(view, layer) for view in views(model) for layer in range(view.num_layers)]


def norms_of(architecture: str, **settings: Any) -> set[str]:
    names = tune(tiny(architecture), {"ln": part("ln", **settings)})["ln"]
    return {name.removesuffix(".weight") for name in names if name.endswith(".weight")}


def test_norms_of_one_attention_can_be_chosen_in_t5() -> None:
    own = {f"{side}.block.{layer}.layer" for side, count in SIDES for layer in range(count)}
    crossed = {name for name in own if name.startswith("decoder")}
    sublayer = {"norm_reading": "sublayer"}
    assert norms_of("t5", norms=["self"], **sublayer) == {f"{name}.0.layer_norm" for name in own}
    assert norms_of("t5", norms=["cross"], **sublayer) == {f"{name}.1.layer_norm" for name in crossed}
    assert norms_of("t5", norms=["cross"]) == {f"{name}.2.layer_norm" for name in crossed}
    both = norms_of("t5", norms=["self"]) | norms_of("t5", norms=["cross"])
    assert norms_of("t5", norms=["mha"]) == both
    assert norms_of("t5", norms=["cross"], layers="1") == {"decoder.block.0.layer.2.layer_norm"}


@pytest.mark.parametrize("reading", ["position", "sublayer"])
def test_norms_of_one_attention_can_be_chosen_in_bart(reading: str) -> None:
    found = {name: norms_of("bart", norms=[name], norm_reading=reading) for name in ("mha", "self", "cross", "ffn")}
    own = {f"{side}.layers.{layer}" for side, count in SIDES for layer in range(count)}
    assert found["self"] == {f"{name}.self_attn_layer_norm" for name in own}
    assert found["cross"] == {f"{name}.encoder_attn_layer_norm" for name in own if name.startswith("decoder")}
    assert found["ffn"] == {f"{name}.final_layer_norm" for name in own}
    assert found["mha"] == found["self"] | found["cross"]


def test_the_norms_around_the_blocks_are_of_both_sides() -> None:
    around = {"embedding_norm": True, "final_norm": True}
    assert len(norms_of("t5", **around)) == 2 * ENCODER_LAYERS + 3 * DECODER_LAYERS + 2
    assert len(norms_of("bart", **around)) == 2 * ENCODER_LAYERS + 3 * DECODER_LAYERS + 2
    assert len(norms_of("bart", **around, layers="decoder")) == 3 * DECODER_LAYERS + 1


@pytest.mark.parametrize(
    ("architecture", "method", "message"),
    [
        (
            "bert",
            part("ln", norms=["cross"]),
            r"norms = \['cross'\]: .*'bert' is no encoder-decoder, .*leave out cross",
        ),
        ("gpt2", part("ln", norms=["self", "ffn"]), "leave out self, and choose mha"),
        ("bert", part("lora", layers="decoder"), r"layers = 'decoder': .*'bert' is no encoder-decoder.*layers=all"),
        ("t5", part("lora", layers="3"), r"layers = '3': the model has layers 1-2"),
        (
            "t5",
            part("lora", layers="decoder:3,encoder:3"),
            r"layers = 'decoder:3,encoder:3': the encoder has layers 1-2",
        ),
        ("bert", part("lora", layers="encoder:1,decoder:2"), "'bert' is no encoder-decoder"),
        ("t5", part("ln", norms=["cross"], layers="encoder,decoder:1"), r"'t5' has no norms = \['cross'\] in layers"),
        ("t5", part("ln", norms=["cross"], layers="encoder"), r"'t5' has no norms = \['cross'\] in layers = 'encoder'"),
        ("t5", part("bitfit"), "the blocks of this model have no such biases"),
        ("t5", part("ln", terms=["bias"]), r"have nothing that terms = \['bias'\] names"),
    ],
)
def test_what_is_not_there_is_refused(architecture: str, method: Method, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(tiny(architecture), {method.kind: method})


@pytest.mark.parametrize(
    ("layers", "count"),
    [
        *(("encoder", 4), ("decoder", 9), ("decoder:2", 3), ("encoder: 1-2", 4), (["decoder:1", 3], 6), ("2", 5)),
        *((["encoder:1-2", "decoder:2"], 7), ("decoder:2,3, encoder:1", 8)),
        *(("encoder,decoder:1", 7), ("decoder:1,encoder:2,decoder:3", 8)),
    ],
)
def test_a_side_can_be_typed(layers: Any, count: int) -> None:
    assert len(norms_of("bart", layers=layers)) == count


@pytest.mark.parametrize(
    "layers",
    [
        *("decoder:[1,3]", "both", "encoder:0", "decoder:x", "decoder,encoder"),
        *("1-2,decoder:2", "encoder,encoder:2", "encoder,2", "all,decoder:2", "encoder:1,decoder:0"),
    ],
)
def test_a_side_that_is_none_is_refused(layers: str) -> None:
    with pytest.raises(ConfigError, match="may be encoder, decoder, or decoder:1-3, too"):
        part("ln", layers=layers)


D, F = 768, 3072
REAL: dict[str, dict[str, Any]] = {
    "t5-base": {"model_type": "t5", "d_model": D, "d_ff": F, "num_layers": 12, "num_heads": 12},
    "bart-base": {
        "model_type": "bart",
        **{f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in (("layers", 6), ("ffn_dim", F))},
        "encoder_attention_heads": 12,
        "decoder_attention_heads": 12,
        "d_model": D,
        "vocab_size": 50_265,
    },
}
SIZES = {"t5-base": 222_903_552, "bart-base": 139_420_416}


def real(name: str) -> PreTrainedModel:
    settings = dict(REAL[name])
    with torch.device("meta"):
        model: PreTrainedModel = AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
    return model


@pytest.mark.parametrize("name", REAL)
def test_the_shapes_are_those_of_the_models(name: str) -> None:
    assert real(name).num_parameters() == SIZES[name]


LORA = {"targets": ["q", "v"], "rank": 8}


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("t5-base", part("ln"), (12 * 2 + 12 * 3) * D),
        ("t5-base", part("ln", embedding_norm=True), (12 * 2 + 12 * 3 + 2) * D),
        ("t5-base", part("ln", norms=["cross"]), 12 * D),
        ("t5-base", part("ln", layers="encoder"), 12 * 2 * D),
        ("t5-base", part("lora", **LORA), (12 + 2 * 12) * 2 * 8 * 2 * D),
        ("t5-base", part("ia3"), (12 + 2 * 12) * 2 * D + 24 * F),
        ("t5-base", part("prefix", length=10), (12 + 2 * 12) * 2 * 10 * D),
        ("t5-base", part("mha_adapter", bottleneck=16), (12 + 2 * 12) * (2 * 16 * D + 16 + D)),
        ("t5-base", part("adapter", bottleneck=16), 24 * (2 * 16 * D + 16 + D)),
        ("t5-base", part("prompt", length=10), 10 * D),
        ("bart-base", part("ln"), (6 * 2 + 6 * 3) * 2 * D),
        ("bart-base", part("ln", embedding_norm=True, final_norm=True), (6 * 2 + 6 * 3 + 2) * 2 * D),
        ("bart-base", part("bitfit"), 6 * (4 * D + F + D + 2 * D) + 6 * (8 * D + F + D + 3 * D)),
        ("bart-base", part("bitfit", components=["query"]), (6 + 12) * D),
        ("bart-base", part("prefix", length=10, layers="decoder"), 2 * 6 * 2 * 10 * D),
    ],
)
def test_trained_parameters_in_closed_form(name: str, method: Method, expected: int) -> None:
    model = real(name)
    tune(model, {method.kind: method})
    assert sum(parameter.numel() for parameter in trained(model).values()) == expected


def test_one_size_suits_both_sides() -> None:
    assert {view.output_size for view in views(tiny("bart"))} == {HIDDEN}


def test_all_at_once() -> None:
    model = tiny_generator("bart")
    fitting = [name for name in SUMMABLE if name != "compacter" and is_possible("bart", name)]
    claims = tune(model, SEPARATOR.join(fitting))
    shake(model)
    assert set(gradients(model)) == set().union(*claims.values())
