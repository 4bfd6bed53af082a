"""A public record names no person, machine or folder."""

import pytest

from lnbench.core.schema import ConfigError
from lnbench.records.public import public
from lnbench.records.record import SearchResult, Trial
from tests.report.builders import finished


def test_places_and_accounts_are_left_out_and_files_keep_their_names() -> None:
    record = finished("ln", config={"data_root": "/home/me/data", "cache_dir": "/home/me/cache"})
    config = {
        **record.config,
        "model": {**record.config["model"], "source": "/home/me/models/tiny"},
        "task": {**record.config["task"], "path": "/home/me/reviews.csv"},
        "logger": {"wandb": {"project": "p", "entity": "me", "mode": "auto", "predictions": 1}, "mlflow": None},
    }
    trial = Trial(value=1, id="0" * 12, score=None, problem="error: /home/me/runs/x.bin: No space left")
    whole = record.model_copy(
        update={
            "config": config,
            "search": SearchResult(parameter="trainer.lr", trials=[trial], chosen=1),
            "missing": {"meteor": "needs ~/nltk_data/wordnet.zip"},
        }
    )
    shown = public(whole)
    assert "/home" not in shown.model_dump_json()
    assert "me" not in shown.model_dump_json().replace("name", "").split('"')
    assert shown.config["model"]["source"] == "tiny"
    assert shown.config["task"]["path"] == "reviews.csv"
    assert shown.search
    assert shown.search.trials[0].problem == "error: x.bin: No space left"
    assert shown.missing == {"meteor": "needs wordnet.zip"}
    assert public(shown) == shown


@pytest.mark.parametrize("place", ["/home/me/x", "~/x", "C:\\Users\\me", "see /opt/me/x"])
def test_a_place_in_any_other_setting_is_refused(place: str) -> None:
    record = finished("ln")
    record = record.model_copy(update={"config": {**record.config, "mine": {"folder": place}}})
    with pytest.raises(ConfigError, match=r"config\.mine\.folder = .* names a place of this machine"):
        public(record)


def test_names_on_the_hub_and_addresses_are_no_places() -> None:
    record = finished("ln")
    model = {**record.config["model"], "source": "google-bert/bert-base-cased", "install": "pip install https://a.b/c"}
    shown = public(record.model_copy(update={"config": {**record.config, "model": model}}))
    assert shown.config["model"] == model
