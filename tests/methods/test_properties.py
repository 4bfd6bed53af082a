"""What holds for any sum of any parts with any settings."""

from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lnbench.methods.base import Method, Stage
from tests.tiny import FIRST_ARCHITECTURES, PARTS, batch, hidden, is_possible, part, tiny, trained, tune

SETTINGS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "adapter": {"bottleneck": st.integers(8, 12), "activation": st.sampled_from(["relu", "gelu"])},
    "bitfit": {"components": st.sampled_from(["all", "norms", ["ffn_input"], ["query", "key", "value", "norms"]])},
    "ln": {
        "terms": st.sampled_from([["gain"], ["gain", "bias"]]),
        "norms": st.sampled_from([["mha"], ["ffn"], ["mha", "ffn"]]),
        "norm_reading": st.sampled_from(["position", "sublayer"]),
        "embedding_norm": st.booleans(),
        "final_norm": st.booleans(),
    },
    "lora": {"dora": st.booleans(), "pissa": st.booleans()},
    "parallel_adapter": {"bottleneck": st.integers(8, 12), "scale": st.floats(0.5, 4.0)},
    "prefix": {"length": st.integers(1, 4), "mlp_size": st.none() | st.integers(1, 4)},
    "prompt": {"length": st.integers(1, 4)},
}
SUMMABLE = [name for name in PARTS if not part(name).exclusive and part(name).stage is not Stage.GATE]
"""Gates are not among them, because what they train is what the other parts insert."""
few = settings(max_examples=30, suppress_health_check=list(HealthCheck))


@st.composite
def sums(draw: st.DrawFn) -> tuple[str, dict[str, Method]]:
    """An architecture, and one to four parts in random order with random settings."""
    architecture = draw(st.sampled_from(FIRST_ARCHITECTURES))
    possible = [name for name in SUMMABLE if is_possible(architecture, name)]
    names = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=4, unique=True))
    return architecture, {name: _random_part(draw, name, architecture) for name in names}


def _random_part(draw: st.DrawFn, name: str, architecture: str) -> Method:
    layers = {} if name == "prompt" else {"layers": draw(st.sampled_from(["all", "1"]))}
    return part(name, **layers, **{key: draw(values) for key, values in SETTINGS.get(name, {}).items()})


@few
@given(sums())
def test_a_sum_is_the_same_in_any_order(case: tuple[str, dict[str, Method]]) -> None:
    architecture, parts = case
    one, other = tiny(architecture), tiny(architecture)
    assert tune(one, parts) == tune(other, dict(reversed(parts.items())))
    assert [name for name, _ in one.named_parameters()] == [name for name, _ in other.named_parameters()]
    assert torch.equal(hidden(one, batch()), hidden(other, batch()))


@few
@given(sums())
def test_a_sum_trains_the_union_of_what_its_parts_train_alone(case: tuple[str, dict[str, Method]]) -> None:
    architecture, parts = case
    together = tiny(architecture)
    union: dict[str, torch.Size] = {}
    claims = tune(together, parts)
    for name, method in parts.items():
        alone = tiny(architecture)
        assert tune(alone, {name: method})[name] == claims[name]
        union |= {key: value.shape for key, value in trained(alone).items()}
    assert {key: value.shape for key, value in trained(together).items()} == union


@few
@given(sums())
def test_a_step_may_move_all_that_is_claimed_and_nothing_else(case: tuple[str, dict[str, Method]]) -> None:
    architecture, parts = case
    model = tiny(architecture)
    claimed = set().union(*tune(model, parts).values())
    before = {name: value.detach().clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):  # what lies behind a zero moves from the second step on
        optimiser.zero_grad()
        hidden(model, batch()).pow(2).sum().backward()
        optimiser.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == claimed
