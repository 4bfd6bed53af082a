"""Every shipped experiment can be composed, with each value that it sweeps over, into runs that pass the checks."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from lnbench.core.config_folders import config_dir
from lnbench.runs.missing import runs_of_sweep

FOLDER = config_dir() / "experiment"
EXPERIMENTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PAPER = {"main_nlu", "main_nlg", "unified", "ablation_terms", "ablation_norms", "ablation_layers", "efficiency"}
BEYOND = {"frontier", "mini_base", "mini_frontier", "hparams_search", "mini_claims", "mini_retention", "small", "smoke"}


def swept(name: str) -> dict[str, str]:
    """The parameters of an experiment's file, those of the experiments that it starts from included."""
    config = OmegaConf.load(FOLDER / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    parents = [parent for parent in config.get("defaults", []) if isinstance(parent, str) and parent != "_self_"]
    merged = {key: value for parent in parents for key, value in swept(parent).items()}
    own = OmegaConf.select(config, "hydra.sweeper.params", default={})
    return {**merged, **{key: str(value) for key, value in own.items()}}


def first(values: str) -> str:
    return values.partition("],")[0] + "]" if values.startswith("[") else values.partition(",")[0]


def test_every_experiment_of_the_paper_has_a_small_version() -> None:
    assert {*PAPER, *(f"mini_{name}" for name in PAPER), *BEYOND} == set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_value_gives_a_run(name: str, tmp_path: Path) -> None:
    params = swept(name)
    text = tmp_path / "text.txt"
    text.write_text("A general text.")
    has_text = "retention" in OmegaConf.load(FOLDER / f"{name}.yaml")
    own_text = ["~retention.data", f"retention.path={text}"] if has_text else []
    seeds = params.pop("seed", "0").split(",")
    assert all(seed.isdecimal() for seed in seeds), "any such number is a seed"
    for key, values in params.items():
        others = [f"seed={seeds[0]}", *(f"{other}={first(params[other])}" for other in params if other != key)]
        jobs = runs_of_sweep([f"experiment={name}", *own_text, *others], tmp_path)
        assert len(jobs) == (values.count("],") if values.startswith("[") else values.count(",")) + 1
        assert {job.state for job in jobs} == {"never started"}
