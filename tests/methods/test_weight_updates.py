"""OFT, VeRA, LoRA-XS, SVFT and AdaLoRA do to weights what their papers say, and fold into them."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.tables import Map
from lnbench.core.schema import ConfigError
from lnbench.methods.parts.linear_change import Update, fold_changes, weight_of
from tests.tiny import FFN, HIDDEN, LAYERS, batch, hidden, part, shake, tiny, trained, tune

ARCHITECTURES = ["bert", "gpt2", "gpt_neox", "llama"]
EVERYWHERE = ["q", "k", "v", "o", "ffn"]
ROLES: tuple[Map, ...] = ("query", "key", "value", "mha_output", "ffn_input", "ffn_output")
RANK, ALPHA, BLOCK, BAND, SMALL, FACTORS = 4, 6, 8, 2, 4, 3
SETTINGS: dict[str, dict[str, Any]] = {
    "adalora": {"rank": RANK, "target_rank": 2, "alpha": ALPHA},
    "oft": {"block_size": BLOCK},
    "oft, butterfly": {"block_size": SMALL, "butterfly": FACTORS},
    "vera": {"rank": RANK, "projection_seed": 3},
    "lora_xs": {"rank": RANK, "alpha": ALPHA},
    "svft": {"band": BAND},
}
"""By label, which begins with the method's name."""
ON_BERT = {
    "adalora": RANK * (10 * HIDDEN + 2 * FFN + 6),
    "oft": 5 * (HIDDEN // BLOCK) * (BLOCK * (BLOCK - 1) // 2) + FFN // BLOCK * (BLOCK * (BLOCK - 1) // 2),
    "oft, butterfly": FACTORS * (5 * HIDDEN + FFN) * (SMALL - 1) // 2,
    "vera": 6 * RANK + 5 * HIDDEN + FFN,
    "lora_xs": 6 * RANK**2,
    "svft": 6 * (HIDDEN * (2 * BAND + 1) - BAND * (BAND + 1)),
}
"""Trained parameters of a block."""
for_all = pytest.mark.parametrize("label", SETTINGS)
everywhere = pytest.mark.parametrize("architecture", ARCHITECTURES)


def tuned(architecture: str, label: str, seed: int = 0, **settings: Any) -> nn.Module:
    """A model with the method on every map, in double precision."""
    model, method = tiny(architecture), method_of(label)
    tune(model, {method: part(method, targets=EVERYWHERE, **SETTINGS[label] | settings)}, seed=seed)
    return model.double()


def method_of(label: str) -> str:
    return label.partition(",")[0]


def adalora(weight: Tensor, own: Mapping[str, Tensor]) -> Tensor:
    """W + alpha / r P diag(e) Q."""
    return weight + ALPHA / RANK * own["p"] @ own["e"].diag() @ own["q"]


def oft(weight: Tensor, own: Mapping[str, Tensor]) -> Tensor:
    """W R^T, block by block."""
    changed = weight.clone()
    for number, values in enumerate(own["skew"]):
        place = slice(number * BLOCK, (number + 1) * BLOCK)
        changed[:, place] = weight[:, place] @ cayley(values, BLOCK).T
    return changed


def boft(weight: Tensor, own: Mapping[str, Tensor]) -> Tensor:
    """W R^T with R = B_m ... B_1; a block of B_i turns the halves of blocks j and j + 2^(i - 1), for each j with a
    partner."""
    half, inputs = SMALL // 2, weight.shape[1]
    rotation, blocks = torch.eye(inputs, dtype=weight.dtype), iter(own["skew"])
    for distance in (1, 2, 4):
        factor = torch.eye(inputs, dtype=weight.dtype)
        for first in (one for one in range(inputs // half) if one // distance % 2 == 0):
            places = [h * half + i for h in (first, first + distance) for i in range(half)]
            factor[torch.tensor(places)[:, None], torch.tensor(places)] = cayley(next(blocks), SMALL)
        rotation = factor @ rotation
    return weight @ rotation.T


def cayley(values: Tensor, size: int) -> Tensor:
    """(I - Q) (I + Q)^-1 from the upper triangle of Q in the order of its rows."""
    q = torch.zeros(size, size, dtype=values.dtype)
    left = iter(values.tolist())
    for row in range(size):
        for column in range(row + 1, size):
            q[row, column] = next(left)
            q[column, row] = -q[row, column]
    identity = torch.eye(size, dtype=values.dtype)
    inverse: Tensor = torch.linalg.inv(identity + q)
    return (identity - q) @ inverse


def vera(weight: Tensor, own: Mapping[str, Tensor], widest: tuple[int, int]) -> Tensor:
    """W + diag(b) B diag(d) A, with A and B drawn as HF peft draws them."""
    inputs, outputs = widest
    generator = torch.Generator().manual_seed(3)
    a, b = (
        torch.empty(rows, columns).uniform_(-math.sqrt(6 / columns), math.sqrt(6 / columns), generator=generator)
        for rows, columns in ((RANK, inputs), (outputs, RANK))
    )
    a, b = a[:, : weight.shape[1]].double(), b[: weight.shape[0]].double()
    return weight + own["b"].diag() @ b @ own["d"].diag() @ a


def lora_xs(weight: Tensor, own: Mapping[str, Tensor]) -> Tensor:
    """W + alpha / r U R S V^T."""
    left, values, right = singular(weight)
    return weight + ALPHA / RANK * left[:, :RANK] @ own["r"] @ values[:RANK].diag() @ right[:RANK]


def svft(weight: Tensor, own: Mapping[str, Tensor]) -> Tensor:
    """U (S + M) V^T."""
    left, values, right = singular(weight)
    m = values.diag()
    for number, offset in enumerate(range(-BAND, BAND + 1)):
        m = m + own[f"diagonals.{number}"].diag(offset)
    return left @ m @ right


def singular(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, S and V^T; the largest entry of each row of V^T is positive."""
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    for row in range(len(values)):
        if right[row][right[row].abs().argmax()] < 0:
            right[row] *= -1
            left[:, row] *= -1
    return left, values, right


@everywhere
@for_all
def test_folded_weights_are_those_of_the_published_equation(architecture: str, label: str) -> None:
    model, plain = tuned(architecture, label), Backbone(tiny(architecture).double())
    shake(model, scale=0.3)
    before, expected = hidden(plain.model, batch()), hidden(model, batch())
    view = Backbone(model)  # type: ignore[arg-type]
    maps = [(role, layer) for role in ROLES for layer in range(LAYERS)]
    sizes = [(one.in_features, one.out_features) for role, layer in maps for one in plain.linear_maps(role, layer)]
    naive = {"adalora": adalora, "oft": oft, "oft, butterfly": boft, "lora_xs": lora_xs, "svft": svft}
    wanted: list[Tensor] = []
    for role, layer in maps:
        for one, original in zip(view.linear_maps(role, layer), plain.linear_maps(role, layer), strict=True):
            own = dict(one.layer.get_submodule(f"{method_of(label)}_{role}").named_parameters())
            weight = weight_of(original.layer).detach()
            weight = weight if original.rows is None else weight[original.rows]
            if label == "vera":
                wanted.append(vera(weight, own, (max(size[0] for size in sizes), max(size[1] for size in sizes))))
            else:
                wanted.append(naive[label](weight, own))
    fold_changes(model)
    torch.testing.assert_close(hidden(model, batch()), expected, rtol=0, atol=1e-9)
    assert (expected - before).abs().max() > 0.01
    found = [one for role, layer in maps for one in Backbone(model).linear_maps(role, layer)]  # type: ignore[arg-type]
    for one, weight in zip(found, wanted, strict=True):
        whole = weight_of(one.layer)
        torch.testing.assert_close(whole if one.rows is None else whole[one.rows], weight, rtol=0, atol=1e-5)


@for_all
def test_trained_parameters_in_closed_form(label: str) -> None:
    counts = [sum(parameter.numel() for parameter in trained(tuned(one, label)).values()) for one in ("bert", "gpt2")]
    assert counts == [LAYERS * ON_BERT[label]] * 2


@for_all
def test_what_is_trained_restores_the_function_whatever_the_seed(label: str) -> None:
    """What is frozen is in no file: it is drawn or computed again."""
    model, again = tuned("gpt2", label), tuned("gpt2", label, seed=5)
    shake(model, scale=0.3)
    plain = set(tiny("gpt2").state_dict())
    assert set(model.state_dict()) == plain | set(trained(model))
    again.load_state_dict(trained(model), strict=False)
    assert torch.equal(hidden(again, batch()), hidden(model, batch()))


@everywhere
@for_all
def test_it_starts_from_the_pretrained_function(architecture: str, label: str) -> None:
    assert torch.equal(hidden(tuned(architecture, label), batch()), hidden(tiny(architecture).double(), batch()))


@for_all
def test_counting_on_the_meta_device(label: str) -> None:
    model, method = tiny("bert"), method_of(label)
    for module in model.modules():
        module.to("meta")
    with torch.device("meta"):
        tune(model, {method: part(method, targets=EVERYWHERE, **SETTINGS[label])})
    assert sum(parameter.numel() for parameter in trained(model).values()) == LAYERS * ON_BERT[label]
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])


@pytest.mark.parametrize("label", ["oft", "oft, butterfly"])
def test_a_rotation_keeps_the_angles_between_rows(label: str) -> None:
    model = tuned("bert", label)
    shake(model, scale=0.5)
    fold_changes(model)
    for name, after in model.named_parameters():
        if name.endswith("query.weight"):
            before = tiny("bert").get_parameter(name).double()
            torch.testing.assert_close(after @ after.T, before @ before.T)
            assert (after - before).abs().max() > 0.1


@pytest.mark.parametrize("label", ["oft", "oft, butterfly"])
def test_small_rotations_survive_reduced_precision(label: str) -> None:
    """The change is computed apart from what it changes."""
    model = tiny("bert")
    tune(model, {"oft": part("oft", **SETTINGS[label])})
    layer = model.get_submodule("encoder.layer.0.attention.self.query")
    (update,) = (module for module in layer.children() if isinstance(module, Update))
    shake(update, scale=1e-4)
    x, weight = torch.randn(50, HIDDEN), weight_of(layer)
    exact = x @ update.delta(weight).T
    with torch.autocast("cpu", torch.bfloat16):
        found = update(x, weight)
    assert (found - exact).norm() < 0.01 * exact.norm()


def test_svft_has_a_band_of_any_width() -> None:
    model = tuned("llama", "svft", band=100)
    shapes = sum(parameter.numel() for name, parameter in trained(model).items() if ".0.self_attn.k_proj." in name)
    assert shapes == 16 * 16


def test_another_seed_draws_other_projections() -> None:
    def states(seed: int) -> Tensor:
        model = tuned("bert", "vera", projection_seed=seed)
        shake(model)
        return hidden(model, batch())

    assert torch.equal(states(3), states(3))
    assert not torch.equal(states(3), states(4))


@pytest.mark.parametrize(
    ("label", "settings", "message"),
    [
        ("oft", {"block_size": 5}, r"method\.oft\.block_size = 5: must divide the inputs .*; one has 32"),
        (
            "oft",
            {"block_size": 16, "butterfly": 3},
            r"block_size = 16 \* 2\^\(butterfly - 1\) = 64: must divide the .* 32",
        ),
        ("oft", {"block_size": 3, "butterfly": 2}, r"block_size = 3: must be even if method\.oft\.butterfly is above"),
        ("lora_xs", {"rank": 17}, r"method\.lora_xs\.rank = 17: a map of 32 inputs and 16 outputs has 16 singular"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(label: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tuned("llama", label, **settings)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("adalora.beta1", 1.0),
        ("adalora.interval", 0),
        ("oft.block_size", 1),
        ("oft.butterfly", 0),
        ("vera.rank", 0),
        ("vera.projection_seed", -1),
        ("lora_xs.alpha", 0),
        ("svft.band", -1),
        ("svft.targets", ["x"]),
    ],
)
def test_bad_settings_are_refused_by_name(field: str, value: object) -> None:
    method, _, setting = field.partition(".")
    with pytest.raises(ConfigError, match=rf"method\.{method}\.{setting}"):
        part(method, **{setting: value})
