"""What Hydra and a shell make of the commands that are shown."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lnbench.config.compose import compose_config, to_plain
from lnbench.core.commands import command, override, predict, tool
from tests.commands import words_of

AWKWARD = [
    "out dir, x=1",
    "~/runs",
    "a'b",
    'a"b',
    "data (1).csv",
    "year=2019.csv",
    "[x]",
    "{a: b}",
    "文本",
    "a\\",
    "\\'",
    "a\\\\'b",
    "${oc.env:HOME}",
    "\\${x}",
    "a,b",
    "",
    " a ",
    "1",
    "1e3",
    "yes",
    "010",
    "12:30:45",
    "null",
    "True",
    "inf",
    "a\nb",
    "$(ls)",
    "`ls`",
    "-m",
    "choice(a,b)",
    "glob(*)",
    "*",
    "a:b",
    "a%20#b",
    "C:\\films\\new",
    "\u00a0x",
]
SIGNS = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], include_characters="\n")
TEXTS = st.text(SIGNS).filter(lambda text: text != "???")
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


def read(line: str) -> Any:
    """The value that a run would get from the last word of a command."""
    word = shlex.split(line)[-1]
    (parsed,) = OverridesParser.create().parse_overrides([word])
    assert not parsed.is_sweep_override()
    return set_to(parsed.value())


def set_to(value: Any) -> Any:
    """What a configuration holds in which an override has set a value."""
    config = OmegaConf.create({})
    OmegaConf.update(config, "x", value)
    return to_plain(config)["x"]


@pytest.mark.parametrize("text", AWKWARD)
def test_an_awkward_text_is_read_as_itself(text: str) -> None:
    assert read(command([override("x", text)])) == text
    assert read(command([override("x", [text, "b"])])) == [text, "b"]


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_any_value_is_read_as_itself(value: Any) -> None:
    got = read(command([override("x", value)]))
    assert got == value
    assert type(got) is type(value)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=4))
def test_a_sweep_has_each_value_once(values: list[str]) -> None:
    (word,) = shlex.split(command([override("x", *values)], several=True))[4:]
    (parsed,) = OverridesParser.create().parse_overrides([word])
    jobs = OverridesParser.create().parse_overrides(
        [f"x={value}" for value in parsed.sweep_string_iterator()]  # as Hydra's sweeper makes them
    )
    assert [set_to(job.value()) for job in jobs] == values


@pytest.mark.parametrize("text", [text for text in AWKWARD if text])
def test_a_folder_with_an_awkward_name_is_the_same_folder(text: str) -> None:
    words = shlex.split(command([override("runs_dir", Path(text)), override("cache_dir", Path("/a") / text)]))[3:]
    config = to_plain(compose_config("method=ln", *words))
    assert Path(config["runs_dir"]) == Path(text)
    assert Path(config["cache_dir"]) == Path("/a") / text


@pytest.mark.parametrize(
    "text", ["a\u202eb", "\x1b[31m'red'", "a\u200b", "b\x07\\c", "a\udcffb", "\u2028", "\r", "a\tb"]
)
def test_what_a_terminal_would_act_on_is_written_out_and_still_read(text: str) -> None:
    line = tool("lnbench.predict", text, "plain")
    assert line.isprintable()
    assert words_of(line)[3:] == [text, "plain"]


def test_what_needs_no_quotes_has_none() -> None:
    words = [override("runs_dir", Path("runs/a-b_c.d+e")), override("seed", 0, 1), override("a.b", [1, "x"], mark="++")]
    assert command(words, several=True) == "python -m lnbench -m runs_dir=runs/a-b_c.d+e seed=0,1 '++a.b=[1,x]'"
    assert tool("lnbench.predict", Path("out dir"), "some text") == "python -m lnbench.predict 'out dir' 'some text'"


def test_a_pair_is_typed_with_a_tab_that_no_terminal_changes() -> None:
    assert predict("out", ["a b", "c"]) == r"python -m lnbench.predict out $'a b\tc'"
    assert predict("out", ["a b"]) == "python -m lnbench.predict out 'a b'"
