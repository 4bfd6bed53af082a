"""Only the norms' elements with the highest Fisher information are trained."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lnbench.backbone.config import MASK
from lnbench.backbone.tuned_model import TunedModel
from lnbench.exchange.tuned import load
from lnbench.methods.fisher_ln import choose
from lnbench.records.files import ADAPTER
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.training.assemble import build_model
from tests import runs
from tests.conftest import Configure
from tests.tiny import HIDDEN, LAYERS, batch, hidden, part, tiny, tune
from tests.training.interruption import interrupt

NORMS = LAYERS * 4 * HIDDEN
SHARE = 0.2


def norms_of(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """The values and masks of the trained norms in an adapter file."""
    tensors = load_file(folder / ADAPTER)
    return {name: (tensors[name], tensors[name + MASK]) for name in tensors if name + MASK in tensors}


def test_the_chosen_elements_move_and_all_others_stay_to_the_last_bit(configure: Configure) -> None:
    config = configure("method=fisher_ln", "method.fisher_ln.batches=4")
    record, norms, model = run(config), norms_of(run_dir(config)), build_model(config)
    assert len(norms) == LAYERS * 4
    for name, (value, mask) in norms.items():
        pretrained = model.get_parameter(name)
        assert torch.equal(value[~mask], pretrained[~mask])
        assert (value[mask] != pretrained[mask]).all()
    chosen = sum(int(mask.sum()) for _, mask in norms.values())
    assert chosen == round(SHARE * NORMS)
    assert record.parameters.by_part == {"fisher_ln": chosen}
    assert record.parameters.trained == chosen


def test_a_finished_run_knows_what_it_trained(configure: Configure) -> None:
    config = configure("method=fisher_ln")
    run(config)
    masks = load(run_dir(config)).model.masks()
    stored = norms_of(run_dir(config))
    assert masks.keys() == stored.keys()
    assert all(torch.equal(masks[name], mask) for name, (_, mask) in stored.items())


def test_an_interrupted_run_goes_on_with_the_same_elements(configure: Configure, runs_dir: Path) -> None:
    settings = ("method=fisher_ln", "method.fisher_ln.batches=2")
    expected = runs.results(configure(*settings))
    interrupted = configure(*settings, f"runs_dir={runs_dir}/interrupted")
    interrupt(interrupted, "on_train_batch_end", 6)
    assert runs.results(interrupted) == expected


def test_with_a_share_of_one_it_is_ln_tuning(configure: Configure) -> None:
    everything = runs.results(configure("method=fisher_ln", "method.fisher_ln.share=1.0"))
    ln = runs.results(configure("method=ln"))
    assert everything["history"] == ln["history"]
    assert {name: value for name, value in everything["adapter"].items() if MASK not in name} == ln["adapter"]


def test_a_parameter_that_another_part_claims_is_trained_whole(configure: Configure) -> None:
    record = run(configure("method=fisher_ln+bitfit"))
    masks = norms_of(run_dir(configure("method=fisher_ln+bitfit")))
    biases = {name for name in masks if name.endswith("bias")}
    assert len(biases) == LAYERS * 2
    assert all(masks[name][1].all() for name in biases)
    gains = sum(int(masks[name][1].sum()) for name in masks.keys() - biases)
    assert 0 < gains <= round(SHARE * NORMS)
    assert record.parameters.trained == record.parameters.by_part["bitfit"] + gains


def test_the_elements_with_the_highest_mean_squared_gradient_are_chosen() -> None:
    method, backbone = part("fisher_ln", batches=3), tiny("bert")
    model = TunedModel(backbone, torch.nn.Linear(1, 1), tune(backbone, {"fisher_ln": method}), 0)
    losses = [hidden(backbone, batch(seed=seed)).pow(4).sum() for seed in range(5)]
    parameters = [model.get_parameter(name) for name in model.claims["fisher_ln"]]
    gradients = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses[:3]]
    fisher = torch.stack([torch.cat(gradient).square() for gradient in gradients]).mean(dim=0)
    method.prepare(model, iter(losses))
    mask = torch.cat([model.masks()[name] for name in model.claims["fisher_ln"]])
    assert fisher[mask].min() >= fisher[~mask].max()


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.5, [[False, True], [True, True, False, False]]),
        (0.01, [[False, False], [True, False, False, False]]),
        (1.0, [[True] * 2, [True] * 4]),
    ],
)
def test_choose(share: float, expected: list[list[bool]]) -> None:
    masks = choose([torch.tensor([1.0, 4.0]), torch.tensor([9.0, 5.0, 0.0, 2.0])], share)
    assert [mask.tolist() for mask in masks] == expected
