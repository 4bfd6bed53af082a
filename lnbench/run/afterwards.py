"""Steps after a run's record is written. Their failure does not lose the run."""

import contextlib
import logging
from collections.abc import Iterator

log = logging.getLogger(__name__)


@contextlib.contextmanager
def spared(what: str, way: str = "") -> Iterator[None]:
    """Turns any error in the block into a warning.

    Args:
        what: name of the result that the block makes, such as the path of a file.
        way: how the user can still get the result, for the warning.
    """
    try:
        yield
    except Exception as error:
        hint = f"; {way}" if way else ""
        log.warning("%s: %s: %s; the run is finished all the same%s", what, type(error).__name__, error, hint)
