"""Words of messages."""


def number_of(count: int, noun: str) -> str:
    """A number of things, such as `1 run` or `1,200 runs`.

    Args:
        count: how many.
        noun: name of one of them, whose plural ends in s.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
