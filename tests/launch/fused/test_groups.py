"""Which runs train together."""

import pytest

from lnbench.launch.fused.groups import can_be_fused, group
from tests.conftest import Configure

FITTING = ["seed=3", "trainer.lr=0.001", "trainer.head_lr=0.01", "trainer.weight_decay=0.1", "trainer.warmup=0.5"]
FITTING += ["trainer.lr_factor=3", "method.ln.lr=0.5", "logger=tensorboard", "logger=mlflow"]
OTHER = ["trainer.batch_size=4", "trainer.max_epochs=5", "trainer.frozen_dropout=false", "method.ln.layers=1"]
OTHER += ["method.ln.terms=[bias]", "method=ln+lora", "task.max_length=16", "++model.dropout=0.2", "test=false"]
OTHER += ["data_root=elsewhere", "trainer.patience=1", "trainer.accumulate=2", "model.pooling=first"]
ALONE = ["method=full", "trainer.devices=2", "trainer.on_oom=halve", "trainer.gradient_checkpointing=true"]
ALONE += ["logger=wandb"]


@pytest.mark.parametrize("override", FITTING)
def test_what_only_the_optimiser_or_the_seed_knows_may_differ(configure: Configure, override: str) -> None:
    assert group([configure(), configure(override)], 16) == [[0, 1]]


@pytest.mark.parametrize("override", OTHER)
def test_all_else_may_not(configure: Configure, override: str) -> None:
    assert group([configure(), configure(override), configure("seed=1")], 16) == [[0, 2], [1]]


def test_scales_may_differ_where_the_model_has_them_in_buffers(configure: Configure) -> None:
    assert group([configure("method=lora", f"method.lora.alpha={alpha}") for alpha in (8, 16)], 16) == [[0, 1]]
    ratios = [configure("method=lora", f"method.lora.lr_ratio={ratio}") for ratio in (1, 16)]
    assert group(ratios, 16) == [[0, 1]]
    assert group([*ratios, configure("method=lora", "method.lora.dora=true")], 16) == [[0, 1], [2]]
    sums = [configure("method=parallel_adapter", f"method.parallel_adapter.scale={scale}") for scale in (1.0, 2.0)]
    assert group(sums, 16) == [[0], [1]]


def test_seeds_that_draw_their_own_training_rows_do_not_share_data(configure: Configure) -> None:
    own = ("++task.splits.train_limit=10", "++task.splits.resample=true")
    runs = [configure(*own, f"seed={seed}", f"trainer.head_lr={rate}") for seed, rate in ((0, 0.1), (1, 0.1), (0, 0.2))]
    assert group(runs, 16) == [[0, 2], [1]]


@pytest.mark.parametrize("override", ALONE)
def test_some_runs_stay_alone(configure: Configure, override: str) -> None:
    run = configure(override)
    assert not can_be_fused(run)
    assert group([run, run], 16) == [[0], [1]]


def test_a_search_that_is_done_again_stays_alone(configure: Configure) -> None:
    assert can_be_fused(configure("search=lr"))
    assert not can_be_fused(configure("search=lr", "rerun=true"))


@pytest.mark.parametrize(
    ("runs", "max_runs", "slots", "sizes"),
    [(5, 16, 1, [5]), (5, 2, 1, [2, 2, 1]), (7, 4, 1, [4, 3]), (4, 16, 2, [2, 2]), (3, 16, 8, [1, 1, 1])],
)
def test_groups_are_of_nearly_equal_size(
    configure: Configure, runs: int, max_runs: int, slots: int, sizes: list[int]
) -> None:
    groups = group([configure(f"seed={seed}") for seed in range(runs)], max_runs, slots)
    assert sorted(map(len, groups), reverse=True) == sizes
    assert sorted(place for places in groups for place in places) == list(range(runs))


def test_what_is_no_run_stays_alone(configure: Configure) -> None:
    assert group([None, configure(), None, configure("seed=1")], 16) == [[0], [1, 3], [2]]
