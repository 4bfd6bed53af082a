import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lnbench
from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.records.adapter import AdapterError, load_adapter, save_adapter
from lnbench.records.files import ADAPTER, CONFIG, PREDICTIONS
from lnbench.records.identity import run_dir
from lnbench.run.lifecycle import run
from lnbench.training.assemble import build_model
from tests import runs, tiny
from tests.conftest import Configure

SHORT = ("trainer.max_steps=6", "trainer.validate_every=3")


def train(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> TunedModel:
    """Does a run, and returns the model that it tested."""
    models: list[TunedModel] = []

    def build(*arguments: Any) -> TunedModel:
        models.append(build_model(*arguments))
        return models[-1]

    with monkeypatch.context() as patch:
        patch.setattr("lnbench.run.execute.build_model", build)
        run(config)
    return models[0].eval()


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("method", ["ln+prefix+mha_adapter", "full", "head", "bitfit"])
def test_a_loaded_model_is_the_trained_one_to_the_last_bit(
    configure: Configure, sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch, architecture: str, method: str
) -> None:
    pooling = {"bert": "mean", "gpt2": "last"}[architecture]
    config = configure(f"method={method}", f"model.source={sources[architecture]}", f"model.pooling={pooling}", *SHORT)
    trained = train(config, monkeypatch)
    tuned = lnbench.load(run_dir(config))
    inputs = tiny.batch((7, 4, 1))
    with torch.inference_mode():
        expected, found = trained(**inputs), tuned.model(**inputs)
    assert (expected - found).abs().max() == 0
    tensors, about = load_adapter(run_dir(config))
    assert tensors.keys() == {*trained.trained(), "head.mean", "head.scale"}
    backbone = {"backbone": str(sources[architecture]), "content": config.model.content}
    assert about == {**backbone, "method": config.method_name}


def test_it_predicts_what_the_run_predicted(configure: Configure) -> None:
    config = configure()
    run(config)
    tuned = lnbench.load(run_dir(config))
    lines = [json.loads(line) for line in (run_dir(config) / PREDICTIONS).read_text().splitlines()]
    answers = tuned.predict([line["input"]["sentence"] for line in lines], batch_size=7)
    for answer, line in zip(answers, lines, strict=True):
        assert answer["label"] == line["label"]
        assert list(answer["probabilities"].values()) == pytest.approx(list(line["probabilities"].values()), abs=1e-6)


def test_merged_it_answers_the_same_and_keeps_what_cannot_be_merged(configure: Configure) -> None:
    config = configure("method=ia3+lora+prefix", *SHORT)
    run(config)
    tuned, merged = lnbench.load(run_dir(config)), lnbench.load(run_dir(config), merged=True)
    with torch.inference_mode():
        torch.testing.assert_close(merged.model(**tiny.batch()), tuned.model(**tiny.batch()), rtol=0, atol=1e-6)
    names = [name for name, _ in merged.model.backbone.named_parameters()]
    assert any(".prefix." in name for name in names)
    assert not any("lora" in name or "ia3" in name for name in names)


def test_pairs_are_tuples_or_split_by_a_tab(configure: Configure) -> None:
    config = configure("task=mrpc", *SHORT)
    run(config)
    tuned = lnbench.load(run_dir(config))
    first, second = tuned.predict([("good film", "a bad film")]), tuned.predict(["good film\ta bad film"])
    assert first == second
    with pytest.raises(DataError, match="two texts, neither of them empty, with a tab"):
        tuned.predict(["good film"])


def test_no_texts_have_no_answers(configure: Configure) -> None:
    config = configure(*SHORT)
    run(config)
    assert lnbench.load(str(run_dir(config))).predict([]) == []


@pytest.fixture(scope="module")
def finished(sources: dict[str, Path], data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run."""
    config = runs.configure(sources["bert"], data_root, tmp_path_factory.mktemp("finished"), *SHORT)
    run(config)
    return run_dir(config)


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    for name in (CONFIG, ADAPTER):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    return tmp_path


def test_the_two_files_are_all_it_needs(folder: Path, finished: Path) -> None:
    texts = ["good film", "a bad film"]
    assert lnbench.load(folder).predict(texts) == lnbench.load(finished).predict(texts)


def test_a_file_of_a_time_when_heads_read_states_as_they_are(folder: Path) -> None:
    tensors, about = load_adapter(folder)
    assert tensors.pop("head.scale").min() > 0
    del tensors["head.mean"]
    save_adapter(tensors, about, folder)
    model, inputs = lnbench.load(folder).model, tiny.batch()
    read: Any = model.head.read
    states = read(model.backbone(**inputs), inputs["attention_mask"])
    expected = states @ tensors["head.classifier.weight"].T + tensors["head.classifier.bias"]
    torch.testing.assert_close(model(**inputs), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["head.mean", "head.scale"])
def test_half_of_how_the_head_reads_states_is_refused(folder: Path, name: str) -> None:
    tensors, about = load_adapter(folder)
    del tensors[name]
    save_adapter(tensors, about, folder)
    with pytest.raises(AdapterError, match=rf"does not fit this model and method: 1 names, first {name}"):
        lnbench.load(folder)


@pytest.mark.parametrize("name", [CONFIG, ADAPTER])
def test_a_missing_file_is_told(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(AdapterError, match=rf"^{folder}.*(is not the folder of a run|is not there)"):
        lnbench.load(folder)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="is not the folder of a run"):
        lnbench.load(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"seed": 1}'])
def test_a_damaged_configuration_is_told(folder: Path, content: bytes) -> None:
    (folder / CONFIG).write_bytes(content)
    with pytest.raises(AdapterError, match=rf"^{folder / CONFIG}: is damaged, or was written by another version"):
        lnbench.load(folder)


@pytest.mark.parametrize("damage", ["truncated", "garbage"])
def test_a_damaged_adapter_is_told(folder: Path, damage: str) -> None:
    content = (folder / ADAPTER).read_bytes()
    (folder / ADAPTER).write_bytes(content[:-9] if damage == "truncated" else os.urandom(len(content)))
    with pytest.raises(AdapterError, match=rf"^{folder / ADAPTER}: is damaged"):
        lnbench.load(folder)


@pytest.mark.parametrize(("field", "value"), [("terms", ["gain"]), ("layers", "1")])
def test_an_adapter_of_another_method_is_refused(folder: Path, field: str, value: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    config["method"]["ln"][field] = value
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(AdapterError, match=rf"^{folder / ADAPTER}: the file does not fit this model and method"):
        lnbench.load(folder)


def test_an_adapter_of_another_size_is_refused(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    config["task"]["labels"].append("neutral")
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(AdapterError, match=rf"^{folder / ADAPTER}: size mismatch for head.classifier.bias"):
        lnbench.load(folder)


def test_an_adapter_of_another_backbone_is_refused(folder: Path, sources: dict[str, Path], tmp_path: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    other = runs.save_model("bert", tmp_path / "other")
    config["model"]["source"] = str(other)
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(AdapterError, match=rf"^{folder / ADAPTER}: belongs to .*{sources['bert']}"):
        lnbench.load(folder)


def test_a_backbone_that_is_gone_is_a_config_error(data_root: Path, tmp_path: Path) -> None:
    source = runs.save_model("bert", tmp_path / "model")
    config = runs.configure(source, data_root, tmp_path / "runs", *SHORT)
    run(config)
    source.rename(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"^model.source = "):
        lnbench.load(run_dir(config))


def test_answers_do_not_depend_on_the_company(finished: Path) -> None:
    tuned = lnbench.load(finished)
    texts = ["good film", "a b c d e a b c bad", "film"]
    together = [list(answer["probabilities"].values()) for answer in tuned.predict(texts)]
    alone = [list(tuned.predict([text])[0]["probabilities"].values()) for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-6)
