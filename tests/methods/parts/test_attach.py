"""What a method of the user's may do wrong."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.insertion import insert_at_end, insert_before_norm, insert_parallel, insert_sequential
from lnbench.core.schema import ConfigError
from lnbench.methods.base import Method
from tests.tiny import HIDDEN, tiny, tune


class Mine(Method):
    """A method whose `attach` a test chooses."""

    how: ClassVar[Callable[[Backbone], Any]]

    def attach(self, backbone: Backbone) -> Any:
        """Does what the test says."""
        return type(self).how(backbone)


class Empty(Method):
    """A method that is not written yet."""


def inserted(backbone: Backbone, sublayer: Any = "mha") -> nn.Linear:
    linear = nn.Linear(HIDDEN, HIDDEN)
    insert_sequential(backbone.output_of(sublayer, 0), "mine", linear)
    return linear


STRAY = "its function attach returned a parameter of shape .* that is not in the model; the functions of lnbench"
OTHER = "its function attach returned a {}, and must return a list of the parameters that it trains"
WRONG: dict[str, tuple[Callable[[Backbone], Any], str]] = {
    "nothing": (inserted, OTHER.format("Linear")),
    "None": (lambda backbone: None, OTHER.format("NoneType")),
    "modules": (lambda backbone: [inserted(backbone)], OTHER.format("Linear")),
    "a tensor": (lambda backbone: torch.zeros(3), OTHER.format("Tensor")),
    "copies": (lambda backbone: [inserted(backbone).weight.clone()], OTHER.format("Tensor")),
    "not inserted": (lambda backbone: [nn.Linear(3, 3).weight], STRAY),
    "not inserted, one by one": (lambda backbone: (value for value in nn.Linear(3, 3).parameters()), STRAY),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_claimed_must_be_parameters_of_the_model(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    how, message = WRONG[what]
    monkeypatch.setattr(Mine, "how", how, raising=False)
    with pytest.raises(ConfigError, match=rf"^method\.mine: {message}"):
        tune(tiny("bert"), {"mine": Mine()})


def test_parameters_may_be_claimed_one_by_one_and_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mine, "how", lambda backbone: (p for p in [inserted(backbone).weight] * 2), raising=False)
    assert len(tune(tiny("bert"), {"mine": Mine()})["mine"]) == 1


def test_a_method_without_attach_is_named() -> None:
    with pytest.raises(NotImplementedError, match=r"^the method Empty has no function attach$"):
        tune(tiny("bert"), {"empty": Empty()})


def test_nothing_is_inserted_in_the_place_of_something_else() -> None:
    backbone = Backbone(tiny("bert"))
    host = backbone.output_of("mha", 0)
    inserted(backbone)
    inserts: list[Callable[[str], None]] = [
        lambda name: insert_sequential(host, name, nn.Identity()),
        lambda name: insert_parallel(host, host, name, nn.Identity()),
        lambda name: insert_before_norm(host, name, nn.Identity()),
        lambda name: insert_at_end(host, name, nn.Identity()),
    ]
    for insert in inserts:
        for name in ("mine", "weight"):
            with pytest.raises(ConfigError, match=f"^method: a module '{name}' cannot be inserted into a Linear"):
                insert(name)
    assert isinstance(host.get_submodule("mine"), nn.Linear)
