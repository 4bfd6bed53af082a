import math
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from weakref import WeakSet

import pytest

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, trial, validate
from lnbench.core.schema import ConfigError
from lnbench.records.failure import RunFailed
from lnbench.records.files import PREDICTIONS
from lnbench.records.identity import run_dir, run_id
from lnbench.records.listing import find_runs
from lnbench.records.lock import hold
from lnbench.records.record import Trial, read_record
from lnbench.run import execute
from lnbench.run.lifecycle import run
from lnbench.tasks.data import load
from lnbench.training import standardise
from lnbench.training.assemble import build_model
from lnbench.training.shared import Last, data_key, states_key
from tests.conftest import Configure

SEARCH = ("search=lr", "search.values=[0.01,1]", "trainer.lr=null", "trainer.head_lr=0.03", "method.ln.lr=0.03")


def test_the_value_with_the_best_validation_score_is_taken(configure: Configure, runs_dir: Path) -> None:
    record = run(configure(*SEARCH))
    assert record.search
    slow, fast = record.search.trials
    assert (slow.value, fast.value, record.search.parameter) == (0.01, 1, "trainer.lr_factor")
    assert slow.score is not None
    assert fast.score is not None
    assert slow.score != fast.score
    best = slow if slow.score > fast.score else fast
    assert record.search.chosen == best.value
    assert record.config["trainer"]["lr_factor"] == best.value
    assert record.score == best.score, "the trial of the same seed, over again"
    assert {found.id for found in find_runs(runs_dir)} >= {slow.id, fast.id, record.id}


def test_a_trial_never_sees_the_test_split(configure: Configure) -> None:
    config = trial(configure(*SEARCH), 1)
    record = run(config)
    assert list(record.metrics) == ["validation"]
    assert not (run_dir(config) / PREDICTIONS).exists()
    assert record.cost.test_samples_per_second == 0
    assert run(config) == record


def test_all_seeds_share_the_trials(configure: Configure, runs_dir: Path) -> None:
    first = run(configure(*SEARCH))
    second = run(configure(*SEARCH, "seed=1"))
    assert first.search == second.search
    assert len(list(find_runs(runs_dir))) == 2 + 2


def test_the_runs_of_a_search_read_the_data_and_the_states_once_with_equal_results(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, states = Mock(wraps=load.load_data), Mock(wraps=standardise._mean_and_deviation)
    monkeypatch.setattr(execute, "load_data", reads)
    monkeypatch.setattr(standardise, "_mean_and_deviation", states)
    searched = run(configure(*SEARCH))
    assert (reads.call_count, states.call_count) == (1, 1)
    chosen = f"trainer.lr_factor={searched.config['trainer']['lr_factor']}"
    alone = run(configure(*SEARCH[2:], chosen))
    assert (reads.call_count, states.call_count) == (2, 2)
    assert (alone.metrics, alone.data) == (searched.metrics, searched.data)
    assert (alone.folder / PREDICTIONS).read_text() == (searched.folder / PREDICTIONS).read_text()


@pytest.mark.parametrize(
    ("changes", "data", "states"),
    [
        ([], True, True),
        (["trainer.lr_factor=2"], True, True),
        (["seed=1"], True, False),
        (["method=ln+prefix"], True, False),
        (["trainer.precision=bf16"], True, False),
        (["task.max_length=9"], False, False),
        (["cache_dir=elsewhere"], False, False),
        (["model.dropout=0.3"], False, False),
    ],
)
def test_what_is_shared_is_the_same(configure: Configure, changes: list[str], data: bool, states: bool) -> None:
    one, other = configure(), configure(*changes)
    assert (data_key(one) == data_key(other), states_key(one) == states_key(other)) == (data, states)


def test_each_seed_has_data_of_its_own_where_it_draws_them(configure: Configure) -> None:
    drawn = ("task.splits.resample=true", "task.splits.train_limit=8")
    assert data_key(configure(*drawn)) != data_key(configure(*drawn, "seed=1"))


def test_nothing_is_shared_while_the_content_is_not_known(configure: Configure) -> None:
    config = configure()
    unknown = config.model_copy(update={"task": config.task.model_copy(update={"content": {}})})
    assert data_key(unknown) == states_key(unknown) == ""
    made: Last[object] = Last()
    assert made.of("", object) is not made.of("", object)
    assert made.of("one", object) is made.of("one", object)


def test_a_value_that_cannot_be_made_leaves_no_trace(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial may run out of memory before it trains; the run then takes the value that was tried before it."""
    measure = standardise._mean_and_deviation

    def too_large(config: RunConfig, *others: Any) -> Any:
        if config.method["prefix"].identity()["length"] == 3:
            raise MemoryError
        return measure(config, *others)

    monkeypatch.setattr(standardise, "_mean_and_deviation", too_large)
    lengths = ("search=lr", "search.parameter=method.prefix.length", "search.values=[2,3]")
    record = run(configure("method=prefix", *lengths))
    assert record.search
    assert record.search.chosen == 2
    assert record.search.trials[1].problem.startswith("out of memory")
    made: Last[int] = Last()
    assert made.of("one", lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        made.of("other", lambda: 1 // 0)
    assert made.of("one", lambda: 2) == 2


def test_two_data_sets_are_never_in_memory_at_once(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, alive = WeakSet[Any](), list[int]()

    def read(*arguments: Any) -> Any:
        alive.append(len(kept))
        kept.add(data := load.load_data(*arguments))
        return data

    monkeypatch.setattr(execute, "load_data", read)
    run(configure("search=lr", "search.parameter=task.max_length", "search.values=[8,32]", "trainer.max_steps=2"))
    assert alive == [0, 0, 0]


def test_what_the_search_finds_is_no_part_of_the_identity(configure: Configure) -> None:
    record = run(configure(*SEARCH))
    assert record.id == run_id(configure(*SEARCH)) == run_id(configure(*SEARCH, "trainer.lr_factor=7"))
    assert record.id == run_id(validate(record.config))
    assert record.id != run_id(configure(*SEARCH, "search.values=[0.01,1,2]"))


def test_a_trial_that_diverges_has_lost(configure: Configure) -> None:
    record = run(configure(*SEARCH, "search.values=[1,1e30]"))
    assert record.search
    assert record.search.chosen == 1
    assert record.search.trials[1].score is None
    assert "diverged" in record.search.trials[1].problem


def test_a_trial_that_fails_for_a_reason_outside_it_has_not_lost(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, build = configure(*SEARCH), build_model

    def away(one: RunConfig) -> Any:
        if one.trainer.lr_factor == 1:
            raise ConnectionError("the hub is away")
        return build(one)

    with monkeypatch.context() as patch:
        patch.setattr(execute, "build_model", away)
        with pytest.raises(RunFailed, match=r"\(refused\): ConnectionError: the hub is away"):
            run(config)
    assert read_record(run_dir(config)) is None
    record = run(config)
    assert record.search
    assert all(one.score is not None for one in record.search.trials)


def test_when_every_trial_fails_the_run_does(configure: Configure) -> None:
    with pytest.raises(RunFailed, match=r"lr_factor failed \(error\): every trial failed, the last with: diverged"):
        run(configure(*SEARCH, "search.values=[1e30,1e31]"))


def test_a_trial_that_another_process_does_is_waited_for(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure(*SEARCH)
    other = trial(config, 0.01)
    lock = hold(config.runs_dir, run_id(other))
    lock.__enter__()
    monkeypatch.setattr("time.sleep", lambda _: lock.__exit__(None, None, None))
    record = run(config)
    assert record.search
    assert [one.value for one in record.search.trials] == [0.01, 1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["search=lr", "search.parameter=trainer.lrr"], "search.parameter = 'trainer.lrr': is no setting of this run"),
        (["search=lr", "search.values=[1,-1]"], "trainer.lr_factor = -1"),
        (["search=lr", "search.values=[1]"], "search.values = [1]: "),
        (["search=lr", "search.values=[1,2,1.0]"], "search.parameter = 'trainer.lr_factor': its values 1 and 1.0 try "),
        (["search=lr", "search.parameter=seed", "search.values=[1,2]"], "search.parameter = 'seed': its values 1 and "),
        (["search=lr", "search.parameter=trainer.devices", "search.values=[1,2]"], "search.parameter = 'trainer.dev"),
    ],
)
def test_a_search_that_cannot_be_done_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(to_plain(compose_config(*overrides)))
    assert str(caught.value).startswith(message)


def test_any_setting_can_be_searched(configure: Configure) -> None:
    config = configure("search=lr", "search.parameter=trainer.batch_size", "search.values=[4,8]")
    assert config.search
    assert [trial(config, value).trainer.batch_size for value in config.search.values] == [4, 8]


def test_a_score_that_is_not_a_number_loses(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    from lnbench.run import search as module

    config = configure(*SEARCH)
    monkeypatch.setattr(module, "_try", lambda config, value, run: Trial(value=value, id="", score=SCORES[value]))
    chosen, result = module.search_by_trials(config, run)
    assert (chosen.trainer.lr_factor, result.chosen) == (1, 1)


SCORES = {0.01: math.nan, 1: 0.2}


def test_the_mean_over_several_seeds_chooses(configure: Configure, runs_dir: Path) -> None:
    config = configure(*SEARCH, "search.seed=5", "search.seeds=2")
    record = run(config)
    assert record.search
    assert [(one.value, one.seed) for one in record.search.trials] == [(0.01, 5), (0.01, 6), (1, 5), (1, 6)]
    scores = [one.score for one in record.search.trials if one.score is not None]
    means = {0.01: (scores[0] + scores[1]) / 2, 1: (scores[2] + scores[3]) / 2}
    assert (record.search.scores, record.search.seeds) == (means, 2)
    assert record.search.chosen == max(means, key=means.__getitem__)
    assert {found.id for found in find_runs(runs_dir)} == {record.id, *(one.id for one in record.search.trials)}


def test_one_seed_leaves_the_identity_of_earlier_searches_as_it_was(configure: Configure) -> None:
    config = configure(*SEARCH)
    assert "seeds" not in config.identity()["search"]
    assert run_id(config) != run_id(configure(*SEARCH, "search.seeds=2"))


def test_a_value_that_fails_with_one_of_the_seeds_loses(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    from lnbench.run import search as module

    scores = iter([0.9, None, 0.1, 0.2])
    monkeypatch.setattr(module, "_try", lambda config, value, run: Trial(value=value, id="", score=next(scores)))
    chosen, result = module.search_by_trials(configure(*SEARCH, "search.seeds=2"), run)
    assert (chosen.trainer.lr_factor, result.scores) == (1, {0.01: None, 1: pytest.approx(0.15)})
