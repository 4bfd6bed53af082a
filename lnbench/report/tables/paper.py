"""Figures from papers, which are shown beside the measured values."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from omegaconf import OmegaConf
from pydantic import Field, field_validator, model_validator

from lnbench.core.schema import Schema, parse
from lnbench.methods.base import SEPARATOR, canonical_name

SHIPPED = Path(__file__).parent / "figures"


class Figure(Schema):
    """One number from a paper."""

    model: str
    method: str
    quantity: Literal["trained_percent", "score"]
    task: str | None = None
    """Task of a score; None for other quantities."""
    value: str
    """The number as printed in the paper."""
    source: str
    """Place in the paper."""

    @field_validator("method")
    @classmethod
    def _canonical(cls, method: str) -> str:
        return canonical_name(method.split(SEPARATOR))

    @model_validator(mode="after")
    def _task_of_a_score(self) -> Self:
        if (self.task is None) == (self.quantity == "score"):
            raise ValueError("a score needs a task, and nothing else has one")
        return self


class Paper(Schema):
    """A paper and its figures."""

    paper: str
    figures: Annotated[list[Figure], Field(min_length=1)]


class Figures:
    """Looks up figures in all known papers."""

    def __init__(self, papers: list[Paper] | None = None) -> None:
        self.papers = read_papers() if papers is None else papers

    def find(self, model: str, method: str, quantity: str, task: str | None = None) -> str:
        """The figure as printed in a paper; empty if no paper states it."""
        wanted = (model, method, quantity, task)
        return next((one.value for one in self._all() if (one.model, one.method, one.quantity, one.task) == wanted), "")

    def sources(self, model: str, quantity: str) -> str:
        """The papers, with places in them, that state figures of a quantity for a model."""
        lines = {
            f"{paper.paper} ({one.source})": None
            for paper in self.papers
            for one in paper.figures
            if (one.model, one.quantity) == (model, quantity)
        }
        return "; ".join(lines)

    def _all(self) -> list[Figure]:
        return [figure for paper in self.papers for figure in paper.figures]


def read_papers() -> list[Paper]:
    """Reads all papers in `data/paper/`.

    Raises:
        ConfigError: one of the files is wrong.
    """
    files = sorted(SHIPPED.glob("*.yaml"))
    contents: dict[str, Any] = {file.name: OmegaConf.to_container(OmegaConf.load(file)) for file in files}
    return [parse(Paper, content, name) for name, content in contents.items()]
