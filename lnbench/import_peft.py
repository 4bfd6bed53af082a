"""`python -m lnbench.import_peft ADAPTER FOLDER model=... task=...`: an adapter of another library as a tuned model."""

import argparse
import sys
from pathlib import Path

from lnbench.core.errors import plainly
from lnbench.core.packages import require_tuning
from lnbench.core.schema import ConfigError

DESCRIPTION = (
    "Writes an adapter of HF peft or of AdapterHub's adapters (LN-tuning, LoRA, bottleneck adapters, prefixes, ...) as "
    "a tuned model that lnbench predicts with."
)
EPILOG = """examples:
  python -m lnbench.import_peft ADAPTER FOLDER model=bert_base task=wnut17
  python -m lnbench.import_peft ADAPTER FOLDER model=gpt2 task=samsum
  python -m lnbench.predict FOLDER "what a day"        then all works that works on a run's folder:
  python -m lnbench.export FOLDER --merged PLAIN       predict, export, lnbench.load

The method and its settings come from the adapter, the task head from the adapter or from a file beside it.
"""


def main() -> None:
    """Entry point of `python -m lnbench.import_peft`."""
    options = _options()
    try:
        require_tuning()
        from lnbench.exchange.peft_import import import_peft

        config = import_peft(options.adapter, options.folder, options.overrides, options.any_base)
    except (ConfigError, ValueError, OSError) as error:
        sys.exit(plainly(error))
    print(f"{config.method_name} for {config.task.name}, written to {options.folder}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lnbench.import_peft",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("adapter", type=Path, help="folder that peft's save_pretrained or adapters' save_adapter wrote")
    parser.add_argument("folder", type=Path, help="new folder for the tuned model")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="model and task, as for python -m lnbench")
    parser.add_argument(
        "--any-base", action="store_true", help="accept the model even if the adapter names another one"
    )
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    main()
