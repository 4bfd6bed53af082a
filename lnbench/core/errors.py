"""Errors, and the exit codes of commands that end without a result."""

from lnbench.core.escape import printable

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
"""Exit codes of a run that broke, a configuration that cannot be run, and a run that the user or system stopped."""


class JobFailed(RuntimeError):
    """A job of a sweep gave no result, for a reason that was already reported."""

    def __init__(self, message: str, exit_code: int, cause: str) -> None:
        """
        Args:
            message: message for the person who started the sweep.
            exit_code: exit code of the whole command, if this is its first failure.
            cause: the kind of failure, in a word or two.
        """
        super().__init__(message, exit_code, cause)
        self.message, self.exit_code, self.cause = message, exit_code, cause

    def __str__(self) -> str:
        return self.message


class DataError(ValueError):
    """A data set cannot be found or used. The message names the place and what is allowed."""


class Diverged(ArithmeticError):
    """The loss or a trained value is no longer a number."""


class ProcessKilled(RuntimeError):
    """A process died without an error message."""


class CheckpointError(RuntimeError):
    """A checkpoint file that is damaged, was not written by lnbench, or could not be read again once written."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the GPU or in the process. PyTorch has no error class for the latter."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def plainly(error: Exception) -> str:
    """An error for a person, without characters that a terminal acts on, as files of any origin may be quoted in it.

    An error of the operating system becomes its file and its reason.
    """
    if isinstance(error, OSError) and error.strerror and error.filename:
        return printable(f"{error.filename}: {error.strerror}")
    return printable(str(error))
