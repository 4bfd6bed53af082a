"""Names that people choose, checked and made safe as parts of paths."""

import re

from lnbench.core.schema import ConfigError

MOST_CHARACTERS = 100
MOST_BYTES = 200
"""Longest name of a file or folder, in bytes. File systems allow 255, and endings need some of it."""
UNSAFE = re.compile(r"[^\w.+=,-]+")
"""Characters that file names should not contain, because some systems do not allow them."""
OWNED = "--"
"""Replaces the `/` of `OWNER/NAME`, as in the hub's cache."""


def plain_name(name: str) -> str:
    """Turns any text into one part of a path, which is not hidden. `org/tiny` becomes `org--tiny`.

    Two texts may give the same name. Code that must tell them apart keeps the texts.
    """
    safe = UNSAFE.sub("_", name.replace("/", OWNED))[:MOST_CHARACTERS].encode()[:MOST_BYTES].decode(errors="ignore")
    visible = safe.strip(".")
    return visible if visible == safe and visible else f"_{visible}"


def require_name(field: str, name: str) -> None:
    """Refuses a text that is not a valid name, before anything gets this name.

    Args:
        field: field of the configuration, for the message.
        name: a name such as `films`, or `org/tiny`.

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
    """Whether a text is a valid name."""
    fits = len(name) <= MOST_CHARACTERS and name.isprintable() and "\\" not in name
    return fits and all(part and part == part.strip(" .") for part in name.split("/"))
