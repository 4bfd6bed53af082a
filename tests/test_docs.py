"""The documents do what they say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lnbench.backbone.backbone import role_table, views
from lnbench.backbone.tables import TABLES
from lnbench.core.config_folders import config_dir
from lnbench.records.files import CARD, RECORD
from tests import runs
from tests.commands import Commands
from tests.tiny import CONFIGS, HIDDEN, LAYERS, is_possible, tiny, tune

DOCS = Path(__file__).parent.parent / "docs"
METHODS = (DOCS / "methods.md").read_text()


def blocks(language: str) -> list[str]:
    """The code blocks of one language in the section on methods of one's own."""
    section = METHODS.partition("## Add your own")[2]
    found = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [code for name, code in found if name == language]


def test_every_shipped_method_is_in_the_catalogue() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", METHODS.partition("## The catalogue")[2].partition("\n## ")[0], re.MULTILINE)
    assert sorted(rows) == sorted(file.stem for file in (config_dir() / "method").glob("*.yaml"))


def test_a_method_of_ones_own_is_added_as_written(
    sources: dict[str, Path],
    data_root: Path,
    tmp_path: Path,
    commands: Commands,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    python, (yaml,), command = blocks("python")[0], blocks("yaml"), blocks("")[0]
    (tmp_path / "my_conf" / "method").mkdir(parents=True)
    (tmp_path / "linear_adapter.py").write_text(python)
    (tmp_path / "my_conf" / "method" / "linear_adapter.yaml").write_text(yaml)
    assert command.startswith("PYTHONPATH=. python -m lnbench ")
    monkeypatch.syspath_prepend(".")  # as PYTHONPATH does
    monkeypatch.setattr("lnbench.core.registry._allowed", {})
    monkeypatch.chdir(tmp_path)
    short = [item for item in runs.overrides(sources["bert"], data_root, tmp_path / "runs") if item != "method=ln"]
    done = commands.lnbench(*command.split()[4:], *short, "trainer.max_steps=2")
    assert done.code == 0, done.err
    (record,) = (tmp_path / "runs").rglob(RECORD)
    trained = json.loads(record.read_text())["parameters"]["by_part"]
    assert trained == {"linear_adapter": LAYERS * HIDDEN * HIDDEN, "ln": LAYERS * 4 * HIDDEN}


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama", "t5"])
def test_the_example_that_trains_what_is_there(architecture: str) -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[1], names)
    model = tiny(architecture)
    trained = tune(model, {"attention_gains": names["AttentionGains"](layers="all")})["attention_gains"]
    assert trained
    assert all(name.endswith("weight") and model.get_parameter(name).ndim == 1 for name in trained)


def test_the_table_of_roles_is_true() -> None:
    """Each name in the table of what a backbone finds is one that it has."""
    table = METHODS.partition("finds the parts of a model by role")[2].partition("\n\n##")[0]
    calls = re.findall(r"`backbone(\.[^`]+)`", table)
    (backbone,) = views(tiny("bert"))
    assert len(calls) == 8
    for call in calls:
        assert eval(f"backbone{call}", {"backbone": backbone, "layer": 0}) is not None, call


def rows_of_models() -> dict[str, dict[str, str]]:
    """The cells of the table of architectures by `model_type` and heading."""
    section = (DOCS / "models.md").read_text().partition("## Architectures")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("|")]
    headings, _, *rows = [[cell.strip() for cell in line] for line in lines]
    return {kind: dict(zip(headings, row, strict=False)) for row in rows for kind in re.findall(r"`([\w-]+)`", row[0])}


def test_every_architecture_has_a_row_that_says_what_is_refused() -> None:
    rows = rows_of_models()
    assert rows.keys() == TABLES.keys()
    for name, config in CONFIGS.items():
        row = rows[config.model_type]
        assert row["prefix"] == ("yes" if is_possible(name, "prefix") else "refused")
        assert row["biases"].startswith("refused") == (not is_possible(name, "bitfit"))
        assert ("no parameters" in row["norms"]) == (not is_possible(name, "ln"))
        assert ("1 + weight" in row["norms"]) == bool(TABLES[config.model_type].gain_offset)
        assert KINDS[role_table(config).placement] in row["block"]
        assert ("one norm" in row["block"]) >= (role_table(config).mha_norm == role_table(config).ffn_norm)


KINDS = {"post": "post", "pre": "", "parallel": "parallel", "branch": "branch"}
"""How the table of architectures calls what is not the most common kind."""


OWN_DATA = {
    "reviews.csv": "review,stars\n" + "".join(f"a film {place},{1 + place % 5}\n" for place in range(40)),
    "my.csv": "review,stars\n" + "".join(f"a film {place},{1 + place % 5}\n" for place in range(40)),
    "pairs.tsv": "first\tsecond\tsame\n" + "".join(f"film {place}\tfilm\t{place % 2}\n" for place in range(80)),
    "scores.jsonl": "".join(json.dumps({"answer": f"a film {n}", "score": n / 8}) + "\n" for n in range(40)),
    "train.conll": "".join(f"good B-PER\nfilm O\n{place} O\n\n" for place in range(40)),
}
"""The files that the documents name."""


def own_data_commands() -> list[str]:
    """Every command on a file of one's own, without what calls lnbench and without comments."""
    texts = [(DOCS / "tasks.md").read_text(), (DOCS.parent / "README.md").read_text()]
    return re.findall(r"^python -m lnbench (.*task\.path=[^#\n]*)", "\n".join(texts), re.MULTILINE)


def test_every_own_file_of_the_documents_is_known() -> None:
    named = {name for line in own_data_commands() for name in re.findall(r"task\.path=(\S+)", line)}
    assert named == OWN_DATA.keys()


@pytest.mark.parametrize("line", own_data_commands())
def test_data_of_ones_own_are_used_as_written(
    commands: Commands, sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in OWN_DATA.items():
        (tmp_path / name).write_text(text)
    model = [f"model.source={sources['bert']}", "model.name=tiny", "method=ln", *runs.SHORT, "trainer.max_steps=2"]
    model += ["task.max_length=32"]  # the tiny model has no more positions
    done = commands.lnbench(*line.split(), *model, "cache_dir=cache")
    assert (done.code, done.err) == (0, "")
    assert len(list(tmp_path.rglob(CARD))) == len(list(tmp_path.rglob(RECORD))) == 1
