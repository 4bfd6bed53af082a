from pathlib import Path
from typing import Any

import pytest
import yaml

from lnbench.core.schema import ConfigError
from lnbench.report.claims.claims import Side, read_claims

GOOD: dict[str, Any] = {
    "id": "mine",
    "text": "Prefix-tuning beats BitFit.",
    "where": "Section 4",
    "comparisons": [{"left": "prefix", "right": "bitfit", "left_is": "better"}],
}


def write(folder: Path, name: str = "mine.yaml", **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(yaml.safe_dump(GOOD | changes))
    return folder


def comparison(**changes: Any) -> dict[str, Any]:
    return {"comparisons": [GOOD["comparisons"][0] | changes]}


def test_the_shipped_claims_are_those_of_the_paper_in_its_order() -> None:
    assert [claim.id for claim in read_claims()] == [
        "ln-beats-bitfit",
        "ln-is-fastest",
        "ln-helps-prefix",
        "the-sum-is-best",
        "ln-hurts-ffn-adapter",
        "bias-over-gain",
        "mha-norm-over-ffn-norm",
        "upper-over-lower-layers",
        "all-of-ln-is-needed",
    ]


def test_claims_of_ones_own_come_after_the_shipped_ones(tmp_path: Path) -> None:
    claims = read_claims(write(tmp_path))
    assert claims[:-1] == read_claims()
    assert claims[-1].comparisons[0].right == [Side(method="bitfit")]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"cite": "x"}, r"^mine.yaml.cite: unknown key"),
    "an unknown quantity": (comparison(quantity="speed"), r"^mine.yaml.comparisons.0.quantity = 'speed': .*'score'"),
    "an unknown direction": (comparison(left_is="faster"), r"comparisons.0.left_is = 'faster'"),
    "no comparison": ({"comparisons": []}, r"^mine.yaml.comparisons = \[\]: must have at least 1 entries"),
    "no right side": (comparison(right=[]), r"comparisons.0.right = \[\]"),
    "a side against itself": (
        comparison(right=["bitfit", "prefix"]),
        "left and right are both prefix; they must be different",
    ),
    "a share of a score": (comparison(factor=0.5), "factor is for quantities that have a natural zero"),
    "a margin of nothing": (comparison(margin=0), r"^mine.yaml.comparisons.0.margin = 0"),
    "a margin of what is exact": (
        comparison(margin=2, quantity="trained"),
        "margin = 2: trained does not depend on chance and needs no margin",
    ),
    "a margin below nothing": ({"margin": -1}, r"^mine.yaml.margin = -1"),
    "an id with spaces": ({"id": "My claim"}, r"^mine.yaml.id = 'My claim'"),
    "an id that is taken": ({"id": "ln-is-fastest"}, r"^id = ln-is-fastest: must differ .*2-ln-is-fastest.*mine.yaml"),
    "an unknown setting": (
        comparison(left={"method": "ln", "settings": {"ln.term": ["bias"]}}),
        r"method.ln.term: unknown key; did you mean 'terms'",
    ),
    "a value that is not allowed": (
        comparison(left={"method": "ln", "settings": {"ln.terms": ["slope"]}}),
        r"method.ln.terms.0 = 'slope'",
    ),
    "a setting of another method": (
        comparison(left={"method": "ln", "settings": {"prefix.length": 5}}),
        "'prefix.length' is not a setting of a part of 'ln'",
    ),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_claim_is_told_by_field(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_claims(write(tmp_path, **changes))


def test_what_a_claim_lacks_is_told_with_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("text: x\nid: x\ncomparisons: [{left: {settings: {}}, rigth: bitfit}]\n")
    with pytest.raises(ConfigError) as raised:
        read_claims(tmp_path)
    assert str(raised.value).splitlines() == [
        "mine.yaml.where: is missing; it is the paper and the place in it, such as 'our Section 4'",
        "mine.yaml.comparisons.0.left.method: is missing; it is a method, such as ln+prefix",
        "mine.yaml.comparisons.0.right: is missing; it is a method, or a list of them",
        "mine.yaml.comparisons.0.left_is: is missing; it is better or worse",
        "mine.yaml.comparisons.0.rigth: unknown key; did you mean 'right'? known keys: factor, left, left_is, margin, "
        "quantity, right",
        f"{tmp_path / 'mine.yaml'}: is no claim; python -m lnbench.report --help shows one",
    ]


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "", "\tid: x"])
def test_a_file_that_is_no_claim_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        read_claims(tmp_path)


def test_a_folder_without_claims_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path}: has no claims"):
        read_claims(tmp_path)


def test_a_side_is_called_as_its_runs_are() -> None:
    assert Side(method="prefix+ln").variant(None) == "ln+prefix"
    assert Side(method="ln", settings={"ln.terms": ["bias"]}).variant(None) == "ln[terms=bias]"
    assert Side(method="ln", settings={"ln.terms": ["gain", "bias"]}).variant(None) == "ln", "as it is shipped"


@pytest.mark.parametrize(
    ("layers", "half", "name"), [(24, "upper", "13-24"), (24, "lower", "1-12"), (7, "upper", "5-7")]
)
def test_halves_are_of_the_layers_that_a_model_has(layers: int, half: str, name: str) -> None:
    side = Side(method="ln", settings={"ln.layers": f"{half} half"})
    assert side.variant(layers) == f"ln[layers={name}]"
    assert side.variant(None) is None
    assert side.name == f"ln in the {half} half of the layers"


def test_a_claim_on_a_method_that_is_not_shipped_is_allowed(tmp_path: Path) -> None:
    [*_, mine] = read_claims(write(tmp_path, **comparison(left={"method": "mine", "settings": {"mine.size": 3}})))
    assert mine.comparisons[0].left.variant(None) == "mine[size=3]"
