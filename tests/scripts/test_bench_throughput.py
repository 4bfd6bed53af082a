import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lnbench.backbone.loading import load_tokenizer
from lnbench.config.run import RunConfig
from lnbench.core.schema import ConfigError
from lnbench.tasks.data.load import TaskData, load_data
from lnbench.training.assemble import build_model
from scripts import bench_throughput
from scripts.throughput import clock, end_to_end, hf_model, setting, step_only
from scripts.throughput.flops import count_flops
from scripts.throughput.hf_runner import as_rows
from scripts.throughput.quartiles import quartiles, ratios
from tests import runs
from tests.conftest import Configure
from tests.tiny import ARCHITECTURES, HIDDEN, VOCABULARY, batch

STEPS, BATCH = 2, 8
OURS_TOO = [name for name in hf_model.METHODS if name != "full"]
"""In these both train the same; `full` trains also the pooler, which lnbench's model has not."""
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


@pytest.fixture
def data(configure: Configure) -> TaskData:
    config = configure()
    return load_data(config.task, load_tokenizer(config.model), config.data_root, config.cache_dir)


@pytest.mark.parametrize(
    ("new_model", "architecture", "method"),
    [
        *((build_model, architecture, method) for architecture in ARCHITECTURES for method in bench_throughput.METHODS),
        *((hf_model.new_model, "bert", method) for method in hf_model.METHODS),
    ],
)
def test_operations_are_those_that_torch_counts(
    new_model: Callable[[RunConfig], nn.Module],
    architecture: str,
    method: str,
    configure: Configure,
    sources: dict[str, Path],
) -> None:
    # With no more keys than a head has dimensions, no probability is computed twice, which would count once.
    short = ["method.prefix.length=1"] if method == "prefix" else []
    model = new_model(configure(f"method={method}", f"model.source={sources[architecture]}", *short)).train()
    with FlopCounterMode(display=False) as counter:
        output = model(**batch([7, 7]))
        logits: Tensor = getattr(output, "logits", output)
        logits.sum().backward()
    assert count_flops(model).of([7, 7]) == pytest.approx(counter.get_total_flops(), rel=1e-9)


@pytest.mark.parametrize("method", OURS_TOO)
def test_both_models_train_equally_much(method: str, configure: Configure) -> None:
    config = configure(f"method={method}")
    ours, theirs = (
        sum(parameter.numel() for parameter in new_model(config).parameters() if parameter.requires_grad)
        for new_model in (build_model, hf_model.new_model)
    )
    assert ours == theirs


def test_frameworks_train_on_equally_many_samples(configure: Configure, data: TaskData) -> None:
    results = {name: end_to_end.run(name, configure(), data, STEPS) for name in end_to_end.RUNNERS}
    for result in results.values():
        assert len(result.round.lengths) == STEPS * BATCH
        assert result.round.processed_tokens >= result.round.lengths.sum() > STEPS * BATCH
        assert result.round.seconds > 0
        assert result.round.first_step_seconds > 0
        assert result.flops > 0
    assert results["bare"].round.lengths.tolist() == results["lnbench"].round.lengths.tolist()


def test_rows_for_the_trainer_are_those_of_the_batches(data: TaskData) -> None:
    places = np.arange(len(data.train))
    padded = data.train.batch(places)
    for place, row in enumerate(as_rows(data.train)):
        length = len(row["input_ids"])
        assert all(padded[name][place][:length].tolist() == row[name] for name in row if name != "labels")
        assert padded["attention_mask"][place].sum() == length
        assert padded["labels"][place] == row["labels"]


def test_the_clock_leaves_out_the_first_step_and_what_is_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 107.0, 110.0])
    monkeypatch.setattr(clock, "now", lambda: next(times))
    watch = clock.Clock(steps=2)
    watch.masks = [torch.ones(1, 9), torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.ones(1, 4).long(), torch.ones(1, 9)]
    for _ in range(3):
        watch.step_ended()
    result = watch.round()
    assert (result.seconds, result.first_step_seconds) == (3, 7)
    assert result.lengths.tolist() == [2, 3, 4]
    assert result.processed_tokens == 10


def test_adapters_have_no_counterpart_in_peft() -> None:
    assert [name for name in end_to_end.RUNNERS if end_to_end.supports(name, "adapter")] == ["lnbench", "bare"]


def test_quartiles_and_ratios() -> None:
    assert quartiles([4, 1, 3, 2, 5]) == {"low": 2, "median": 3, "high": 4}
    assert quartiles([7]) == {"low": 7, "median": 7, "high": 7}
    assert ratios([2, 9, 20], [1, 3, 5]) == {"low": 2.5, "median": 3, "high": 3.5}
    assert ratios([2], None) is None


@pytest.mark.parametrize(
    ("framework", "rows", "steps", "message"),
    [("bare", 320, 10, "enough for 9 steps"), ("hf_grouped", 6400, 60, "multiples of 50 are fair")],
)
def test_unfair_steps_are_refused(framework: str, rows: int, steps: int, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"--steps = {steps}: .*{message}"):
        end_to_end.check_steps(framework, rows, 32, steps)


@pytest.fixture
def bench(
    sources: dict[str, Path], data_root: Path, runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Calls the script with the tiny BERT; takes options, and returns what it saves."""
    given = [one for one in runs.overrides(sources["bert"], data_root, runs_dir) if not one.startswith("method=")]

    def call(*options: str) -> dict[str, Any]:
        file = tmp_path / "report.json"
        monkeypatch.setattr(sys, "argv", ["bench_throughput", *given[:1], *options, *given[1:], "--save", str(file)])
        with warnings.catch_warnings():
            bench_throughput.main()
        report: dict[str, Any] = json.loads(file.read_text())
        return report

    return call


def test_a_whole_benchmark(bench: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--steps", str(STEPS), "--rounds", "1", "--repeats", "2", "--length", "6"]
    report = bench("--methods", "ln", "--frameworks", "lnbench", "hf", *few)
    for name in ("end_to_end", "step"):
        assert [(row["method"], row["framework"]) for row in report[name]] == [("ln", "lnbench"), ("ln", "hf")]
    for row in (*report["end_to_end"], *report["step"]):
        assert 0 < row["peak_share"]["low"] <= row["peak_share"]["median"] <= row["peak_share"]["high"] < 1
        assert 0 < row["matmul_share"] < 1
        assert row["tokens_per_second"]["median"] > row["samples_per_second"]["median"] > 0
        assert row["lnbench_ratio"]["median"] == 1 or row["framework"] != "lnbench"
    shown = capsys.readouterr().out
    assert "End to end: tiny, 32-true, batches of 8, sst2, 1 rounds of 2 steps" in shown
    assert "Step only: tiny, 32-true, batches of 8 x 6 tokens" in shown


def test_the_compiled_model_takes_part_where_asked(bench: Callable[..., dict[str, Any]]) -> None:
    few = ["--only", "step", "--repeats", "1", "--length", "6"]
    with torch.compiler.set_stance("force_eager"):
        rows = bench("--methods", "ln", "adapter", "--compile", *few)["step"]
    compiled = [row for row in rows if row["framework"] == step_only.COMPILED]
    assert [row["method"] for row in compiled] == ["ln", "adapter"]
    for row in compiled:
        alone = next(one for one in rows if (one["framework"], one["method"]) == ("lnbench", row["method"]))
        assert row["trained"] == alone["trained"]
        assert row["lnbench_ratio"]["median"] == row["seconds"]["median"] / alone["seconds"]["median"]


def test_random_weights_have_the_architecture_and_minilms_vocabulary(configure: Configure, tmp_path: Path) -> None:
    config = configure()
    setting.put_model(config, tmp_path, random_weights=True)
    given, random = build_model(config), build_model(setting.with_model(config, tmp_path))
    shapes, others = ({name: value.shape for name, value in model.state_dict().items()} for model in (given, random))
    words = "backbone.embeddings.word_embeddings.weight"
    assert others.pop(words) == (len(load_tokenizer(setting.with_model(config, tmp_path).model)), HIDDEN)
    assert shapes.pop(words) == (VOCABULARY, HIDDEN)
    assert others == shapes
    some = "backbone.encoder.layer.0.output.dense.weight"
    assert not torch.equal(given.state_dict()[some], random.state_dict()[some])


def test_a_task_without_sentence_labels_is_refused() -> None:
    with pytest.raises(ConfigError, match="task = 'stsb': is no classification of sentences"):
        setting.configure(["ln"], ["task=stsb"])
