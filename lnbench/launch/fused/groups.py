"""Divides runs into groups that can train together."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from lnbench.config.run import RunConfig
from lnbench.methods.full import Full

OPTIMISER_SETTINGS = ("lr", "lr_factor", "head_lr", "weight_decay", "warmup")
"""Trainer settings in which runs that train together may differ. They may also differ in seeds and the parts' rates."""


def can_be_fused(config: RunConfig) -> bool:
    """Whether a run can train together with others: it needs one device, a frozen backbone and whole batches."""
    trainer = config.trainer
    return (
        trainer.devices == 1
        and trainer.on_oom == "fail"
        and config.model.quantization is None
        and not trainer.gradient_checkpointing
        and config.logger.wandb is None
        and not (config.search and config.rerun)
        and not any(isinstance(part, Full) for part in config.method.values())
    )


def common_part(config: RunConfig) -> str:
    """The settings, as JSON, that runs must share to train together: all but seeds, scales and optimiser settings.

    If each seed draws its own training rows, runs of different seeds do not share their data.
    """
    part = config.identity()
    if not config.task.splits.resample:
        del part["seed"]
    for setting in OPTIMISER_SETTINGS:
        part["trainer"].pop(setting, None)
    for name, method in config.method.items():
        for setting in method.may_differ:
            part["method"][name].pop(setting, None)  # the identity leaves out some defaults
    part["places"] = [str(config.data_root), config.trainer.device, config.trainer.cache_frozen_gib]
    return json.dumps(part, sort_keys=True)


def group(configs: Sequence[RunConfig | None], max_runs: int, slots: int = 1) -> list[list[int]]:
    """Divides runs into groups that train together.

    Args:
        configs: configurations of the runs; None stands for a job that is no run, and stays alone.
        max_runs: largest number of runs in a group.
        slots: number of groups at a time; runs are spread so that no slot is idle while another has several.

    Returns:
        For each group, the indices of its runs in `configs`. Each index occurs once.
    """
    fitting: dict[str, list[int]] = defaultdict(list)
    for place, config in enumerate(configs):
        alone = config is None or not can_be_fused(config)
        fitting[str(place) if alone or config is None else common_part(config)].append(place)
    largest = min(max_runs, math.ceil(len(configs) / slots))
    return [chunk for places in fitting.values() for chunk in _chunks(places, math.ceil(len(places) / largest))]


def _chunks(places: list[int], count: int) -> list[list[int]]:
    """Cuts a list into pieces of nearly equal size, in order."""
    ends = [round(len(places) * number / count) for number in range(count + 1)]
    return [places[start:end] for start, end in pairwise(ends)]
