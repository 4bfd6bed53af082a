"""How far lnbench's methods are from other implementations of the same: outputs and gradients, in float64.

python -m scripts.parity
"""

import sys
import warnings
from dataclasses import astuple

from rich.console import Console
from rich.table import Table
from transformers.utils import logging

from tests.parity import adapters_cases, folding_cases, peft_cases, roles_cases, weight_cases
from tests.parity.case import Case
from tests.parity.compare import TOLERANCE, Difference


def main() -> None:
    """Prints one row a comparison; exits with status 1 if one is too far off."""
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    cases = [
        *peft_cases.cases(),
        *roles_cases.cases(),
        *weight_cases.cases(),
        *adapters_cases.cases(),
        *folding_cases.cases(),
    ]
    differences = {case: case.run() for case in cases}
    Console().print(table(differences))
    if not all(value < TOLERANCE for difference in differences.values() for value in astuple(difference)):
        sys.exit(f"A difference is not below {TOLERANCE:.0e}")


def table(differences: dict[Case, Difference]) -> Table:
    """Largest absolute differences by method, architecture and reference."""
    result = Table(title="Parity: largest absolute differences in float64, dropout off")
    for heading in ("method", "architecture", "reference"):
        result.add_column(heading)
    for heading in ("outputs", "gradients"):
        result.add_column(heading, justify="right")
    for case, difference in sorted(differences.items(), key=lambda item: (item[0].method, item[0].architecture)):
        values = (f"{value:.1e}" for value in astuple(difference))
        result.add_row(case.method, case.architecture, case.reference, *values)
    return result


if __name__ == "__main__":
    main()
