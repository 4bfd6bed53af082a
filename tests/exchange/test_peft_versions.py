"""Adapters that several versions of HF peft have saved. `peft_adapters/make.py` made them."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import lnbench
from lnbench.core.schema import ConfigError
from lnbench.exchange.peft_import import import_peft
from tests import runs
from tests.exchange.made_models import IDS, base
from tests.exchange.peft_adapters.make import CASES, HERE

ADAPTERS = sorted(folder.relative_to(HERE) for folder in HERE.glob("*/*") if folder.is_dir())
REFUSED = {"lora_and_embedding": "lnbench has no model.embed_tokens.weight"}
TASKS = {"bert": ["task=wnut17", "model.pooling=first"], "llama": ["task=samsum"]}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the pretrained models."""
    root = tmp_path_factory.mktemp("models")
    kinds = {kind for kind, _ in CASES.values()}
    return {kind: runs.save_model(kind.partition("_")[0], root / kind, base(kind)) for kind in kinds}


def overrides(sources: dict[str, Path], kind: str) -> list[str]:
    return [f"model.source={sources[kind]}", *TASKS[kind.partition("_")[0]]]


@pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
def test_an_adapter_of_any_version_is_imported_or_refused(
    adapter: Path, sources: dict[str, Path], tmp_path: Path
) -> None:
    kind, _ = CASES[adapter.name]
    arguments = HERE / adapter, tmp_path / "run", overrides(sources, kind), True
    if adapter.name in REFUSED:
        with pytest.raises(ConfigError, match=re.escape(REFUSED[adapter.name])):
            import_peft(*arguments)
        return
    import_peft(*arguments)
    expected = load_file(HERE / adapter.parent / "logits.safetensors")[adapter.name]
    ids = torch.tensor(IDS)
    with torch.no_grad():
        logits = lnbench.load(tmp_path / "run").model(input_ids=ids, attention_mask=torch.ones_like(ids))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
