"""Does a run in several processes, over which its model is sharded."""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from lnbench.config.run import RunConfig
from lnbench.core.schema import ConfigError
from lnbench.methods.base import Method
from lnbench.records.failure import reading_input
from lnbench.records.identity import Address
from lnbench.records.record import Record, SearchResult, read_record
from lnbench.training.sharded.processes import run_in_processes


def execute_sharded(config: RunConfig, address: Address, found: SearchResult | None = None) -> Record:
    """Does the same as `execute`, in as many new processes as the run has devices.

    Raises:
        ConfigError: the run cannot be sharded, or for the reasons of `execute`.
        DataError, RunInterrupted: as for `execute`.
        ProcessKilled: a process died without raising an exception.
    """
    from lnbench.training.device import count_devices, use_gpu

    _check(config)
    run_in_processes(run_rank, count_devices(config.trainer), use_gpu(config.trainer), config, address, found)
    record = read_record(address.folder)
    assert record is not None
    return record


def _check(config: RunConfig) -> None:
    if HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN:
        raise ConfigError(
            f"trainer.devices = {config.trainer.devices!r}: in a sweep every run has one device; start runs that need "
            f"several one at a time, without -m"
        )
    if config.trainer.on_oom != "fail":
        raise ConfigError(
            f"trainer.on_oom = {config.trainer.on_oom!r}: only a run on one device can try again; "
            f"use trainer.on_oom=fail"
        )
    for name, part in config.method.items():
        if type(part).prepare is not Method.prepare:
            raise ConfigError(
                f"method = {config.method_name}: {name!r} needs the whole model on one device before training; use "
                f"trainer.devices=1"
            )


def run_rank(config: RunConfig, address: Address, found: SearchResult | None) -> None:
    """The work of each process. Only rank 0 writes files and prints for the user."""
    from torch import distributed

    from lnbench.run.execute import execute, load_model_and_data
    from lnbench.training.context import Context
    from lnbench.training.fit import fit_and_test

    if distributed.get_rank() == 0:
        execute(config, address, found)
    else:
        with reading_input():
            model, data = load_model_and_data(config)
        fit_and_test(config, model, data, Context(address.folder))
