"""Tags of words that mark entities: O outside, B-TYPE at the first word of an entity, I-TYPE at its others (IOB2)."""

from collections.abc import Iterable, Sequence

OUTSIDE = "O"
PREFIXES = {"B": "B", "I": "I", "L": "I", "E": "I", "M": "I", "U": "B", "S": "B"}
"""IOB2's prefix for each prefix of IOB1, IOB2, BILOU and BIOES."""


def is_tag(tag: str) -> bool:
    """Whether `from_any` can read a tag."""
    prefix, _, kind = tag.partition("-")
    return tag == OUTSIDE or (prefix in PREFIXES and bool(kind))


def from_any(tags: Sequence[str]) -> list[str]:
    """The tags of one sentence in IOB2, from tags in IOB1, IOB2, BILOU or BIOES.

    An I- that does not continue an entity of its type begins one, as IOB1 writes it and conlleval reads it.
    """
    converted = [OUTSIDE]
    for tag in tags:
        prefix, _, kind = tag.partition("-")
        if tag == OUTSIDE:
            converted.append(OUTSIDE)
        elif PREFIXES[prefix] == "I" and converted[-1] in (f"B-{kind}", f"I-{kind}"):
            converted.append(f"I-{kind}")
        else:
            converted.append(f"B-{kind}")
    return converted[1:]


def tag_set(tags: Iterable[str]) -> list[str]:
    """O, then B- and I- of every type that occurs, in alphabetical order of the types."""
    kinds = sorted({tag[2:] for tag in tags if tag != OUTSIDE})
    return [OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]
