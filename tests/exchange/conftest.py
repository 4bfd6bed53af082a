from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lnbench.backbone.loading import load_tokenizer
from lnbench.exchange.tuned import Tuned, load
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.training.assemble import build_model
from tests import runs
from tests.conftest import Configure
from tests.tiny import shake

Tune = Callable[..., Tuned]
Build = Callable[..., Tuned]


@pytest.fixture
def tune(configure: Configure, sources: dict[str, Path]) -> Tune:
    """Does a short run of a method on a tiny model, and loads it with its values moved further from the start."""

    def tuned(architecture: str, method: str, *more: str) -> Tuned:
        config = configure(
            f"model.source={sources[architecture]}",
            f"method={method}",
            "trainer.max_steps=1",
            "test=false",
            "model.pooling=last",
            *more,
        )
        run(config)
        loaded = load(run_dir(config))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in loaded.model.trained().values():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        return loaded

    return tuned


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pretrained model."""
    root = tmp_path_factory.mktemp("models")
    return lambda name: root / name if (root / name).is_dir() else runs.save_model(name, root / name)


@pytest.fixture
def build(folders: Callable[[str], Path], data_root: Path, tmp_path: Path) -> Build:
    """Makes what `load` gives of a run, with random values in place of trained ones."""

    def built(architecture: str, *more: str) -> Tuned:
        config = runs.configure(folders(architecture), data_root, tmp_path / "runs", *more)
        model = build_model(config).eval()
        shake(model)
        return Tuned(model, load_tokenizer(config.model), config.task, config, "fp32")

    return built
