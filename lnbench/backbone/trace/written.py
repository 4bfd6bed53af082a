"""Writes the findings as text: in the order of a forward pass, then as a table to paste."""

import textwrap
from collections.abc import Mapping
from typing import Any

from lnbench.backbone.tables import Projection
from lnbench.backbone.trace.roles import DEFAULTS, FoundField

WIDTH = 110
NEEDED = (
    "blocks",
    "query",
    "key",
    "value",
    "mha_output",
    "ffn_inputs",
    "ffn_output",
    "mha_norm",
    "ffn_norm",
    "placement",
)


def told(found: Mapping[str, FoundField]) -> str:
    """The parts that a text passes, in order, one line each."""
    placement = found["placement"].value
    attention = [
        f"  queries {_part(found['query'])}, keys {_part(found['key'])}, values {_part(found['value'])}",
        *(
            f"  norm of {plural} {found[name].value}"
            for name, plural in (("query_norm", "queries"), ("key_norm", "keys"))
            if found[name].value
        ),
        f"  attention, {_call(found['attention'])}",
        f"  output of attention {_part(found['mha_output'])}",
    ]
    ffn = [f"  network in {_part(found['ffn_inputs'])}", f"  network out {_part(found['ffn_output'])}"]
    one, two = (f"  norm {_part(found[name])}" for name in ("mha_norm", "ffn_norm"))
    outputs = [
        [f"  norm of the output {found[name].value}"] * bool(found[name].value)
        for name in ("mha_output_norm", "ffn_output_norm")
    ]
    shared = found["mha_norm"].value == found["ffn_norm"].value
    inside = {
        "post": [*attention, one, *ffn, two],
        "branch": [*attention, one, *ffn, two],
        "pre": [one, *attention, *outputs[0], two, *ffn, *outputs[1]],
        "parallel": [one, *attention, *([] if shared else [two]), *ffn],
        None: [*attention, *ffn, "  norms: not sure"],
    }[placement]
    around = [[f"norm {found[name].value}"] * bool(found[name].value) for name in ("embedding_norm", "final_norm")]
    vectors = "a vector" if found["positions"].value == "embedded" else "no vector"
    start = f"embeddings, {vectors} for each position"
    kind = f"each block of {found['blocks'].value} ({placement or 'not sure'}):"
    return "\n".join([start, *around[0], kind, *inside, *around[1]])


def as_table(kind: str, found: Mapping[str, FoundField]) -> str:
    """The entry of `TABLES` in lnbench/backbone/tables.py, each line marked. A reason is written once."""
    lines, first = [f'"{kind}": RoleTable('], {one.doubt: name for name, one in reversed(list(found.items()))}
    for name, finding in found.items():
        if finding.doubt:
            again = first[finding.doubt] != name
            text = f"not sure, as {first[finding.doubt]}" if again else f"not sure: {finding.doubt}"
            lines += textwrap.wrap(text, WIDTH, initial_indent="    # ", subsequent_indent="    # ")
        elif finding.value == DEFAULTS[name] and name not in NEEDED:
            continue
        lines.append(f"    {name}={_code(finding)},{'' if finding.doubt else '  # sure'}")
    left_out = [
        name for name, one in found.items() if not one.doubt and one.value == DEFAULTS[name] and name not in NEEDED
    ]
    if left_out:
        text = f"sure, and left out as in most tables: {', '.join(left_out)}"
        lines += textwrap.wrap(text, WIDTH, initial_indent="    # ", subsequent_indent="    # ")
    return "\n".join([*lines, "),"])


def _code(finding: FoundField) -> str:
    value: Any = finding.value
    if isinstance(value, Projection):
        arguments = [_quoted(value.path)]
        if value.third is not None:
            arguments.append(str(value.third))
        if value.fusion != "stacked":
            arguments.append(_quoted(value.fusion))
        if value.bias:
            arguments.append(f"bias={_quoted(value.bias)}")
        return f"Projection({', '.join(arguments)})"
    if value is None and finding.doubt:
        return "..."
    return _literal(value)


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    return f'"{text}"'


def _part(finding: FoundField) -> str:
    value = finding.value
    if value is None:
        return "not sure" if finding.doubt else "none"
    if isinstance(value, Projection):
        third = "" if value.third is None else f" (part {value.third + 1} of 3)"
        return f"{value.path}{third}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _call(finding: FoundField) -> str:
    if finding.doubt:
        return "not sure whether by transformers' function"
    return "computed by the model itself" if finding.value is None else f"{finding.value} calls transformers' function"
