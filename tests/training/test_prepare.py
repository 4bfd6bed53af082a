"""What is measured of a model before it is trained."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModel

from lnbench.backbone.tuned_model import TunedModel, inputs_of
from lnbench.core.schema import ConfigError
from lnbench.run.execute import load_model_and_data
from lnbench.tasks.data.load import TaskData
from lnbench.tasks.parts.heads import Head
from tests import runs
from tests.conftest import Configure
from tests.runs import results

SCALE = 0.01


def rescaled(source: Path, folder: Path, scale: float) -> Path:
    """Saves the tiny BERT with states that are `scale` times as large."""
    runs.save_model("bert", folder)
    model = AutoModel.from_pretrained(source)
    with torch.no_grad():
        for parameter in model.encoder.layer[-1].output.LayerNorm.parameters():
            parameter.mul_(scale)
    model.save_pretrained(folder)
    return folder


def head_of(model: TunedModel) -> Head:
    assert isinstance(model.head, Head)
    return model.head


def states_of(model: TunedModel, data: TaskData) -> Tensor:
    """What the head reads of all training rows, (N, D)."""
    batch = data.train.batch(torch.arange(len(data.train)).numpy())
    with torch.no_grad():
        return head_of(model).read(model.backbone(**inputs_of(batch)), batch["attention_mask"])


@pytest.mark.parametrize("method", ["ln", "prefix", "full", "head"])
def test_the_head_is_made_for_the_states_of_the_model_as_training_begins(configure: Configure, method: str) -> None:
    model, data = load_model_and_data(configure(f"method={method}"))
    states = states_of(model, data)
    torch.testing.assert_close(head_of(model).mean, states.mean(dim=0), rtol=0, atol=1e-5)
    torch.testing.assert_close(head_of(model).scale, states.std(dim=0, correction=0), rtol=1e-4, atol=1e-5)


def test_it_is_the_same_for_every_seed_and_batch_size(configure: Configure) -> None:
    configs = [configure(*more) for more in ((), ("seed=1",), ("trainer.batch_size=3",))]
    (first, _), *others = [load_model_and_data(config) for config in configs]
    for other, _ in others:
        assert torch.equal(head_of(other).mean, head_of(first).mean)
        assert torch.equal(head_of(other).scale, head_of(first).scale)


def test_a_run_learns_alike_whatever_the_scale_of_the_models_states(
    configure: Configure, sources: dict[str, Path], tmp_path: Path
) -> None:
    small = rescaled(sources["bert"], tmp_path / "small", SCALE)
    first, second = results(configure("method=head")), results(configure("method=head", f"model.source={small}"))
    assert second["metrics"] == {split: pytest.approx(values, abs=1e-3) for split, values in first["metrics"].items()}
    losses = [[float(row["train/loss"]) for row in run["history"] if row["train/loss"]] for run in (first, second)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)


def test_states_that_are_no_numbers_are_refused_before_training(
    configure: Configure, sources: dict[str, Path], tmp_path: Path
) -> None:
    broken = rescaled(sources["bert"], tmp_path / "broken", float("nan"))
    with pytest.raises(ConfigError, match=r"^model.source = .*its states are not finite"):
        load_model_and_data(configure("method=head", f"model.source={broken}"))
