"""The documents do what they say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from lnbench.compose import config_dir
from lnbench.records.files import RECORD
from tests import runs
from tests.tiny import HIDDEN, LAYERS

DOCS = Path(__file__).parent.parent / "docs"
METHODS = (DOCS / "methods.md").read_text()


def blocks(language: str) -> list[str]:
    """The code blocks of one language in the section on methods of one's own."""
    section = METHODS.partition("## Add your own")[2]
    found = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [code for name, code in found if name == language]


def test_every_shipped_method_is_in_the_catalogue() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", METHODS.partition("## The catalogue")[2].partition("## Sums")[0], re.MULTILINE)
    assert sorted(rows) == sorted(file.stem for file in (config_dir() / "method").glob("*.yaml"))


def test_a_method_of_ones_own_is_added_as_written(sources: dict[str, Path], data_root: Path, tmp_path: Path) -> None:
    (python,), (yaml,), (command,) = blocks("python"), blocks("yaml"), blocks("")
    (tmp_path / "my_conf" / "method").mkdir(parents=True)
    (tmp_path / "linear_adapter.py").write_text(python)
    (tmp_path / "my_conf" / "method" / "linear_adapter.yaml").write_text(yaml)
    assert command.startswith("PYTHONPATH=. python -m lnbench ")
    arguments = command.split()[4:]
    short = [item for item in runs.overrides(sources["bert"], data_root, tmp_path / "runs") if item != "method=ln"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([".", str(DOCS.parent)])}
    done = subprocess.run(
        [sys.executable, "-m", "lnbench", *arguments, *short, "trainer.max_steps=2"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "runs").rglob(RECORD)
    trained = json.loads(record.read_text())["parameters"]["by_part"]
    assert trained == {"linear_adapter": LAYERS * HIDDEN * HIDDEN, "ln": LAYERS * 4 * HIDDEN}
