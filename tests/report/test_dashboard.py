"""The report at W&B, up to what its server would be sent."""

import os
import subprocess
import sys
import warnings
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from functools import cache, reduce
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import wandb
from markdown_it import MarkdownIt
from rich.console import Console

from lnbench.records.record import Record
from lnbench.report.__main__ import main
from lnbench.report.claims.claims import read_claims
from lnbench.report.dashboard.publish import publish
from lnbench.report.dashboard.target import Target, target
from lnbench.report.load import Loaded, load_runs
from lnbench.training.loggers.log import summary_values
from lnbench.training.loggers.wandb_log import STEP
from tests.report.builders import finished, loaded, save
from tests.report.fake_wandb import FakeServer
from tests.report.whole import HOSTILE, hostile
from tests.training.loggers.offline_wandb import isolate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # wandb_workspaces declares validators as pydantic 1 did
    pytest.importorskip("wandb_workspaces.workspaces")

Report = Callable[..., tuple[object, str, str]]
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
SHOWN = {"text", "softbreak", "strong_open", "strong_close", "em_open", "em_close"}


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    """Runs the command in this process; returns its exit code or message, and what it printed to both streams."""

    def call(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return end.code, *capsys.readouterr()
        return None, *capsys.readouterr()

    return call


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    save(*records(), runs_dir=tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    return FakeServer(monkeypatch)


def published(runs: Loaded, entity: str | None = None, project: str = "p") -> str:
    """Makes a report of runs, and returns what was printed."""
    console = Console(file=StringIO(), width=120)
    publish(Target(project, entity), runs, read_claims(), console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@cache
def records() -> tuple[Record, ...]:
    """LN-tuning, whole and two of its ablations, and BitFit, on two tasks; three seeds."""
    variants: list[tuple[str, dict[str, Any]]] = [
        ("ln", {}),
        ("ln", {"ln.terms": ["gain"]}),
        ("ln", {"ln.layers": "1-3"}),
        ("bitfit", {}),
    ]
    return tuple(
        finished(method, task, seed, 0.7 + 0.01 * place + 0.003 * seed, settings)
        for place, (method, settings) in enumerate(variants)
        for task in ("rte", "stsb")
        for seed in range(3)
    )


def texts(spec: dict[str, Any]) -> list[str]:
    """The contents of all Markdown in a report."""
    return [block["content"] for block in blocks(spec) if block["type"] == "markdown-block"]


def blocks(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All blocks of a report, folded ones after their heading."""
    for block in node.get("blocks") or node.get("collapsedChildren") or []:
        yield block
        yield from blocks(block)


def grids(spec: dict[str, Any]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The set of runs and the panels of each grid."""
    found = [block["metadata"] for block in spec["blocks"] if block["type"] == "panel-grid"]
    return [(one["runSets"][0], one["panelBankSectionConfig"]["panels"]) for one in found]


def keys_of(panel: dict[str, Any]) -> set[str]:
    """Of everything that a panel shows."""
    config = panel["config"]
    return {
        key.removeprefix("summary:")
        for key in [*config.get("metrics", []), config.get("xAxis"), config.get("yAxis")]
        if key
    }


def ids_of(runset: dict[str, Any]) -> set[str]:
    (only,) = runset["filters"]["filters"]
    assert (only["key"], only["op"]) == ({"section": "run", "name": "name"}, "IN")
    return set(only["value"])


def group_of(record: Record, keys: list[dict[str, str]]) -> str:
    """By what W&B, which keeps each setting of the first level under `value`, groups a run."""
    sections: dict[str, dict[str, Any]] = {
        "run": {"group": f"{record.method}/{record.task}"},
        "config": {name: {"value": value} for name, value in record.config.items()},
    }
    paths = [(sections[key["section"]], key["name"].split(".")) for key in keys]
    return str([reduce(lambda node, name: node.get(name, {}), path, section) for section, path in paths])


def test_a_report_has_the_claims_and_all_tables(server: FakeServer) -> None:
    said = published(loaded(*records()))
    (spec,) = server.specs("runs")
    headings = ["".join(part["text"] for part in b["children"]) for b in spec["blocks"] if b["type"] == "heading"]
    assert headings[:3] == ["Claims", "Comparisons", "Scores"]
    claims, comparisons, *tables = map(MARKDOWN.render, texts(spec))
    assert "<td>LN-tuning beats BitFit with half of its parameters.</td>" in claims.replace(
        ' style="text-align:left"', ""
    )
    assert "ln better than bitfit" in comparisons
    for title in ("Test scores: minilm", "Ablations of LN-tuning: minilm", "Costs: minilm", "Parameters: minilm"):
        assert sum(f"<h2>{title}" in table for table in tables) == 1, title
    assert "W&B       https://wandb.example/me/p/reports/lnbench--id1\n" in said


def test_every_panel_shows_what_runs_log(server: FakeServer) -> None:
    published(loaded(*records()))
    logged = {STEP, "train/loss"}.union(*map(summary_values, records()))
    logged |= {f"validation/{record.selection.metric}" for record in records()}
    (spec,), views = server.specs("runs"), server.specs("project-view")
    sections = [section for view in views for section in view["section"]["panelBankConfig"]["sections"]]
    shown = [panels for _, panels in grids(spec)] + [section["panels"] for section in sections]
    assert len(shown) == 4 + 3
    for panels in shown:
        assert panels
        assert set().union(*map(keys_of, panels)) <= logged


def test_each_task_has_its_own_plots_of_its_own_runs(server: FakeServer) -> None:
    published(loaded(*records()))
    rte, stsb, costs, everything = grids(server.specs("runs")[0])
    by_task = {task: {record.id for record in records() if record.task == task} for task in ("rte", "stsb")}
    assert (ids_of(rte[0]), ids_of(stsb[0])) == (by_task["rte"], by_task["stsb"])
    assert ids_of(costs[0]) == by_task["rte"] | by_task["stsb"]
    assert everything[0]["filters"]["filters"] == []
    assert {"test/accuracy", "validation/accuracy"} <= set().union(*map(keys_of, rte[1]))
    assert {"test/pearson", "validation/pearson"} <= set().union(*map(keys_of, stsb[1]))
    assert all(runset["project"]["entityName"] == "me" for runset, _ in (rte, stsb, costs, everything))


def test_repetitions_are_one_group_and_variants_are_not(server: FakeServer) -> None:
    published(loaded(*records()))
    view = server.specs("project-view")[0]["section"]["runSets"][0]
    rte = [record for record in records() if record.task == "rte"]
    for runset in (grids(server.specs("runs")[0])[0][0], view):
        groups = [group_of(record, runset["grouping"]) for record in rte]
        assert len(set(groups)) == 4
        assert all(groups.count(group) == 3 for group in groups)
    names = [key["name"] for key in view["grouping"]]
    assert names == ["task.value.name", "group", "method.value.ln.layers", "method.value.ln.terms"]


def test_costs_on_different_hardware_are_never_averaged(server: FakeServer) -> None:
    other = finished("ln", "rte", 3, hardware={"device": "gpu", "gpu": "H100", "devices": 1})
    published(loaded(*records(), other))
    _, _, *costs, _ = grids(server.specs("runs")[0])
    assert sorted(len(ids_of(runset)) for runset, _ in costs) == [1, len(records())]
    (view,) = server.specs("project-view")
    assert [one["name"] for one in view["section"]["panelBankConfig"]["sections"]] == ["Scores", "Curves"]


def test_models_and_settings_have_views_of_their_own(server: FakeServer) -> None:
    longer = [finished("ln", "rte", seed, config={"trainer.max_epochs": 77}) for seed in range(2)]
    published(loaded(*records(), *longer))
    views = [view for view in server.views if view["type"] == "project-view"]
    assert [view["displayName"] for view in views] == ["lnbench minilm-1", "lnbench minilm-2"]
    chosen = [ids_of(spec["section"]["runSets"][0]) for spec in server.specs("project-view")]
    assert {record.id for record in longer} in chosen
    assert chosen[0].isdisjoint(chosen[1])


def test_names_of_any_origin_are_shown_as_they_are(server: FakeServer, tmp_path: Path) -> None:
    hostile(tmp_path)
    published(load_runs(tmp_path))
    tokens = [token for text in texts(server.specs("runs")[0]) for token in MARKDOWN.parse(text)]
    inline = [child for token in tokens for child in token.children or []]
    assert "html_block" not in {token.type for token in tokens}
    assert {token.type for token in inline} <= SHOWN
    assert HOSTILE in "".join(token.content for token in inline)


def log(folder: Path, kind: str, synced: bool = False) -> None:
    """Leaves in a run's folder what W&B leaves there."""
    file = folder / "wandb" / f"{kind}run-20260101_000000-{folder.name}" / f"run-{folder.name}.wandb"
    file.parent.mkdir(parents=True)
    file.touch()
    if synced:
        file.with_suffix(".wandb.synced").touch()


def test_runs_that_are_not_at_wandb_are_told_with_the_command(server: FakeServer, tmp_path: Path) -> None:
    waiting, sent, online, unlogged = runs = [finished("ln", seed=seed) for seed in range(4)]
    found = loaded(*runs, runs_dir=tmp_path / "my runs")
    log(found.folders[waiting.id], "offline-")
    log(found.folders[sent.id], "offline-", synced=True)
    log(found.folders[online.id], "")
    said = published(found, "me")
    assert "1 run is not at W&B yet" in said
    assert f"wandb sync --entity me --project p \\\n    '{found.folders[waiting.id] / 'wandb'}'\n" in said
    assert "1 run is without W&B data here" in said
    assert not any(str(found.folders[record.id]) in said for record in (sent, online, unlogged))


def test_without_a_key_nothing_is_begun(
    report: Report, runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(monkeypatch, tmp_path)
    code, said, error = report(runs_dir, "--wandb", "p")
    assert (code, said) == (2, "")
    assert "there is no W&B API key; run `wandb login`, or set WANDB_API_KEY" in error
    assert not (runs_dir / "report").exists()


def test_a_key_that_cannot_be_one_is_told(
    report: Report, runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", "short")
    code, _, error = report(runs_dir, "--wandb", "p")
    assert code == 2
    assert "WANDB_API_KEY invalid" in error


def test_wandb_that_is_offline_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(monkeypatch, tmp_path)
    command = [sys.executable, "-m", "lnbench.report", str(tmp_path), "--wandb", "p"]
    done = subprocess.run(command, env={**os.environ, "WANDB_MODE": "offline"}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--wandb: W&B is offline here; unset WANDB_MODE, or run `wandb online`" in done.stderr


def test_a_missing_package_is_told(report: Report, runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lnbench.report.dashboard.target.find_spec", lambda _: None)
    code, _, error = report(runs_dir, "--wandb", "p")
    assert code == 2
    assert "pip install 'lnbench[wandb]'" in error


def test_the_command_makes_the_report_of_filtered_runs(report: Report, server: FakeServer, runs_dir: Path) -> None:
    code, said, _ = report(runs_dir, "--wandb", "me/p", "--filter", "method=bitfit", "task=rte")
    assert code is None
    assert said.index(f"written to {runs_dir / 'report'}") < said.index("W&B       https://wandb.example/me/p")
    scores, costs, _ = grids(server.specs("runs")[0])
    wanted = {record.id for record in records() if (record.task, record.method) == ("rte", "bitfit")}
    assert ids_of(scores[0]) == ids_of(costs[0]) == wanted


def test_what_wandb_refuses_is_one_line_after_the_local_report(
    report: Report, server: FakeServer, runs_dir: Path
) -> None:
    server.refusal = wandb.errors.CommError("permission\n  denied")
    code, said, _ = report(runs_dir, "--wandb", "p")
    assert code == "W&B: CommError: permission denied"
    assert f"written to {runs_dir / 'report'}" in said
    assert (runs_dir / "report" / "index.html").is_file()


def test_a_project_that_does_not_exist_is_told(server: FakeServer) -> None:
    with pytest.raises(ConnectionError, match=r"^W&B: [^\n]*project 'me/elsewhere' not found[^\n]*$"):
        published(loaded(*records()), "me", "elsewhere")
    assert not server.views


def test_a_key_without_an_entity_is_told(server: FakeServer) -> None:
    server.entity = None
    with pytest.raises(ConnectionError, match="give --wandb ENTITY/PROJECT"):
        published(loaded(*records()))


def test_projects_are_named_with_or_without_an_entity() -> None:
    assert target("my project") == Target("my project")
    assert target("team/p") == Target("p", "team")


@pytest.mark.parametrize("wrong", ["", "a/b/c", "/p", "team/", "a:b", "https://wandb.ai/team/p", "a?b"])
def test_other_names_of_projects_are_refused(wrong: str) -> None:
    with pytest.raises(ArgumentTypeError, match="must be PROJECT or ENTITY/PROJECT"):
        target(wrong)
