"""The documentation's site."""

import os
import sys
from pathlib import Path

import pytest

from tests.forking import Program

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """A link that leads nowhere, a name that is not there and a heading out of order are warnings."""
    options = ["--quiet", "--fail-on-warning", "-c", str(ROOT / "docs")]
    command = [sys.executable, "-m", "sphinx", *options, str(ROOT), str(tmp_path)]
    told = tmp_path / "told"
    code = Program(command, os.environ, cwd=tmp_path, stderr=told).wait()
    assert (code, told.read_text()) == (0, "")
    assert "several finished runs" in (tmp_path / "docs" / "api.html").read_text()
    assert "docs/index.html" in (tmp_path / "index.html").read_text()
    assert 'href="report/index.html"' in (tmp_path / "docs" / "index.html").read_text()
    assert "LN-tuning beats BitFit" in (tmp_path / "docs" / "report" / "index.html").read_text()
