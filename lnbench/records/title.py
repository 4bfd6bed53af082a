"""The title of a run, for people."""


def title(method: str, task: str, model: str, seed: int | None) -> str:
    """Names a run in one line. The seed is None if a damaged file does not contain it."""
    return f"{method} on {task} with {model}, seed {'?' if seed is None else seed}"
