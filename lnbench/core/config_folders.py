"""The folders with the configurations that a run chooses from: the shipped one, and one of the user's own."""

from pathlib import Path

_own: dict[Path, None] = {}


def config_dir() -> Path:
    """The folder of the shipped configurations: in the package when installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def use_config_dir(folder: Path) -> None:
    """Makes the choices of a folder laid out like `conf/` known to this process, beside the shipped ones."""
    _own.setdefault(folder)


def own_config_dirs() -> list[Path]:
    """The folders given to `use_config_dir`."""
    return [*_own]


def config_dirs() -> list[Path]:
    """All known folders of configurations."""
    return [config_dir(), *_own]


def file_of(group: str, name: str) -> Path | None:
    """The file of a choice in a configuration group. None if no known folder has it."""
    files = [folder / group / f"{name}.yaml" for folder in config_dirs()]
    return next((file for file in files if file.is_file()), None)
