"""A run is named by what its data and model hold, not by what they are called or where they lie."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from lnbench.config.run import validate_saved
from lnbench.core.schema import ConfigError
from lnbench.exchange.tuned import load
from lnbench.records.identity import run_dir, run_id
from lnbench.records.record import read_record
from lnbench.run.lifecycle import run
from tests.conftest import Configure

SHORT = ["trainer.max_steps=2", "trainer.validate_every=null"]


@pytest.fixture
def own_data(data_root: Path, tmp_path: Path) -> Path:
    """A folder of data sets that may be changed."""
    return Path(shutil.copytree(data_root, tmp_path / "data"))


@pytest.fixture
def own_model(sources: dict[str, Path], tmp_path: Path) -> Path:
    """A pretrained model that may be changed."""
    return Path(shutil.copytree(sources["bert"], tmp_path / "model"))


def flip_labels(file: Path) -> None:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**row, "label": 1 - row["label"]}) + "\n" for row in rows))


def change_weights(model: Path) -> None:
    file = model / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file, {"format": "pt"})


def test_changed_labels_are_another_run(configure: Configure, own_data: Path) -> None:
    first = configure(f"data_root={own_data}", *SHORT)
    before = run(first)
    flip_labels(own_data / "sst2" / "train.jsonl")
    second = configure(f"data_root={own_data}", *SHORT)
    assert run_id(second) != run_id(first)
    after = run(second)
    assert after.data.fingerprint != before.data.fingerprint
    assert after.config["task"]["content"] != before.config["task"]["content"]


def test_changed_weights_are_another_run(configure: Configure, own_model: Path) -> None:
    first = configure(f"model.source={own_model}")
    change_weights(own_model)
    assert run_id(configure(f"model.source={own_model}")) != run_id(first)


def test_a_copy_elsewhere_is_the_same_run(
    configure: Configure, data_root: Path, own_data: Path, sources: dict[str, Path], own_model: Path
) -> None:
    moved = configure(f"data_root={own_data}", f"model.source={own_model}")
    assert run_id(moved) == run_id(configure())


def test_a_tuned_model_is_not_put_on_other_weights(configure: Configure, own_model: Path) -> None:
    config = configure(f"model.source={own_model}", *SHORT)
    run(config)
    load(run_dir(config))
    change_weights(own_model)
    with pytest.raises(ConfigError, match=r"^model.source = '.*': holds other files than when this run was configured"):
        load(run_dir(config))


def test_data_that_changes_under_a_configured_run_is_refused(configure: Configure, own_data: Path) -> None:
    config = configure(f"data_root={own_data}", *SHORT)
    flip_labels(own_data / "sst2" / "validation.jsonl")
    with pytest.raises(ValueError, match=r"validation\.jsonl: is not the file any more with which this run was config"):
        run(config)


def test_a_saved_configuration_reads_neither_data_nor_model(
    configure: Configure, own_data: Path, own_model: Path
) -> None:
    config = configure(f"data_root={own_data}", f"model.source={own_model}")
    shutil.rmtree(own_data)
    shutil.rmtree(own_model)
    assert validate_saved(config.to_dict()) == config


def test_the_record_keeps_protocol_and_contents(configure: Configure) -> None:
    config = configure(*SHORT)
    run(config)
    record = read_record(run_dir(config))
    assert record
    assert record.protocol == 2
    assert record.config["model"]["content"] == config.model.content
    assert sorted(record.config["task"]["content"]) == ["test", "train"]


def test_a_record_from_before_protocols_is_of_the_first(configure: Configure) -> None:
    config = configure(*SHORT)
    record = run(config)
    older = json.loads(record.model_dump_json())
    del older["protocol"]
    assert type(record).model_validate(older).protocol == 1


def test_the_configured_run_of_the_tests_has_a_known_content(configure: Configure) -> None:
    """Were it unknown, the tests above would prove nothing."""
    config = configure()
    assert config.model.content
    assert config.task.content
    assert "source" not in config.identity()["model"]
