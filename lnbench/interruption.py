"""How a run says that it was stopped."""


class RunInterrupted(BaseException):
    """A run was stopped from outside; like KeyboardInterrupt it is no error."""
