"""Reads the question of an experiment: claims by id, by file, or in words."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lnbench.core.schema import ConfigError, did_you_mean, parse
from lnbench.report.claims.claims import EXACT, NAMES, Claim, read_claim, read_claims

NUMBER = r"\d+(\.\d+)?"
SENTENCE = re.compile(
    rf"(?P<left>[^\s,]+) (is )?(?P<left_is>better|worse) than (?P<right>[^\s,]+)"
    rf"( in (?P<quantity>[\w ]+?))?(,? margin (?P<margin>{NUMBER}))?",
    re.ASCII,
)
FORM = "'LEFT better than RIGHT' or 'LEFT worse than RIGHT', to which ' in QUANTITY' and ', margin NUMBER' may be added"


def read_questions(words: Sequence[str], margin: float | None = None) -> list[Claim]:
    """The claims to decide.

    Args:
        words: for each claim the id of a shipped one, a YAML file, or a line such as `ln better than bitfit`.
        margin: margin of the comparisons that have none; None takes the usual one.

    Raises:
        ConfigError: a word is none of these, a claim is wrong, or two claims have the same id.
    """
    shipped = {claim.id: claim for claim in read_claims()}
    claims = [_claim(word, shipped) for word in words]
    ids = [claim.id for claim in claims]
    if repeated := sorted({one for one in ids if ids.count(one) > 1}):
        raise ConfigError(f"{', '.join(repeated)}: is asked twice")
    return [claim if claim.margin else claim.model_copy(update={"margin": margin}) for claim in claims]


def _claim(word: str, shipped: dict[str, Claim]) -> Claim:
    if word in shipped:
        return shipped[word]
    if word.endswith((".yaml", ".yml")):
        return read_claim(Path(word))
    if found := SENTENCE.fullmatch(" ".join(word.split())):
        return _in_words(word, found.groupdict())
    hint = did_you_mean(word, shipped)
    raise ConfigError(
        f"{word!r}: {hint}must be a shipped claim ({', '.join(shipped)}), a file that ends in .yaml, or a line in the "
        f"form {FORM}"
    )


def _in_words(word: str, found: dict[str, Any]) -> Claim:
    quantities = {name: key for key, name in NAMES.items()} | {key: key for key in NAMES}
    typed = found["quantity"] or "score"
    if typed not in quantities:
        raise ConfigError(
            f"{word!r}: {did_you_mean(typed, quantities)}{typed!r} must be one of {', '.join(NAMES.values())}"
        )
    quantity = quantities[typed]
    margin = found["margin"] and float(found["margin"])
    if quantity in EXACT and margin:
        raise ConfigError(f"{word!r}: {NAMES[quantity]} do not depend on chance and need no margin")
    comparison = {key: found[key] for key in ("left", "right", "left_is")} | {"quantity": quantity, "margin": margin}
    name = "-".join(re.findall(r"[a-z0-9]+", word.lower()))
    raw = {"id": name, "text": f"{word}.", "where": "asked for here", "comparisons": [comparison]}
    return parse(Claim, raw, repr(word))
