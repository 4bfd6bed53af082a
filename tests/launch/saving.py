"""A launcher in a file of its own, which the processes of its jobs import."""

from hydra_plugins.lnbench_slurm import SlurmLauncher


class LocalSlurmLauncher(SlurmLauncher):
    """As `hydra/launcher=slurm`, in local processes."""

    _EXECUTOR = "local"
