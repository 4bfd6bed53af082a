from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lnbench.records.identity import run_dir
from lnbench.run import run
from lnbench.tuned import Tuned, load
from tests.conftest import Configure

Tune = Callable[..., Tuned]


@pytest.fixture
def tune(configure: Configure, sources: dict[str, Path]) -> Tune:
    """Does a short run of a method on a tiny model, and loads it with its values moved further from the start."""

    def tuned(architecture: str, method: str, *more: str) -> Tuned:
        config = configure(
            f"model.source={sources[architecture]}",
            f"method={method}",
            "trainer.max_steps=3",
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
