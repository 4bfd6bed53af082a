"""LoRA changes the maps it is told to, as a change of their weights would."""

import copy

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from lnbench.backbone.backbone import LinearMap
from lnbench.core.schema import ConfigError
from lnbench.methods.lora import Lora
from lnbench.methods.parts.linear_change import fold_changes
from lnbench.methods.parts.lora_update import LowRankUpdate
from tests.tiny import EVERY_ARCHITECTURE, FFN, HEADS, HIDDEN, LAYERS, batch, hidden, part, shake, tiny, trained, tune

EVERYWHERE = ["q", "k", "v", "o", "ffn"]


def updates(model: torch.nn.Module) -> dict[str, LowRankUpdate]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LowRankUpdate)}


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_adding_the_deltas_to_the_weights_gives_the_same_function(architecture: str, rslora: bool) -> None:
    tuned, plain = tiny(architecture), tiny(architecture)
    tune(tuned, {"lora": part("lora", targets=EVERYWHERE, rslora=rslora)})
    shake(tuned)
    for name, update in updates(tuned).items():
        host = plain.get_submodule(name.rpartition(".")[0])
        delta = update.scale * update.unscaled_b().detach() @ update.a.detach()
        host.get_parameter("weight").data += delta.T if isinstance(host, Conv1D) else delta
    changed = hidden(plain, batch())
    torch.testing.assert_close(hidden(tuned, batch()), changed, rtol=0, atol=1e-4)
    assert (changed - hidden(tiny(architecture), batch())).abs().max() > 0.01


@pytest.mark.parametrize(
    ("architecture", "layer", "rows"),
    [
        ("gpt2", "h.0.attn.c_attn", list(range(2 * HIDDEN, 3 * HIDDEN))),
        (
            "gpt_neox",
            "layers.0.attention.query_key_value",
            [24 * head + 16 + i for head in range(HEADS) for i in range(8)],
        ),
        ("bert", "encoder.layer.0.attention.self.value", list(range(HIDDEN))),
    ],
    ids=["stacked", "interleaved", "alone"],
)
def test_an_update_of_the_values_changes_no_other_output_of_their_layer(
    architecture: str, layer: str, rows: list[int]
) -> None:
    plain, tuned = tiny(architecture).get_submodule(layer), tiny(architecture)
    tune(tuned, {"lora": part("lora", targets=["v"])})
    shake(tuned)
    x = torch.randn(5, HIDDEN)
    change = tuned.get_submodule(layer)(x) - plain(x)
    assert change.abs().max(dim=0).values.nonzero().flatten().tolist() == rows


@pytest.mark.parametrize(
    ("targets", "hosts"),
    [
        (["q", "v"], {"attention.self.query", "attention.self.value"}),
        (["k"], {"attention.self.key"}),
        (["o"], {"attention.output.dense"}),
        (["ffn"], {"intermediate.dense", "output.dense"}),
    ],
)
def test_targets(targets: list[str], hosts: set[str]) -> None:
    model = tiny("bert")
    tune(model, {"lora": part("lora", targets=targets, layers=2)})
    assert {name.rpartition(".")[0] for name in updates(model)} == {f"encoder.layer.1.{host}" for host in hosts}


def test_a_gated_network_has_three_maps() -> None:
    model = tiny("llama")
    tune(model, {"lora": part("lora", targets=["ffn"], layers=1)})
    assert {name.split(".")[3] for name in updates(model)} == {"gate_proj", "up_proj", "down_proj"}


def test_the_order_and_repetition_of_targets_does_not_matter() -> None:
    assert part("lora", targets=["v", "q", "v"]) == part("lora", targets=["q", "v"])


@pytest.mark.parametrize(
    ("field", "value"),
    [("targets", ["x"]), ("targets", []), ("rank", 0), ("alpha", 0), ("dropout", 1.0), ("lr_ratio", 0)],
)
def test_bad_settings_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"method\.lora\.{field}"):
        part("lora", **{field: value})


@pytest.mark.parametrize(("rslora", "scale"), [(False, 0.5), (True, 1.0)])
def test_the_scale(rslora: bool, scale: float) -> None:
    method = part("lora", rank=4, alpha=2, rslora=rslora)
    assert isinstance(method, Lora)
    assert method.scale == scale


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
@pytest.mark.parametrize("method", ["lora", "lora_all"])
@pytest.mark.parametrize(("setting", "more"), [({}, 0), ({"pissa": True}, 0), ({"dora": True}, 5 * HIDDEN + FFN)])
def test_trained_parameters_in_closed_form(architecture: str, method: str, setting: dict[str, bool], more: int) -> None:
    """DoRA has a length for each output."""
    model = tiny(architecture)
    tune(model, {method: part(method, targets=EVERYWHERE, rank=3, **setting)})
    expected = LAYERS * (3 * (4 * 2 * HIDDEN + 2 * (HIDDEN + FFN)) + more)
    assert sum(parameter.numel() for parameter in trained(model).values()) == expected


def test_lora_all_changes_every_linear_map_of_each_block() -> None:
    model = tiny("llama")
    tune(model, "lora_all")
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert {name.rpartition(".")[0] for name in updates(model)} == linear
    assert len(linear) == 7 * LAYERS


def test_new_settings_leave_the_identity_of_earlier_runs() -> None:
    assert part("lora").identity().keys() == {"lr", "targets", "rank", "alpha", "rslora", "dropout", "layers"}
    assert (
        part("lora", dora=True, pissa=True, lr_ratio=16).identity().items()
        >= {
            "dora": True,
            "pissa": True,
            "lr_ratio": 16.0,
        }.items()
    )


VARIANTS: list[dict[str, object]] = [{"dora": True}, {"pissa": True}, {"dora": True, "pissa": True, "rslora": True}]
KINDS = ["bert", "gpt2", "gpt_neox", "llama"]


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize("settings", VARIANTS)
def test_variants_start_from_the_pretrained_function(architecture: str, settings: dict[str, object]) -> None:
    expected = hidden(tiny(architecture), batch())
    model = tiny(architecture)
    tune(model, {"lora": part("lora", targets=EVERYWHERE, **settings)})
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize("settings", VARIANTS)
def test_variants_fold_and_are_restored_by_what_they_train(architecture: str, settings: dict[str, object]) -> None:
    """Beside another change of the same layers, in double precision."""
    methods = {"lora": part("lora", targets=EVERYWHERE, **settings), "lora_all": part("lora_all"), "ia3": part("ia3")}
    model, again = tiny(architecture), tiny(architecture)
    tune(model, methods)
    tune(again, methods, seed=5)
    again.double()
    shake(model.double(), scale=0.3)
    expected = hidden(model, batch())
    assert (expected - hidden(tiny(architecture).double(), batch())).abs().max() > 0.1
    again.load_state_dict(trained(model), strict=False)
    assert torch.equal(hidden(again, batch()), expected)
    fold_changes(model)
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=1e-9)


def test_every_row_has_the_length_that_dora_trains() -> None:
    model = tiny("gpt2")
    tune(model, {"lora": part("lora", targets=["v"], dora=True)})
    shake(model, scale=0.3)
    before = tiny("gpt2").get_parameter("h.0.attn.c_attn.weight")
    magnitude = model.get_parameter("h.0.attn.c_attn.lora_value.magnitude").detach().abs()
    fold_changes(model)
    after = model.get_parameter("h.0.attn.c_attn.weight")
    torch.testing.assert_close(after[:, 2 * HIDDEN :].norm(dim=0), magnitude)
    assert torch.equal(after[:, : 2 * HIDDEN], before[:, : 2 * HIDDEN])


def test_pissa_trains_the_principal_part_of_the_weight() -> None:
    model = tiny("bert")
    weight = model.get_parameter("encoder.layer.0.attention.self.query.weight").detach().double()
    tune(model, {"lora": part("lora", pissa=True, rank=4, alpha=2)})
    update = updates(model)["encoder.layer.0.attention.self.query.lora_query"]
    left, values, right = torch.linalg.svd(weight)
    best = left[:, :4] * values[:4] @ right[:4]
    torch.testing.assert_close((0.5 * update.b @ update.a).double(), best, rtol=0, atol=1e-5)
    torch.testing.assert_close(update.a.norm(), update.b.norm())  # both have the square roots of the singular values


@pytest.mark.parametrize("method", ["lora", "lora_all"])
def test_pissa_needs_as_many_singular_values_as_its_rank(method: str) -> None:
    message = rf"method\.{method}\.pissa = true, method\.{method}\.rank = 17: a map of 32 inputs and 16 outputs has 16"
    with pytest.raises(ConfigError, match=message):
        tune(tiny("llama"), {method: part(method, targets=["v"], pissa=True, rank=17)})


def test_pretrained_tensors_keep_their_names_and_values() -> None:
    before, model = tiny("gpt2").state_dict(), tiny("gpt2")
    tune(model, "lora")
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert set(after) - set(before) == set(trained(model))


def test_the_rows_follow_the_module_to_another_device() -> None:
    model = tiny("gpt2")
    tune(model, "lora")
    layer = model.get_submodule("h.0.attn.c_attn").to("meta")
    assert layer(torch.ones(1, HIDDEN, device="meta")).is_meta


def test_a_copy_of_the_model_has_updates_of_its_own() -> None:
    model = tiny("gpt2")
    tune(model, "lora")
    expected = hidden(model, batch())
    shake(copy.deepcopy(model))
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=0)


def test_dropout_acts_on_the_input_of_a_in_training_only() -> None:
    update = LowRankUpdate(LinearMap(Conv1D(4, 6)), rank=6, scale=1.0, dropout=0.5)
    update.a.data = torch.eye(6)
    update.b.data = torch.ones(4, 6)
    ones, weight = torch.ones(100, 6), torch.zeros(4, 6)
    assert torch.equal(update.eval()(ones, weight), torch.full((100, 4), 6.0))
    torch.manual_seed(0)
    assert set(update.train()(ones, weight).flatten().tolist()) == {0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0}
