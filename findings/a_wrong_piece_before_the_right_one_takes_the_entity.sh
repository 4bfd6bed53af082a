#!/usr/bin/env bash
# One would think: an entity found as two pieces, one of the right type and one of a wrong type, has the same score
#                  whichever piece stands first; and the total over all types agrees with the scores of the types.
# What is so:      the first piece that touches the entity takes it, the other is spurious. F1 by type (ent_type) is
#                  0.67 if the right piece is first and 0 if it is second. The scores of the types look at one type
#                  only: in both cases they say 1.0 for the only type there is to find. If spans overlap, even an exact
#                  prediction gets a strict F1 of 0 when a wrong one stands before it.
# Versions:        nervaluate 1.2.1.
# Source:          the strategies in nervaluate/strategies.py go through the predictions in order and take the first
#                  overlap. Upstream has reports of it for entities that are joined; the tags here are plain BIO.
# Why it matters:  the partial modes are used just for entities that are found in pieces. A model that errs at the
#                  beginning of names scores less than one that errs at their end, and an overall of 0 stands beside a
#                  perfect score in the table of types.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile nervaluate==1.2.1
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

from nervaluate import Evaluator


def f1(true, predicted, loader):
    """F1 in the modes: overall, and of the type ORG."""
    result = Evaluator([true], [predicted], tags=["ORG", "LOC"], loader=loader).evaluate()
    overall = {mode: round(float(score.f1), 2) for mode, score in result["overall"].items()}
    return overall, {mode: round(float(score.f1), 2) for mode, score in result["entities"]["ORG"].items()}


name = ["B-ORG", "I-ORG", "I-ORG"]  # University of Paris
right_first, of_org = f1(name, ["B-ORG", "O", "B-LOC"], "list")
wrong_first, of_org_too = f1(name, ["B-LOC", "O", "B-ORG"], "list")
span = {"label": "ORG", "start": 0, "end": 5}
wrong = {"label": "LOC", "start": 0, "end": 2}
exact_first, _ = f1([span], [span, wrong], "dict")
exact_second, _ = f1([span], [wrong, span], "dict")
print(
    f"nervaluate {version('nervaluate')}: F1 by type of an ORG found as ORG and LOC {right_first['ent_type']}, as LOC "
    f"and ORG expected the same, seen {wrong_first['ent_type']}; of the type ORG {of_org['ent_type']} and "
    f"{of_org_too['ent_type']}. Strict F1 of the exact span and a wrong one {exact_first['strict']}, in the other "
    f"order {exact_second['strict']}"
)
types = of_org["ent_type"] == of_org_too["ent_type"] == 1.0
order = (right_first["ent_type"], wrong_first["ent_type"]) == (0.67, 0.0)
if not (types and order and (exact_first["strict"], exact_second["strict"]) == (0.67, 0.0)):
    sys.exit("changed: the order of predictions no longer decides, or the types agree with the total")
PY
