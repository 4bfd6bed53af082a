"""A logger whose package is not installed is refused before a model loads."""

import importlib.util

import pytest

from lnbench.core.schema import ConfigError
from lnbench.run.lifecycle import run
from tests.conftest import Configure


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensorboard", "logger = 'tensorboard': needs tensorboard; type pip install 'lnbench[tensor"),
        ("mlflow", "logger = 'mlflow': needs mlflow, sqlalchemy, alembic; type pip install 'lnbench[mlflow]'"),
    ],
)
def test_what_to_install_is_told(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    absent = {"tensorboard", "mlflow", "sqlalchemy", "alembic"}
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "lnbench.training.loggers.run_logger.find_spec", lambda name: None if name in absent else found(name)
    )
    monkeypatch.setattr("lnbench.run.execute.load_model_and_data", lambda *_: pytest.fail("a model loads"))
    with pytest.raises(ConfigError) as refused:
        run(configure(f"logger={name}+csv"))
    assert message in str(refused.value)
