"""The package as others get it: what the distributions contain, and an installed copy run outside the checkout."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFIGS = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
PACKAGES = [path for folder in ("lnbench", "hydra_plugins") for path in (ROOT / folder).rglob("*")]
MODULES = {path.relative_to(ROOT).as_posix() for path in PACKAGES if path.is_file() and path.suffix != ".pyc"}
"""Templates, styles and data of the package included."""
TESTS = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
PROJECT_FILES = {"LICENSE", "Makefile", "README.md", "constraints.txt", "environment.yml", "pyproject.toml"}


def run(*command: str | Path, folder: Path) -> str:
    """Standard output of a command that runs in `folder`, and sees no Python path but its own."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an sdist of this checkout, and the wheel that was built from that sdist."""
    folder = tmp_path_factory.mktemp("distributions")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    """The built wheel."""
    (path,) = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of commands of a new environment that has the wheel, and borrows this one's other packages."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    run(*pip, "install", "--no-deps", "--no-index", wheel, folder=environment)
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=environment)
    (Path(packages.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


def test_wheel_contains_modules_and_every_config(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "conf/config.yaml" in CONFIGS
    assert names >= MODULES | {f"lnbench/{config}" for config in CONFIGS}


def test_wheel_contains_the_package_its_launchers_and_nothing_else(wheel: Path) -> None:
    folders = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"hydra_plugins", "lnbench"}


def test_sdist_contains_all_that_a_checkout_has(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= MODULES | CONFIGS | TESTS | PROJECT_FILES


def test_installed_package_is_not_the_checkout(scripts: Path, tmp_path: Path) -> None:
    imported = run(scripts / "python", "-c", "import lnbench; print(lnbench.__file__)", folder=tmp_path)
    assert Path(imported).is_relative_to(scripts.parent)


def test_installed_command_lists_the_choices(scripts: Path, tmp_path: Path) -> None:
    text = run(scripts / "lnbench", "--help", folder=tmp_path)
    assert "mha_adapter" in text
    assert not list(tmp_path.iterdir())


def test_installed_module_composes_a_sum(scripts: Path, tmp_path: Path) -> None:
    text = run(scripts / "python", "-m", "lnbench", "method=ln+prefix", "--cfg", "job", folder=tmp_path)
    assert "kind: ln\n" in text
    assert "kind: prefix\n" in text
    assert not list(tmp_path.iterdir())
