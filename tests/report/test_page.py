"""The page of a report, as a text."""

import json
import math
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lnbench.records.files import METRICS
from lnbench.records.record import Record
from lnbench.report.claims.claims import Claim
from lnbench.report.claims.verdicts import judge
from lnbench.report.history import MOST_POINTS
from lnbench.report.load import frame
from lnbench.report.page.interval import Interval, intervals
from tests.report.builders import finished, folder_of, loaded
from tests.report.whole import HOSTILE, hostile, made_up, report, write_all


@dataclass
class Seen(HTMLParser):
    """The elements of a page, its visible text, and its data."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag == "script" and data.strip():
            self.data += [data] if attributes.get("type") == "application/json" else []
        elif tag != "style":
            self.text.append(data)


def look_at(page: Path) -> Seen:
    seen = Seen()
    seen.feed(page.read_text(encoding="utf-8"))
    return seen


def page_of(folder: Path, *records: Record) -> Path:
    write_all(records, folder / "runs")
    report(folder / "runs", folder / "page.html")
    return folder / "page.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(tmp_path_factory.mktemp("report"), *made_up(seeds=(0, 1, 2), tasks=["rte"]))


def test_nothing_is_loaded_from_anywhere(page: Path) -> None:
    for tag, attributes in look_at(page).tags:
        for name in ("src", "href", "data", "action", "srcset"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("#", "data:")), (tag, value)
    assert "@import" not in page.read_text().partition("</style>")[0]


def test_the_page_allows_its_own_scripts_alone(page: Path) -> None:
    tags = look_at(page).tags
    policy = next(attributes["content"] or "" for tag, attributes in tags if "http-equiv" in attributes)
    assert "default-src 'none'" in policy
    assert policy.count("sha256-") == 2
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]


def test_plotly_is_in_it_once(page: Path) -> None:
    assert page.read_text().count("* plotly.js v") == 1


def test_it_tells_claims_tables_runs_and_problems(page: Path) -> None:
    text = " ".join(look_at(page).text)
    for words in (
        "9 methods on 1 task",
        "45 finished runs of minilm",
        "LN-tuning beats BitFit with half of its parameters.",
        "not decided",
        "Test scores: minilm",
        "ln[terms=gain]",
        "diverged: the loss is not a number at step 40",
    ):
        assert words in text


def test_scores_come_first_and_claims_without_runs_last(tmp_path: Path) -> None:
    text = page_of(tmp_path, finished("ln"), finished("bitfit")).read_text()
    places = [text.index(words) for words in ('id="scores"', 'id="claims"', "without runs</summary>", 'id="costs"')]
    assert places == sorted(places)
    shown, _, folded = text.partition("without runs</summary>")
    assert "LN-tuning beats BitFit with half of its parameters." in shown
    assert "0 pairs" in folded


def test_every_run_can_be_opened_and_its_data_are_json(page: Path) -> None:
    seen = look_at(page)
    links = [attributes["href"] for tag, attributes in seen.tags if (attributes.get("href") or "").startswith("#run-")]
    known = [attributes["data-run"] for tag, attributes in seen.tags if "data-run" in attributes]
    assert links == [f"#run-{one}" for one in known]
    assert len(set(links)) == 45
    for text in seen.data:
        json.loads(text, parse_constant=pytest.fail)


def test_what_a_record_says_is_shown_and_never_run(page: Path, tmp_path: Path) -> None:
    hostile(tmp_path / "runs")
    report(tmp_path / "runs", tmp_path / "page.html")
    seen = look_at(tmp_path / "page.html")
    assert {tag for tag, _ in seen.tags} <= {tag for tag, _ in look_at(page).tags}
    kinds = [attributes.get("type") for tag, attributes in seen.tags if tag == "script"]
    assert [kind for kind in kinds if kind != "application/json"] == ["text/plain", None], "Plotly, and the page's own"
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert HOSTILE in seen.text
    for text in seen.data:
        json.loads(text)


def test_numbers_that_json_does_not_have_are_told_in_words(tmp_path: Path) -> None:
    record = finished("ln", metrics={"validation": {"f1": math.inf}, "test": {"accuracy": math.nan}})
    data = look_at(page_of(tmp_path, record)).data
    run = next(json.loads(text, parse_constant=pytest.fail) for text in data if '"scores"' in text)
    assert run["scores"] == {"validation": {"F1": "inf"}, "test": {"accuracy": "nan"}}


def test_curves_of_a_run_are_thinned(tmp_path: Path) -> None:
    record = finished("ln")
    write_all([record], tmp_path, steps=20_000)
    assert len((folder_of(record, tmp_path) / METRICS).read_text().splitlines()) > 2_000
    report(tmp_path, tmp_path / "page.html")
    run = next(json.loads(text) for text in look_at(tmp_path / "page.html").data if '"scores"' in text)
    assert {len(curve["x"]) for curve in run["curves"].values()} == {MOST_POINTS}
    assert f"at most {MOST_POINTS} points" in " ".join(look_at(tmp_path / "page.html").text)


def test_a_single_run_makes_a_page(tmp_path: Path) -> None:
    assert "1 finished run of minilm" in " ".join(look_at(page_of(tmp_path, finished("ln"))).text)


def test_a_run_costs_the_page_little(tmp_path: Path) -> None:
    sizes = [page_of(tmp_path / str(seeds), *made_up(tuple(range(seeds)), ["rte"])).stat().st_size for seeds in (1, 3)]
    assert (sizes[1] - sizes[0]) / 30 < 10_000


def test_intervals_are_drawn_to_one_scale_around_no_difference() -> None:
    scores = {"ln": (0.80, 0.81, 0.83), "prefix": (0.70, 0.71, 0.73), "adapter": (0.85, 0.85, 0.87)}
    runs = [
        finished(method, seed=seed, score=score) for method, own in scores.items() for seed, score in enumerate(own)
    ]
    sides = {"left": "ln", "right": ["prefix", "adapter", "full"], "left_is": "better"}
    claim = Claim.model_validate({"id": "a", "text": "b", "where": "c", "comparisons": [sides]})
    findings = judge([claim], loaded(*runs), frame(runs))[0].findings
    prefix, adapter, full = intervals(findings)
    assert full is None
    assert prefix == Interval(mean=152.0, low=152.0, high=152.0)
    assert adapter
    assert adapter.low < adapter.mean < adapter.high
    assert adapter.mean == pytest.approx(80 - 72 * 0.0433 / 0.1, abs=0.2)


def test_a_run_that_is_no_better_than_its_baseline_is_marked_and_says_so(tmp_path: Path) -> None:
    poor: dict[str, Any] = {"baseline": {"test": {"accuracy": 0.5}}, "baseline_name": "majority baseline"}
    found = look_at(page_of(tmp_path, finished("ln", score=0.5, **poor), finished("bitfit", score=0.6, **poor)))
    text = " ".join(found.text)
    assert "50.00% †" in text
    assert "60.00% †" not in text
    assert "† no better than the majority baseline on the test or the validation split" in text
    notes = {json.loads(one)["note"] for one in found.data if '"scores"' in one}
    assert notes == {"no better than the majority baseline on test", ""}


def test_very_many_runs_are_listed_as_texts(tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lnbench.report.page.write.MOST_OPENED", 44)
    seen = look_at(page_of(tmp_path, *made_up(seeds=(0, 1, 2), tasks=["rte"])))
    assert not [attributes for _, attributes in seen.tags if "data-run" in attributes]
    assert f"python -m lnbench.runs {tmp_path / 'runs'} --show RUN" in seen.text
    place = next(place for place, (_, attributes) in enumerate(seen.tags) if attributes.get("id") == "run-rows")
    data = [attributes for _, attributes in seen.tags[:place] if attributes.get("type") == "application/json"]
    rows = json.loads(seen.data[len(data)])
    small = look_at(page)
    start = next(place for place, text in enumerate(small.text) if text.startswith("Open a run"))
    texts = [text for text in small.text[start:] if text.strip()]
    assert [len(row) for row in rows] == [14] * 45
    for row in rows:
        first = texts.index(row[0])
        assert texts[first : first + 14] == row
