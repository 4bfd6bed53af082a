"""Names that people give become parts of paths that lead nowhere else, or are refused."""

import os
from pathlib import Path

import pytest

from lnbench.config.compose import compose_config, to_plain
from lnbench.config.run import validate
from lnbench.core.names import MOST_CHARACTERS, is_name, plain_name, require_name
from lnbench.core.schema import ConfigError
from lnbench.records.identity import run_dir
from lnbench.records.listing import find_runs
from lnbench.report.load import frame, load_runs
from lnbench.report.tables.tables import tables
from lnbench.runs.row import row_of
from lnbench.tasks.data.content import name_of
from tests.conftest import Configure
from tests.records.many import begin, finish
from tests.report.builders import finished

REFUSED = [
    "",
    " ",
    ".",
    "..",
    "../../evil",
    "/etc",
    "a/../b",
    "a//b",
    "a/",
    ".hidden",
    "a\\b",
    "a\nb",
    "a\0b",
    "x" * 101,
]
"""What can be called so nowhere."""


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("tiny", "tiny"),
        ("ln+prefix", "ln+prefix"),
        ("org/tiny", "org--tiny"),
        ("文本", "文本"),
        ("my films", "my_films"),
        ("a:b*c", "a_b_c"),
        ("", "_"),
        (".", "_"),
        ("..", "_"),
        ("../../evil", "_--..--evil"),
        (".locks", "_locks"),
        ("a\0\n\x1bb", "a_b"),
    ],
)
def test_any_text_becomes_one_part_of_a_path(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_a_long_text_fits_into_a_file_system(tmp_path: Path) -> None:
    (tmp_path / plain_name("ü" * 500)).mkdir()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_name_is_refused_with_its_field(name: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        require_name("model.name", name)
    assert str(refusal.value).startswith(f"model.name = {name!r}: must be a name, such as ")


@pytest.mark.parametrize("name", ["tiny", "org/tiny", "gpt-2.5_b", "my films", "文本", "x" * MOST_CHARACTERS])
def test_names_of_models_and_data_are_taken(name: str) -> None:
    require_name("model.name", name)


@pytest.mark.parametrize("name", ["../../evil", "a\\b", ".."])
@pytest.mark.parametrize("field", ["model.name", "task.name"])
def test_a_run_with_such_a_name_is_refused_before_anything_is_read(field: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field} = "):
        validate(to_plain(compose_config(f"{field}='{name}'")))


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.name = ''"):
        validate(to_plain(compose_config("model.name=''")))


@pytest.mark.parametrize("name", ["../ln", "", "a+b"])
def test_a_part_of_a_method_has_a_name_too(name: str) -> None:
    raw = to_plain(compose_config("method=ln"))
    raw["method"] = {name: raw["method"]["ln"]}
    with pytest.raises(ConfigError, match=r"^method = "):
        validate(raw)


def test_a_model_of_the_hub_is_found_in_the_list_under_its_name(configure: Configure) -> None:
    config = configure("model.name=org/tiny", "task.name=my/films")
    record = finish(config)
    assert run_dir(config).relative_to(config.runs_dir).parts[:2] == ("my--films", "org--tiny")
    (found,) = find_runs(config.runs_dir)
    assert found.record == record
    assert (record.model, record.task) == ("org/tiny", "my/films")


def test_no_name_leads_out_of_the_folder_of_runs(configure: Configure) -> None:
    config = configure()
    evil = config.model_copy(update={"task": config.task.model_copy(update={"name": "../../evil"})})
    assert os.path.normpath(run_dir(evil)).startswith(f"{config.runs_dir}{os.sep}")


@pytest.mark.parametrize("file", ["a\x1bb.csv", "....csv", " .csv", f"{'x' * 240}.csv", "a\\b.csv", "my films.csv"])
def test_any_file_gives_its_task_a_name(file: str) -> None:
    assert is_name(name_of(Path("folder") / file))


def test_tables_of_a_model_of_the_hub_lie_in_the_reports_folder(tmp_path: Path) -> None:
    record = finished().model_copy(update={"model": "org/tiny"})
    loaded = load_runs(tmp_path)
    loaded.records.append(record)
    assert {table.name for table in tables(loaded, frame([record]))} >= {"scores-org--tiny", "parameters-org--tiny"}


def test_a_run_that_is_not_finished_is_listed_under_the_name_that_was_given(configure: Configure) -> None:
    config = configure("model.name=org/tiny")
    begin(config)
    (found,) = find_runs(config.runs_dir)
    assert (row_of(found).model, found.state) == ("org/tiny", "interrupted")
