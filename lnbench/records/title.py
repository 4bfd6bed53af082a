"""What a run is called for a person."""


def title(method: str, task: str, model: str, seed: int | None) -> str:
    """A run in one line; the seed is None where a damaged file does not tell."""
    return f"{method} on {task} with {model}, seed {'?' if seed is None else seed}"
