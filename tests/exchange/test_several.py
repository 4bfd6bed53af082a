"""Several tuned models over one copy of a backbone."""

from collections import defaultdict
from pathlib import Path

import pytest
import torch
from torch import nn

import lnbench
from lnbench.backbone import gguf
from lnbench.config.run import RunConfig
from lnbench.exchange.tuned import Tuned, share_frozen
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from tests import runs
from tests.conftest import Configure
from tests.tiny import batch, hidden, tiny, tiny_generator

EMBEDDING = "embeddings.word_embeddings.weight"


def done(*configs: RunConfig) -> list[Path]:
    """Folders of runs, which are done first."""
    for config in configs:
        run(config)
    return [run_dir(config) for config in configs]


def parameters(tuned: Tuned) -> dict[str, nn.Parameter]:
    return dict(tuned.model.backbone.named_parameters())


def check_each_answers_as_alone(folders: list[Path], several: list[Tuned]) -> None:
    for folder, tuned in zip(folders, several, strict=True):
        torch.testing.assert_close(tuned.model(**batch()), lnbench.load(folder).model(**batch()), rtol=0, atol=0)


def test_runs_share_what_none_of_them_trained_and_answer_as_alone(configure: Configure) -> None:
    methods = ("ln", "mha_adapter", "ln+prefix")
    folders = done(*(configure(f"method={method}", "trainer.max_steps=3") for method in methods))
    several = lnbench.load_several(folders)
    check_each_answers_as_alone(folders, several)
    first, second, third = map(parameters, several)
    norm = "encoder.layer.0.output.LayerNorm.weight"
    assert first[EMBEDDING] is third[EMBEDDING]
    assert len({first[norm], second[norm], third[norm]}) == 3


def test_two_gguf_files_of_one_folder_are_two_backbones(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf, "require_reader", lambda _: None)
    monkeypatch.setattr(gguf, "unpacked", lambda folder, name: folder / name.removesuffix(".gguf"))
    for seed, name in enumerate(("small", "large")):
        tiny("bert", seed).save_pretrained(runs.save_model("bert", tmp_path / name))
        (tmp_path / f"{name}.gguf").write_text(name)
    files = ("small.gguf", "large.gguf")
    folders = done(
        *(
            configure(f"model.source={tmp_path}", f"++model.gguf_file={name}", "method=head", "trainer.max_steps=1")
            for name in files
        )
    )
    several = lnbench.load_several(folders)
    check_each_answers_as_alone(folders, several)
    assert parameters(several[0])[EMBEDDING] is not parameters(several[1])[EMBEDDING]


def test_weights_of_the_same_name_and_other_values_are_not_shared() -> None:
    known: dict[str, list[nn.Parameter]] = defaultdict(list)
    models = [tiny("bert", seed).requires_grad_(False) for seed in range(2)]
    expected = [hidden(model, batch()) for model in models]
    for model in models:
        share_frozen(model, known)
    for model, before in zip(models, expected, strict=True):
        torch.testing.assert_close(hidden(model, batch()), before, rtol=0, atol=0)


def test_models_of_other_names_and_pooling_share_equal_weights(configure: Configure) -> None:
    first, second = lnbench.load_several(
        done(
            configure("trainer.max_steps=1"),
            configure("model.name=other", "model.pooling=first", "trainer.max_steps=1"),
        )
    )
    assert parameters(first)[EMBEDDING] is parameters(second)[EMBEDDING]


def test_an_output_head_that_is_the_embedding_is_shared_with_it() -> None:
    known: dict[str, list[nn.Parameter]] = defaultdict(list)
    models = [tiny_generator("gpt2").requires_grad_(False) for _ in range(2)]
    for model in models:
        share_frozen(model, known)
    weights = {id(model.get_parameter(f"{name}.weight")) for model in models for name in ("lm_head", "transformer.wte")}
    assert len(weights) == 1


def test_weights_in_another_number_format_are_others() -> None:
    known: dict[str, list[nn.Parameter]] = defaultdict(list)
    single, rounded = tiny("bert").requires_grad_(False), tiny("bert").requires_grad_(False).bfloat16()
    for model in (single, rounded):
        share_frozen(model, known)
    assert {parameter.dtype for parameter in rounded.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in single.parameters()} == {torch.float32}
