"""How training says that it broke down."""


class Diverged(ArithmeticError):
    """The loss or a trained value is no longer a number."""
