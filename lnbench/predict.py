"""`python -m lnbench.predict RUN_DIR [TEXT ...]` prints a tuned model's predictions for texts."""

import argparse
import json
import sys
from pathlib import Path

from lnbench.arguments import parser_of_runs
from lnbench.core.escape import printable
from lnbench.core.packages import require_tuning
from lnbench.core.schema import ConfigError

DESCRIPTION = "Prints what a tuned model says of each text: a label and its probability, an answer, a generated text."
EPILOG = """examples:
  python -m lnbench.predict RUN_DIR "what a day"
  python -m lnbench.predict RUN_DIR --file reviews.txt      one text a line
  cat reviews.txt | python -m lnbench.predict RUN_DIR       likewise
  python -m lnbench.predict RUN_DIR $'a premise\\ta hypothesis'   a pair, split by a tab
  python -m lnbench.predict RUN_DIR --json "what a day"     one JSON object a line
"""
BYTE_ORDER_MARK = "\ufeff"
"""What some editors write at the start of a file. It is no part of the first text."""


def main() -> None:
    """Entry point of `python -m lnbench.predict`."""
    options = _options()
    texts = options.text or _lines(options.file)
    if not texts:
        sys.exit("no text given: type it after the folder, name a file with --file FILE, or use standard input")
    try:
        require_tuning()
        from lnbench.exchange.tuned import load

        tuned = load(options.run_dir, merged=options.merged, precision=options.precision)
        predictions = tuned.predict(texts)
        for remark in tuned.remarks(texts):
            print(f"note: {remark}", file=sys.stderr)
    except (ConfigError, ValueError) as error:
        sys.exit(str(error))
    for prediction in predictions:
        if options.json:
            print(json.dumps(prediction, ensure_ascii=False))
        else:
            print(printable(tuned.task.readable(prediction)).replace("\n", "\\n"))


def _options() -> argparse.Namespace:
    parser = parser_of_runs("lnbench.predict", DESCRIPTION, EPILOG)
    parser.add_argument("text", nargs="*", help="texts to answer")
    parser.add_argument("--file", type=Path, help="file with one text per line (default: TEXT, else standard input)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument(
        "--merged", action="store_true", help="fold LoRA and (IA)^3 into the weights: faster, equal up to rounding"
    )
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), help="number format to compute in (default: that of the run)"
    )
    options = parser.parse_intermixed_args()
    if options.text and options.file:
        parser.error(f"--file {options.file}: texts are typed, too; give one of the two")
    return options


def _lines(file: Path | None) -> list[str]:
    try:
        text = file.read_text("utf-8") if file else sys.stdin.read()
        text = text.removeprefix(BYTE_ORDER_MARK)
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{file or 'standard input'}: cannot be read ({error})")
    return [line for line in text.split("\n") if line.strip()]


if __name__ == "__main__":
    main()
