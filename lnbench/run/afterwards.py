"""What comes after a run's record, and cannot cost it any more."""

import contextlib
import logging
from collections.abc import Iterator

log = logging.getLogger(__name__)


@contextlib.contextmanager
def spared(what: str, way: str = "") -> Iterator[None]:
    """Makes a warning of whatever goes wrong in the block.

    Args:
        what: is made there, such as a file by its path.
        way: how it can be had all the same, for the warning.
    """
    try:
        yield
    except Exception as error:
        hint = f"; {way}" if way else ""
        log.warning("%s: %s: %s; the run is finished all the same%s", what, type(error).__name__, error, hint)
