"""Comparisons with AdapterHub's `adapters`, whose values scripts/reference_adapters.py has written down."""

import itertools
import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, PreTrainedModel

from tests.parity import adapters_weights
from tests.parity.case import Case
from tests.parity.compare import Difference, Observation, Tensors, compare
from tests.tiny import ARCHITECTURES, part, tune

DATA = Path(__file__).parent / "data"
MODELS: dict[str, Callable[[dict[str, Any]], PreTrainedModel]] = {
    "bert": lambda sizes: BertModel(BertConfig(**sizes)),
    "gpt2": lambda sizes: GPT2Model(GPT2Config(**sizes)),
}
ADAPTER, PREFIX = {"bottleneck": 4}, {"length": 3}
SUMS: dict[str, dict[str, dict[str, Any]]] = {
    "adapter": {"adapter": ADAPTER},
    "seq_bn": {"adapter": ADAPTER | {"reads": "block"}},
    "mha_adapter": {"mha_adapter": ADAPTER},
    "houlsby": {"houlsby": ADAPTER},
    "parallel_adapter": {"parallel_adapter": ADAPTER},
    "mha_parallel_adapter": {"mha_parallel_adapter": ADAPTER},
    "mam": {"parallel_adapter": ADAPTER, "prefix": PREFIX},
    "prefix": {"prefix": PREFIX},
    "compacter": {"compacter": ADAPTER | {"terms": 2}},
    "lora": {"lora": {"rank": 2, "alpha": 6}},
}
"""By their name in the files: our methods, with what differs from their shipped settings."""


def cases() -> list[Case]:
    """All comparisons, on every architecture."""
    return [
        Case(
            method,
            architecture,
            f"adapters {_stored(architecture)[1]['adapters']}",
            partial(_run, method, architecture),
        )
        for method, architecture in itertools.product(SUMS, ARCHITECTURES)
    ]


def _run(method: str, architecture: str) -> Difference:
    tensors, about = _stored(architecture)
    ours = MODELS[architecture](about["config"]).eval()
    tune(ours, {name: part(name, **settings) for name, settings in SUMS[method].items()})
    assert not ours.double().load_state_dict(_under("backbone", tensors), strict=False).unexpected_keys
    reference = Observation(
        weights=_under(f"{method}.weights", tensors),
        outputs=tensors[f"{method}.outputs"],
        gradients=_under(f"{method}.gradients", tensors),
    )
    to_ours = partial(adapters_weights.to_ours, method, ours.config)
    return compare(ours.double(), _under("inputs", tensors), reference, to_ours)


@cache
def _stored(architecture: str) -> tuple[Tensors, dict[str, Any]]:
    """The tensors by name; the version of `adapters`, and the `config` of the backbone."""
    with safe_open(DATA / f"adapters_{architecture}.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.offset_keys()}, json.loads(file.metadata()["about"])


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }
