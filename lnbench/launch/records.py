"""Finds finished records and records deaths for jobs that are runs of lnbench. Jobs of other programs are ignored."""

import os

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig

from lnbench.config.compose import to_plain, without_hydra
from lnbench.config.run import RunConfig, validate
from lnbench.core.errors import DataError, JobFailed
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import NewerError
from lnbench.launch.job import Job, Sweep
from lnbench.records import failure
from lnbench.records.finished import finished_record
from lnbench.records.identity import address_of
from lnbench.records.record import Record, RecordError


def done_before(sweep: Sweep, job: Job) -> JobReturn | None:
    """The result of a job whose run is finished already; such a job needs no process.

    None for all other jobs. A damaged record, or a job that cannot be composed, is handled by the job itself.
    """
    try:
        config = sweep.compose(job)
        record = finished(run_of(config))
    except (HydraException, ValueError, OSError):
        return None
    if record is None:
        return None
    returned = JobReturn(
        list(job.overrides), without_hydra(config), working_dir=os.getcwd(), status=JobStatus.COMPLETED
    )
    returned.return_value = record.score
    return returned


def finished(run: RunConfig | None) -> Record | None:
    """The record of a job's run; None if the job must do the run, or is no run."""
    try:
        return finished_record(address_of(run)) if run and not run.rerun else None
    except (RecordError, NewerError, OSError):
        return None


def record_dead_job(sweep: Sweep, job: Job, death: JobFailed) -> None:
    """Writes a failure record for a run whose process died without a result."""
    if run := run_of(sweep.compose(job)):
        failure.record_death(run, str(death))


def run_of(config: DictConfig) -> RunConfig | None:
    """The configuration of a job's run; None for a job of another program, and for a refused configuration."""
    hydra = HydraConfig.instance()
    of_launcher = hydra.cfg
    hydra.set_config(config)  # resolves ${hydra:...} in the configuration
    try:
        return validate(to_plain(without_hydra(config)))
    except (ConfigError, DataError):
        return None
    finally:
        hydra.cfg = of_launcher
