"""An installation without the extra `run`, which reads runs and tunes none."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.report.whole import made_up, write_all

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
HEAVY = {Requirement(text).name.lower() for text in EXTRAS["run"]} | {"torchmetrics", "peft"}
ABSENT = sorted(
    module for module, owners in packages_distributions().items() if HEAVY & {owner.lower() for owner in owners}
)
"""Modules that cannot be imported there."""
RUN = """
import json, runpy, sys
from importlib.machinery import PathFinder

absent, *sys.argv = sys.argv[1:]
absent = set(json.loads(absent))

class Light(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else super().find_spec(name, path, target)

sys.meta_path = [Light if finder is PathFinder else finder for finder in sys.meta_path]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def light(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a module where nothing of the extra is installed."""
    arguments = [sys.executable, "-c", RUN, json.dumps(ABSENT), *map(str, command)]
    return subprocess.run(arguments, text=True, capture_output=True, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs."""
    folder = tmp_path_factory.mktemp("runs")
    write_all(made_up(seeds=(0, 1)), folder)
    return folder


def test_runs_are_listed_and_reported(finished: Path, tmp_path: Path) -> None:
    assert {"torch", "transformers", "pytorch_lightning", "datasets", "wandb"} <= set(ABSENT)
    listed = light("lnbench.runs", finished)
    assert "finished" in listed.stdout, listed.stderr
    reported = light("lnbench.report", finished, "--out", tmp_path)
    assert reported.returncode == 0, reported.stderr
    assert (tmp_path / "index.html").is_file()


def test_a_report_has_the_noise_of_the_test_rows(tmp_path: Path) -> None:
    reported = light("lnbench.report", ROOT / "results", "--out", tmp_path)
    assert reported.returncode == 0, reported.stderr
    assert re.search(r"points, rows \d+%", (tmp_path / "claims.md").read_text())


@pytest.mark.parametrize(
    "command",
    [
        ["lnbench", "method=ln"],
        ["lnbench.params", "method=ln"],
        ["lnbench.predict", "FOLDER", "a text"],
        ["lnbench.decide", "ln better than bitfit", "--tasks", "sst2"],
        ["lnbench.submit", "FOLDER", "--out", "FILE"],
    ],
)
def test_what_needs_a_model_says_what_to_install(command: list[str]) -> None:
    refused = light(*command)
    assert refused.returncode != 0
    assert "needs torch, transformers, pytorch_lightning, datasets; type pip install 'lnbench[run]'" in refused.stderr
    assert "Traceback" not in refused.stderr
