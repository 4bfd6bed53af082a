"""`python -m lnbench.export RUN_DIR` writes a tuned model in the formats of other tools, or uploads it to the hub."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lnbench.arguments import parser_of_runs
from lnbench.core.errors import plainly
from lnbench.core.packages import require_tuning
from lnbench.core.schema import ConfigError

if TYPE_CHECKING:
    from lnbench.records.record import Record

DESCRIPTION = "Writes the tuned model of a finished run for use without lnbench, or shares it on the Hugging Face hub."
EPILOG = """examples:
  python -m lnbench.export RUN_DIR --merged plain     a plain transformers model
  python -m lnbench.export RUN_DIR --peft adapter     an adapter for HF peft, with the task head in it
  python -m lnbench.export RUN_DIR --peft adapter --head beside
                                                      an adapter for HF peft and AutoModel, the head in head.safetensors
  python -m lnbench.export RUN_DIR --card             writes the model card, README.md in RUN_DIR, anew
  python -m lnbench.export RUN_DIR --hub me/films     what lnbench.load("me/films") needs, the record and a model card;
                                                      with --peft also the adapter

docs/exchange.md says which methods each format can hold; other methods are refused by name.
--hub needs a token, in HF_TOKEN or from `hf auth login`. config.json and record.json name folders of this machine.
"""


def main() -> None:
    """Entry point of `python -m lnbench.export`."""
    options = _options()
    try:
        if options.hub:
            from lnbench.exchange.hub import check_can_upload

            check_can_upload(options.hub)
        if options.card:
            _card(options.run_dir)
        if options.merged or options.peft:
            _write(options)
        if options.hub:
            _share(options)
    except (ConfigError, ValueError, OSError) as error:
        sys.exit(plainly(error))


def _write(options: argparse.Namespace) -> None:
    require_tuning()
    from lnbench.exchange.merge import save_merged
    from lnbench.exchange.peft_format import export_peft
    from lnbench.exchange.tuned import load

    tuned = load(options.run_dir, precision="fp32")
    if options.merged:
        save_merged(tuned, options.merged)
    if options.peft:
        export_peft(tuned, options.peft, options.head)
    for folder in filter(None, (options.merged, options.peft)):
        print(f"written to {folder}")


def _card(run_dir: Path) -> None:
    from lnbench.exchange.card import write_card
    from lnbench.records.files import CARD

    write_card(_record(run_dir), run_dir)
    print(f"written to {run_dir / CARD}")


def _record(run_dir: Path) -> Record:
    from lnbench.records.files import RECORD
    from lnbench.records.packed import why_no_model
    from lnbench.records.record import read_record

    if not (record := read_record(run_dir)):
        nothing = f"{run_dir}: is not the folder of a finished run; it has no {RECORD}"
        raise ConfigError(why_no_model(run_dir) or nothing)
    return record


def _share(options: argparse.Namespace) -> None:
    from lnbench.exchange import peft_format
    from lnbench.exchange.card import write_card
    from lnbench.exchange.heads import HEAD_FILE
    from lnbench.exchange.hub import upload
    from lnbench.records.files import ADAPTER, CARD, CONFIG, RECORD
    from lnbench.records.record import check_files

    run_dir, name = options.run_dir, options.hub
    record = _record(run_dir)
    check_files(record, run_dir)
    if not (run_dir / CARD).is_file():
        write_card(record, run_dir)
    files = [run_dir / file for file in (CARD, ADAPTER, CONFIG, RECORD)]
    if options.peft:
        files += [options.peft / file for file in (peft_format.CONFIG, peft_format.WEIGHTS)]
        files += [head] if (head := options.peft / HEAD_FILE).is_file() and options.head == "beside" else []
    print(f"sending to {name}: {', '.join(file.name for file in files)}")
    print(f"sent: {upload(name, files, f'Run {record.id} of lnbench', options.private)}")


def _options() -> argparse.Namespace:
    parser = parser_of_runs("lnbench.export", DESCRIPTION, EPILOG)
    parser.add_argument("--merged", type=Path, metavar="FOLDER", help="write a plain transformers model")
    parser.add_argument("--peft", type=Path, metavar="FOLDER", help="write an adapter in the format of HF peft")
    parser.add_argument(
        "--head",
        choices=("inside", "beside"),
        default="inside",
        help="with --peft: where the task head goes. inside: into the adapter, for the class of transformers that "
        "gives the same logits (default). beside: into head.safetensors, for AutoModel",
    )
    parser.add_argument("--card", action="store_true", help="write the model card anew")
    parser.add_argument("--hub", metavar="USER/NAME", help="upload to this repository; it is created if needed")
    parser.add_argument("--private", action="store_true", help="with --hub: create a private repository")
    options = parser.parse_args()
    if not (options.merged or options.peft or options.card or options.hub):
        parser.error("nothing to write: give --merged FOLDER, --peft FOLDER, --card, --hub USER/NAME, or several")
    if options.private and not options.hub:
        parser.error("--private: only with --hub")
    return options


if __name__ == "__main__":
    main()
