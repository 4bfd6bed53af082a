import copy
import sys
from pathlib import Path

import pytest
import torch

from lnbench.__main__ import main
from lnbench.backbone.loading import LANGUAGE_MODELS, load_config, require_kind, require_pooling
from lnbench.backbone.tuned_model import count_parameters, inputs_of
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.config_folders import config_dir
from lnbench.core.errors import REFUSED
from lnbench.core.schema import ConfigError
from lnbench.tasks.parts.heads import Head
from lnbench.training.assemble import build_model, build_skeleton, check_length
from tests import runs, tiny
from tests.conftest import Configure

MODELS = config_dir() / "model"
METHODS = ["ln", "ln+prefix+mha_adapter", "bitfit+ln", "full", "head"]


@pytest.mark.parametrize("method", METHODS)
def test_counts_are_unions_and_leave_the_head_apart(configure: Configure, method: str) -> None:
    model = build_model(configure(f"method={method}"))
    count = count_parameters(model)
    pretrained = tiny.tiny("bert")
    pooler = sum(parameter.numel() for name, parameter in pretrained.named_parameters() if name.startswith("pooler"))
    trained = {name: parameter.numel() for name, parameter in model.trained().items()}
    assert count.backbone == pretrained.num_parameters() - pooler
    assert count.head == tiny.HIDDEN * 2 + 2 == sum(size for name, size in trained.items() if name.startswith("head."))
    assert count.trained == sum(trained.values()) - count.head
    assert count.inserted == sum(parameter.numel() for parameter in model.parameters()) - count.head - count.backbone
    assert list(count.by_part) == sorted(method.split("+"))
    assert count.trained_fraction == count.trained / count.backbone
    if method == "bitfit+ln":
        assert count.trained == sum(count.by_part.values()) - tiny.LAYERS * 2 * tiny.HIDDEN


@pytest.mark.parametrize("method", METHODS)
def test_a_skeleton_counts_as_the_model_does(configure: Configure, method: str) -> None:
    config = configure(f"method={method}")
    skeleton = build_skeleton(config)
    assert count_parameters(skeleton) == count_parameters(build_model(config))
    assert all(parameter.is_meta for parameter in skeleton.parameters())


def test_the_head_starts_equal_whatever_the_method(configure: Configure) -> None:
    torch.manual_seed(0)
    first = build_model(configure("method=ln"))
    torch.rand(9)
    second = build_model(configure("method=prefix+mha_adapter"))
    for name, value in first.head.state_dict().items():
        assert torch.equal(value, second.head.state_dict()[name])
    other = build_model(configure("method=ln", "seed=1"))
    weights = [model.head.get_parameter("classifier.weight") for model in (first, other)]
    assert not torch.equal(*weights)


def test_padding_changes_no_logits(configure: Configure, sources: dict[str, Path]) -> None:
    for architecture, pooling in (("bert", "mean"), ("bert", "pooler"), ("gpt2", "last")):
        source = f"model.source={sources[architecture]}"
        model = build_model(configure("method=ln+prefix", source, f"model.pooling={pooling}")).eval()
        together = tiny.batch((9, 4))
        alone = {name: values[1:, :4] for name, values in together.items()}
        with torch.no_grad():
            assert torch.allclose(model(**together)[1:], model(**alone), atol=1e-5)


def test_trained_values_can_be_put_in_place(configure: Configure) -> None:
    config = configure("method=ln+prefix")
    first, second = build_model(config).eval(), build_model(config).eval()
    tiny.shake(first)
    with torch.no_grad():
        assert not torch.equal(first(**tiny.batch()), second(**tiny.batch()))
        second.load_trained(first.state())
        assert torch.equal(first(**tiny.batch()), second(**tiny.batch()))


def test_how_the_head_reads_states_is_a_part_of_what_is_saved(configure: Configure) -> None:
    first, second = build_model(configure()), build_model(configure())
    assert isinstance(first.head, Head)
    first.head.standardise(torch.randn(tiny.HIDDEN), torch.rand(tiny.HIDDEN) + 1)
    second.load_trained(first.state())
    for name, value in first.head.named_buffers():
        assert torch.equal(second.head.get_buffer(name), value)
    assert count_parameters(first) == count_parameters(build_skeleton(configure()))


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_values_of_another_model_are_refused(configure: Configure, change: str) -> None:
    model = build_model(configure())
    tensors = dict(model.state())
    if change == "missing":
        tensors.pop("head.classifier.bias")
    else:
        tensors["head.more"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"does not fit this model and method: 1 names, first head\."):
        model.load_trained(tensors)


def gradients(configure: Configure, checkpointing: bool) -> dict[str, torch.Tensor]:
    """Gradients of one training batch without dropout."""
    config = configure("method=ln+prefix", f"trainer.gradient_checkpointing={str(checkpointing).lower()}")
    model = build_model(config).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    config.task.loss(model(**tiny.batch()), {"labels": torch.tensor([0, 1])}).backward()
    return {name: parameter.grad for name, parameter in model.trained().items() if parameter.grad is not None}


def test_gradients_are_equal_with_checkpointing(configure: Configure) -> None:
    plain, checkpointed = gradients(configure, False), gradients(configure, True)
    assert plain.keys() == checkpointed.keys() == build_model(configure("method=ln+prefix")).trained().keys()
    for name, gradient in plain.items():
        assert gradient.abs().sum() > 0
        assert torch.allclose(gradient, checkpointed[name], atol=1e-6)


def test_labels_and_row_numbers_are_no_inputs() -> None:
    batch = {**tiny.batch(), "labels": torch.zeros(2), "rows": torch.zeros(2)}
    assert inputs_of(batch).keys() == tiny.batch().keys()


def test_rows_longer_than_the_model_are_refused(configure: Configure) -> None:
    check_length(configure(f"task.max_length={tiny.POSITIONS}"))
    with pytest.raises(ConfigError, match=r"^task.max_length = 65: tiny has 64 positions; choose 64 or less$"):
        check_length(configure("task.max_length=65"))


@pytest.mark.parametrize(
    ("architecture", "overrides", "message"),
    [
        (
            "distilbert",
            ["model.pooling=pooler"],
            "model.pooling = 'pooler': the architecture 'distilbert' has no pooler; choose mean, first or last",
        ),
        (
            "bert",
            ["task=dialogsum", "model.pooling=mean"],
            "model: the task generates text, and the architecture 'bert' does not; choose a decoder, such as model=",
        ),
        (
            "gpt2",
            ["task=dialogsum", "task.max_target_length=8"],
            "task.max_source_length = 512, task.max_target_length = 8, task.search.max_new_tokens = 100: rows of up to "
            "612 tokens: tiny has 64 positions; choose 64 or less",
        ),
        (
            "bert",
            ["method=prompt", "method.prompt.length=64"],
            "method.prompt.length = 64: leaves no room for text; tiny has 64 positions",
        ),
        (
            "deberta",
            ["method=bitfit", "method.bitfit.components=[key]"],
            "method.bitfit.components = ['key']: the blocks of this model have no such biases; there are those of ",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_refused_by_name_every_time(
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    architecture: str,
    overrides: list[str],
    message: str,
) -> None:
    dropped = "task.max_length" if "task=dialogsum" in overrides else "-"
    source = runs.save_model(architecture, tmp_path / architecture)
    command = [word for word in runs.overrides(source, data_root, tmp_path / "runs") if not word.startswith(dropped)]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["lnbench", *command, *overrides])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        with pytest.raises(SystemExit) as caught:
            main()
        stderr = capsys.readouterr().err
        assert caught.value.code == REFUSED
        assert stderr.startswith(message)
        assert "Traceback" not in stderr


def test_every_shipped_decoder_is_named_to_who_needs_one(configure: Configure) -> None:
    shipped = [validate(to_plain(compose_config(f"model={file.stem}"))).model for file in MODELS.glob("*.yaml")]
    with pytest.raises(ConfigError) as caught:
        require_kind(load_config(configure().model), "causal_lm")
    named = {word.rstrip(",") for word in str(caught.value).replace("model=", "").split()}
    decoders = {model.name for model in shipped if model.shape and model.shape["model_type"] in LANGUAGE_MODELS}
    assert decoders
    assert decoders <= named


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_blocks_that_need_an_encoder_which_is_not_there_are_refused(architecture: str) -> None:
    config = copy.deepcopy(tiny.CONFIGS[architecture])
    require_kind(config, "headless")
    config.add_cross_attention = True
    with pytest.raises(ConfigError, match=r"add_cross_attention = true in its configuration: .* set it to false"):
        require_kind(config, "headless")


def test_architectures_with_a_pooler_are_known() -> None:
    for architecture in tiny.EVERY_ARCHITECTURE:
        model = tiny.tiny(architecture)
        if getattr(model, "pooler", None) is None:
            with pytest.raises(ConfigError, match="has no pooler"):
                require_pooling(model.config, "pooler")
        else:
            require_pooling(model.config, "pooler")
        require_pooling(model.config, "mean")
