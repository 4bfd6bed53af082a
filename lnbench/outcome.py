"""How a command, or a job of a sweep, ends when it gives no result."""

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
"""Exit codes: a run broke, a configuration cannot be run, the user or the system stopped a run."""


class JobFailed(RuntimeError):
    """A job of a sweep did not give a result, for a reason that was told already."""

    def __init__(self, message: str, exit_code: int, cause: str) -> None:
        """
        Args:
            message: for the person who started the sweep.
            exit_code: of the whole command, if this is its first failure.
            cause: the kind of failure, in a word or two.
        """
        super().__init__(message, exit_code, cause)
        self.message, self.exit_code, self.cause = message, exit_code, cause

    def __str__(self) -> str:
        return self.message
