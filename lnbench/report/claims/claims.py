"""Claims as data: the comparisons of runs that a sentence of a paper implies."""

from collections.abc import Mapping
from math import log1p
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BeforeValidator, Field, field_validator, model_validator
from yaml import YAMLError

from lnbench.core.schema import ConfigError, Schema, parse
from lnbench.methods.base import SEPARATOR, canonical_name
from lnbench.records.variant import configured, variant_of
from lnbench.tasks.scores.metric import Metric

Quantity = Literal[
    "score",
    "trained",
    "train_seconds",
    "total_seconds",
    "train_samples_per_second",
    "test_samples_per_second",
    "peak_memory_bytes",
    "forgetting",
]
NAMES: dict[Quantity, str] = {
    "score": "test score",
    "trained": "trained parameters",
    "train_seconds": "training time",
    "total_seconds": "total time",
    "train_samples_per_second": "training speed",
    "test_samples_per_second": "inference speed",
    "peak_memory_bytes": "peak memory",
    "forgetting": "forgetting",
}
"""Names of the quantities, for people."""
LESS_IS_BETTER = frozenset({"trained", "train_seconds", "total_seconds", "peak_memory_bytes", "forgetting"})
EXACT = frozenset({"trained"})
"""Quantities that do not depend on chance, and are therefore not tested."""
DIFFERENCES = frozenset({"score", "forgetting"})
"""Quantities whose differences are compared. Of all others, ratios are."""
TIMES = frozenset({"train_seconds", "total_seconds", "train_samples_per_second", "test_samples_per_second"})
"""Quantities that mean nothing if other programs had the cores."""
PERCENT = 5.0
"""Margin of quantities whose ratios are compared, unless a comparison has its own."""
SHIPPED = Path(__file__).parent / "shipped"
HALVES = ("lower half", "upper half")
"""Values of a method's `layers` that stand for half of a model's layers, whatever their number."""


def _method_alone(value: object) -> object:
    return {"method": value} if isinstance(value, str) else value


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


class Side(Schema):
    """One side of a comparison: a method, with changes to its shipped settings."""

    method: Annotated[str, Field(description="a method, such as ln+prefix")]
    settings: dict[str, str | int | float | bool | list[str] | None] = Field(default_factory=dict)
    """Changed settings by dotted name, such as `ln.terms`."""

    @field_validator("method")
    @classmethod
    def _canonical(cls, method: str) -> str:
        return canonical_name(method.split(SEPARATOR))

    @model_validator(mode="after")
    def _check_settings(self) -> "Side":
        for name in self.settings:
            if name.partition(".")[0] not in self.method.split(SEPARATOR):
                raise ValueError(f"{name!r} is not a setting of a part of {self.method!r}; write it as PART.SETTING")
        self.variant(num_layers=2)
        return self

    @property
    def name(self) -> str:
        """Name of the side for people, independent of the number of layers."""
        settings = dict(self.settings)
        halves = {part: settings.pop(part) for part in list(settings) if settings[part] in HALVES}
        name = variant_of(self.method, configured(self.method, settings))
        return f"{name} in the {', '.join(str(half) for half in halves.values())} of the layers" if halves else name

    def resolved(self, num_layers: int | None) -> dict[str, Any] | None:
        """The changed settings, with halves replaced by layers; None if that needs the unknown number of layers."""
        if num_layers is None and any(value in HALVES for value in self.settings.values()):
            return None
        middle = (num_layers or 0) // 2
        ranges = {"lower half": f"1-{middle}", "upper half": f"{(num_layers or 0) - middle + 1}-{num_layers}"}
        return {name: ranges.get(str(value), value) for name, value in self.settings.items()}

    def variant(self, num_layers: int | None) -> str | None:
        """Name of the variant in the runs of a model with `num_layers` layers; None if the needed number is unknown."""
        settings = self.resolved(num_layers)
        return None if settings is None else variant_of(self.method, configured(self.method, settings))


AnySide = Annotated[Side, BeforeValidator(_method_alone)]


class Comparison(Schema):
    """The statement that the left side is better, or worse, than each of the right sides."""

    left: Annotated[AnySide, Field(description="a method, such as ln+prefix")]
    right: Annotated[
        list[AnySide], BeforeValidator(_listed), Field(min_length=1, description="a method, or a list of them")
    ]
    left_is: Annotated[Literal["better", "worse"], Field(description="better or worse")]
    quantity: Quantity = "score"
    """Quantity to compare; `score` is the test score, and `forgetting` the rise of the loss on a general text. For
    forgetting, seconds, memory and parameters, less is better."""
    factor: Annotated[float, Field(gt=0)] = 1.0
    """Number by which the right side is multiplied before the comparison; not allowed for scores and forgetting."""
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Size from which on a difference matters: in points of the metric, in hundredths of a nat for forgetting, and in
    percent for all other quantities. None is 1 point or 5%. A metric without points needs a number, in its own unit.
    Not allowed for exact quantities."""

    @model_validator(mode="after")
    def _no_side_against_itself(self) -> "Comparison":
        if self.left in self.right:
            raise ValueError(f"left and right are both {self.left.name}; they must be different methods or settings")
        return self

    @model_validator(mode="after")
    def _no_share_of_a_difference(self) -> "Comparison":
        if self.quantity in DIFFERENCES and self.factor != 1:
            raise ValueError("factor is for quantities that have a natural zero, not for scores and forgetting")
        return self

    @model_validator(mode="after")
    def _no_margin_of_what_is_exact(self) -> "Comparison":
        if self.quantity in EXACT and self.margin is not None:
            raise ValueError(f"margin = {self.margin:g}: {self.quantity} does not depend on chance and needs no margin")
        return self

    def least_that_matters(self, metric: Metric | None) -> float | None:
        """The margin in the unit of differences: of a score, or of the logarithm of a ratio. None if it is not known.

        Args:
            metric: metric of the scores, or `FORGETTING`; None for other quantities.
        """
        if self.quantity in EXACT:
            return None
        if metric is None:
            return log1p((PERCENT if self.margin is None else self.margin) / 100)
        return metric.point if self.margin is None else self.margin * (metric.point or 1.0)


class Claim(Schema):
    """A sentence that runs can support or contradict: all its comparisons must hold."""

    id: Annotated[
        str,
        Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="a name of small letters and digits, with hyphens"),
    ]
    text: Annotated[str, Field(min_length=1, description="a sentence that says what is claimed")]
    where: Annotated[str, Field(min_length=1, description="the paper and the place in it, such as 'our Section 4'")]
    comparisons: Annotated[
        list[Comparison], Field(min_length=1, description="a list of groups of left, left_is and right")
    ]
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Margin of the comparisons that have none of their own and are not of exact quantities."""

    @property
    def all_comparisons(self) -> list[Comparison]:
        """The comparisons, with the margin of the claim where they have none."""
        return [
            one
            if self.margin is None or one.margin is not None or one.quantity in EXACT
            else one.model_copy(update={"margin": self.margin})
            for one in self.comparisons
        ]


def read_claims(*folders: Path) -> list[Claim]:
    """Reads the shipped claims, and those of other folders, one from each YAML file, in the order of the file names.

    Raises:
        ConfigError: a folder holds no claims, a claim is wrong, or two claims have the same id.
    """
    files = [file for folder in (SHIPPED, *folders) for file in _files(folder)]
    claims = [read_claim(file) for file in files]
    ids = [claim.id for claim in claims]
    if repeated := sorted({one for one in ids if ids.count(one) > 1}):
        names = ", ".join(str(file) for file, one in zip(files, ids, strict=True) if one in repeated)
        raise ConfigError(f"id = {', '.join(repeated)}: must differ between claims; it is in {names}")
    return claims


def read_claim(file: Path) -> Claim:
    """Reads a claim from a YAML file.

    Raises:
        ConfigError: the file cannot be read, or the claim is wrong.
    """
    try:
        return parse(Claim, _read(file), file.name)
    except ConfigError as error:
        raise ConfigError(f"{error}\n{file}: is no claim; python -m lnbench.report --help shows one") from error


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ConfigError(f"{folder}: has no claims (*.yaml)")
    return files


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: must be a group of settings")
    return {str(key): value for key, value in content.items()}
