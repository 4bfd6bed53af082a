import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.core.sealed import DEEPEST, SealError, file_digest, parse_json, read_sealed, write_sealed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(content=st.dictionaries(st.text().filter(lambda key: key != "sha256"), JSON, max_size=4))
def test_content_comes_back(tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]) -> None:
    path = tmp_path_factory.getbasetemp() / "sealed.json"
    write_sealed(path, content)
    assert read_sealed(path) == content
    assert json.loads(path.read_text()).keys() == {*content, "sha256"}


def test_what_is_no_number_comes_back(tmp_path: Path) -> None:
    write_sealed(tmp_path / "file", {"nan": math.nan, "inf": -math.inf})
    content = read_sealed(tmp_path / "file")
    assert math.isnan(content["nan"])
    assert content["inf"] == -math.inf


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"seed": 3', '"seed": 2', "the checksum does not fit"),
        ('"sha256"', '"sha255"', "the checksum is missing"),
        ('"seed"', "seed", "not JSON"),
    ],
)
def test_a_change_is_noticed(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "file"
    write_sealed(path, {"seed": 3, "task": "films"})
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SealError, match=message):
        read_sealed(path)


def test_the_digest_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_digest(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


ODD: dict[str, bytes] = {
    "many brackets": b"[" * 100_000,
    "many braces": b'{"a":' * 100_000,
    "levels": b"[" * 500 + b"]" * 500,
    "a number of 5,000 digits": b"1" * 5_000,
    "a number of 100 digits": b'{"seed": ' + b"1" * 100 + b"}",
    "NUL bytes": bytes(64),
    "another encoding": '{"a": "\u00e9"}'.encode("latin-1"),
    "half a character": b'{"a": "\\ud800"}',
    "nothing": b"",
}


@pytest.mark.parametrize("content", ODD)
def test_whatever_a_file_holds_is_told_and_no_more(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(ODD[content])
    with pytest.raises(SealError):
        read_sealed(path)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_told(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file")
    with pytest.raises(SealError, match="is not a file"):
        read_sealed(tmp_path / "file")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_half_a_character_is_refused_in_every_encoding(encoding: str) -> None:
    assert parse_json('["\\u00e9"]'.encode(encoding)) == ["é"]
    with pytest.raises(SealError, match="not JSON"):
        parse_json('["\\ud800"]'.encode(encoding))
    with pytest.raises(SealError, match="not JSON"):
        parse_json('["\ud800"]'.encode(encoding, "surrogatepass"))


def test_values_are_as_deep_as_they_may_be() -> None:
    def nested(levels: int, inner: str) -> str:
        return "[" * levels + inner + "]" * levels

    assert parse_json(nested(DEEPEST, ""))
    assert parse_json(nested(DEEPEST - 1, "1"))
    for text in (nested(DEEPEST + 1, ""), nested(DEEPEST, "1")):
        with pytest.raises(SealError, match="levels"):
            parse_json(text)
