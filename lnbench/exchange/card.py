"""The model card of a tuned model, a README.md in the form that the Hugging Face hub reads."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from lnbench.config.run import validate_saved
from lnbench.core.atomic_files import write_atomically
from lnbench.core.commands import allowing, predict, quoted
from lnbench.core.escape import cell, code, fenced, markdown
from lnbench.core.words import number_of
from lnbench.exchange import card_facts
from lnbench.exchange.card_metadata import card_metadata
from lnbench.records.baseline import note_on
from lnbench.records.files import CARD
from lnbench.records.record import Record
from lnbench.records.setting import rates
from lnbench.tasks.scores.metric import metric_of

TEMPLATE = "card.md"


def write_card(record: Record, folder: Path) -> None:
    """Writes `folder/README.md`, and replaces an older one.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(folder / CARD, model_card(record))


def model_card(record: Record) -> str:
    """Returns the metadata in YAML, then a page in Markdown. Texts that are not lnbench's own are put in code spans.

    Raises:
        ConfigError: the record's configuration belongs to another version of lnbench.
    """
    config = validate_saved(record.config)
    return _template().render(
        metadata=card_metadata(record, config).to_yaml(),
        record=record,
        config=config,
        facts=card_facts,
        number_of=number_of,
        predict=predict,
        allowing="".join(f" {quoted(word)}" for word in allowing(config.plugins)),
        rates=rates,
        note=note_on(record),
        metric=metric_of(record.selection.metric),
    )


@cache
def _template() -> Template:
    """The page's template, compiled once."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": code, "cell": cell, "fenced": fenced, "text": markdown}
    return environment.get_template(TEMPLATE)
