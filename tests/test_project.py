"""The files that set a checkout up agree with one another."""

import os
import re
import tomllib
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lnbench.records.identity import PROTOCOL
from tests.conftest import LONGEST, TESTS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OTHERS = [text for text in sum(EXTRAS.values(), PROJECT["dependencies"]) if not text.startswith("lnbench[")]
REQUIREMENTS = [Requirement(text) for text in OTHERS]
PIN_LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
PINS = dict(line.split("==") for line in PIN_LINES)
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_pins_are_sorted_and_unique() -> None:
    names = [line.split("==")[0] for line in PIN_LINES]
    assert names == sorted({canonicalize_name(name) for name in names})


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_pin_is_in_the_declared_range(requirement: Requirement) -> None:
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_conda_environment_has_a_supported_python_and_the_pins() -> None:
    *packages, pip = OmegaConf.load(ROOT / "environment.yml").dependencies
    (python,) = [package.partition("=")[2] for package in packages if package.startswith("python=")]
    assert python in SpecifierSet(PROJECT["requires-python"])
    assert pip == {"pip": ["--constraint constraints.txt", "--editable .[test]"]}


def test_readme_names_only_commands_that_exist() -> None:
    commands = set(re.findall(r"(?:^ *|`|\$ )make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"run", "test"} <= commands <= TARGETS


def test_readme_names_only_extras_that_exist() -> None:
    extras = re.findall(r"(?:lnbench|\.)\[([a-z,]+)\]", (ROOT / "README.md").read_text())
    assert {name for group in extras for name in group.split(",")} <= set(EXTRAS)


def test_continuous_integration_runs_what_readme_says() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()


def test_the_longest_test_files_are_there() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []


def test_every_protocol_has_its_line_in_the_changes() -> None:
    told = re.findall(r"^- \**Protocol (\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [int(number) for number in told] == list(range(PROTOCOL, 0, -1))
