from pathlib import Path

import pytest
import yaml

from lnbench.core.schema import ConfigError
from lnbench.deciding.question import read_questions
from lnbench.report.claims.claims import read_claims
from tests.report.claims.test_claims import GOOD


def test_a_claim_is_asked_by_its_id_or_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(GOOD))
    shipped, own = read_questions(["ln-is-fastest", str(file)])
    assert shipped == next(claim for claim in read_claims() if claim.id == "ln-is-fastest")
    assert own.id == "mine"


@pytest.mark.parametrize(
    ("line", "left_is", "quantity", "margin"),
    [
        ("ln+prefix better than bitfit", "better", "score", None),
        ("ln+prefix is better than bitfit", "better", "score", None),
        ("  ln+prefix   worse than bitfit, margin 0.5", "worse", "score", 0.5),
        ("ln+prefix better than bitfit in training time", "better", "train_seconds", None),
        ("ln+prefix better than bitfit in peak_memory_bytes, margin 10", "better", "peak_memory_bytes", 10),
        ("ln+prefix better than bitfit in trained parameters", "better", "trained", None),
        ("ln+prefix better than bitfit in forgetting, margin 2", "better", "forgetting", 2),
    ],
)
def test_a_line_is_a_claim(line: str, left_is: str, quantity: str, margin: float | None) -> None:
    [claim] = read_questions([line])
    [one] = claim.comparisons
    assert (one.left.method, [side.method for side in one.right]) == ("ln+prefix", ["bitfit"])
    assert (one.left_is, one.quantity, one.margin) == (left_is, quantity, margin)


def test_the_margin_of_the_command_is_for_what_has_none() -> None:
    own, none = read_questions(["ln better than bitfit, margin 2", "ln better than head"], margin=3)
    assert [claim.all_comparisons[0].margin for claim in (own, none)] == [2, 3]
    [paper] = read_questions(["ln-beats-bitfit"], margin=3)
    assert [one.margin for one in paper.all_comparisons] == [3, None], "numbers of parameters have no margin"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ln-beats-bitfi", "^'ln-beats-bitfi': did you mean 'ln-beats-bitfit'"),
        ("ln beats bitfit", r"^'ln beats bitfit': .*in the form 'LEFT better than RIGHT'"),
        ("ln better than bitfit in speed", "'speed' must be one of test score, trained parameters"),
        ("ln better than bitfit, margin 0", "margin = 0"),
        ("ln better than bitfit in trained, margin 1", "do not depend on chance and need no margin"),
        ("no_such_file.yaml", "no_such_file.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_told(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_questions([line])


def test_a_question_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^ln-is-fastest: is asked twice"):
        read_questions(["ln-is-fastest", "ln-is-fastest"])
