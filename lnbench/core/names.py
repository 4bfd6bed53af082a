"""Names that people give, as parts of paths."""

import re

from lnbench.core.schema import ConfigError

MOST_CHARACTERS = 100
MOST_BYTES = 200
"""Of a part of a path; file systems take 255, and some of it is left to endings."""
UNSAFE = re.compile(r"[^\w.+=,-]+")
"""What the name of a file should not have on every system."""
OWNED = "--"
"""Stands for the `/` of `OWNER/NAME`, as in the hub's cache."""


def plain_name(name: str) -> str:
    """Any text as one part of a path, which is not hidden and leads nowhere else; `org/tiny` becomes `org--tiny`.

    Two names may become one: whatever must tell them apart keeps the names as they were given.
    """
    safe = UNSAFE.sub("_", name.replace("/", OWNED))[:MOST_CHARACTERS].encode()[:MOST_BYTES].decode(errors="ignore")
    visible = safe.strip(".")
    return visible if visible == safe and visible else f"_{visible}"


def require_name(field: str, name: str) -> None:
    """Refuses what is no name, before anything is called so.

    Args:
        field: of the configuration, for the message.
        name: such as `films`, or `org/tiny`.

    Raises:
        ConfigError: the name is empty, too long, begins or ends with a space or a full stop, looks like a path that
            leads elsewhere, or has a character that cannot be shown.
    """
    if not is_name(name):
        raise ConfigError(
            f"{field} = {name!r}: must be a name, such as 'tiny' or 'org/tiny': at most {MOST_CHARACTERS} characters "
            f"that can be shown, without a backslash, no part of it empty or with a space or full stop at an end"
        )


def is_name(name: str) -> bool:
    """Whether something can be called so."""
    fits = len(name) <= MOST_CHARACTERS and name.isprintable() and "\\" not in name
    return fits and all(part and part == part.strip(" .") for part in name.split("/"))
