"""`python -m lnbench.export RUN_DIR`: a tuned model in the formats of other tools."""

import argparse
import sys
from pathlib import Path

from lnbench.arguments import parser_of_runs
from lnbench.schema import ConfigError

DESCRIPTION = "Writes the tuned model of a finished run for use without lnbench."
EPILOG = """examples:
  python -m lnbench.export RUN_DIR --merged plain     a plain transformers model (full, head, ln, bitfit, lora)
  python -m lnbench.export RUN_DIR --peft adapter     an adapter for PeftModel.from_pretrained: ln, lora or ia3
"""


def main() -> None:
    """Entry point of `python -m lnbench.export`."""
    options = _options()
    from lnbench.exchange.merge import save_merged
    from lnbench.exchange.peft_format import export_peft
    from lnbench.tuned import load

    try:
        tuned = load(options.run_dir)
        if options.merged:
            save_merged(tuned, options.merged)
        if options.peft:
            export_peft(tuned, options.peft)
    except (ConfigError, ValueError, OSError) as error:
        sys.exit(str(error))
    for folder in filter(None, (options.merged, options.peft)):
        print(f"written to {folder}")


def _options() -> argparse.Namespace:
    parser = parser_of_runs("lnbench.export", DESCRIPTION, EPILOG)
    parser.add_argument("--merged", type=Path, metavar="FOLDER", help="write a plain transformers model")
    parser.add_argument("--peft", type=Path, metavar="FOLDER", help="write an adapter in the format of HF peft")
    options = parser.parse_args()
    if not (options.merged or options.peft):
        parser.error("nothing to write: give --merged FOLDER, --peft FOLDER, or both")
    return options


if __name__ == "__main__":
    main()
