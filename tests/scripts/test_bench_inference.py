import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lnbench.backbone.loading import load_tokenizer
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import RunConfig, validate
from lnbench.methods.parts.prefix_vectors import GeneratedKeyValues
from lnbench.training.assemble import build_model
from scripts import bench_inference
from scripts.inference.variants import NOISE, Variant, hf_variants, lnbench_variants
from scripts.inference.work import Work, generation
from tests import runs
from tests.conftest import Configure
from tests.tiny import batch

pytestmark = [
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
Variants = Callable[[str, RunConfig], Any]


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("variants", "method"), [(lnbench_variants, "lora"), (lnbench_variants, "ia3"), (hf_variants, "lora")]
)
def test_merged_variants_answer_the_same_and_are_as_large_as_plain_ones(
    variants: Variants, method: str, configure: Configure
) -> None:
    tuned, merged = variants(method, configure(f"method={method}"))
    (plain,) = variants("full", configure("method=full"))
    assert [tuned.merged, merged.merged] == [False, True]
    assert size(merged.model) == size(plain.model) < size(tuned.model)
    with torch.inference_mode():
        torch.testing.assert_close(merged.model(**batch()), tuned.model(**batch()), rtol=0, atol=1e-5)


def test_trained_parameters_are_off_their_start_and_no_others(configure: Configure) -> None:
    config = configure("method=ln+lora")
    first, _ = lnbench_variants("ln+lora", config)
    start = dict(build_model(config).named_parameters())
    for name, parameter in first.model.named_parameters():
        moved = (parameter - start[name]).abs()
        assert NOISE / 2 < moved.mean() < 2 * NOISE if parameter.requires_grad else moved.max() == 0


def test_generated_prefixes_are_computed_once(configure: Configure) -> None:
    (variant,) = lnbench_variants("prefix", configure("method=prefix", "method.prefix.mlp_size=8"))
    assert not any(isinstance(module, GeneratedKeyValues) for module in variant.model.modules())


def test_peft_has_no_variant_of_other_methods(configure: Configure) -> None:
    assert list(hf_variants("adapter", configure("method=adapter"))) == []


def test_speeds_and_times_are_of_the_rounds_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, tuned = (Variant("lnbench", name, False, nn.Linear(1, 1)) for name in ("full", "ln"))
    times = itertools.accumulate([0, 90, 0, 90, 0, 2, 0, 1, 0, 4, 0, 6])
    monkeypatch.setattr(bench_inference, "now", lambda: next(times))
    done: list[nn.Module] = []
    rows = bench_inference.measure([plain, tuned], Work(done.append, 12, "samples"), rounds=2)
    assert done == 3 * [plain.model, tuned.model]
    assert rows[0]["per_second"] == {"low": 3.75, "median": 4.5, "high": 5.25}
    assert rows[0]["of_full"] == {"low": 1, "median": 1, "high": 1}
    assert rows[1]["of_full"] == {"low": 0.75, "median": 1, "high": 1.25}


@pytest.fixture
def bench(data_root: Path, runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Calls the script with a tiny model; takes its folder and options, and returns what it saves."""

    def call(source: Path, *options: str) -> Any:
        given = [one for one in runs.overrides(source, data_root, runs_dir) if not one.startswith("method=")]
        file = tmp_path / "report.json"
        monkeypatch.setattr(sys, "argv", ["bench_inference", *given, "--rounds", "1", "--save", str(file), *options])
        bench_inference.main()
        return json.loads(file.read_text())

    return call


def test_a_whole_benchmark(
    bench: Callable[..., Any], sources: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    report = bench(sources["bert"], "--methods", "lora", "prefix method.prefix.mlp_size=8", "--rows", "9")
    assert [(row["method"], row["framework"], row["merged"]) for row in report["rows"]] == [
        ("full", "lnbench", False),
        ("lora", "lnbench", False),
        ("lora", "lnbench", True),
        ("prefix method.prefix.mlp_size=8", "lnbench", False),
        ("full", "hf", False),
        ("lora", "hf", False),
        ("lora", "hf", True),
    ]
    assert "tiny, sst2, batches of 16" in capsys.readouterr().out


def test_texts_are_generated_to_their_full_length(sources: dict[str, Path]) -> None:
    model_of = ["model.name=tiny", f"model.source={sources['gpt2']}", "model.pooling=last"]
    config = validate(to_plain(compose_config("task=e2e_nlg", "trainer.eval_batch_size=3", *model_of)))
    work = generation(config, prompt_tokens=5, new_tokens=4)
    model = build_model(config).eval()
    vocabulary = len(load_tokenizer(config.model))
    model.backbone.generation_config.eos_token_id = list(range(vocabulary - 1))
    texts = work.do(model)
    assert isinstance(texts, Tensor)
    assert texts.shape == (3, 5 + 4)
    assert (work.amount, work.unit) == (3 * 4, "tokens")


def test_other_tasks_are_refused(bench: Callable[..., Any], sources: dict[str, Path]) -> None:
    with pytest.raises(SystemExit, match="task = 'stsb': neither classifies sentences nor generates text"):
        bench(sources["bert"], "task=stsb")
