"""The page of a report, in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.report.browser import Opened, browser, missing, opened
from tests.report.whole import HOSTILE, hostile, made_up, report, write_all

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def running() -> "Iterator[Browser]":
    with browser() as own:
        yield own


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_all(made_up(seeds=(0, 1, 2), tasks=["rte", "sst2"]), folder / "runs")
    report(folder / "runs", folder / "page.html")
    return folder / "page.html"


@pytest.fixture
def seen(running: "Browser", path: Path) -> Iterator[Opened]:
    """The page, of which nothing may go wrong and nothing may ask the network."""
    with opened(running, path, color_scheme="light") as result:
        yield result
        assert (result.errors, result.requests) == ([], [])


@pytest.fixture
def page(seen: Opened) -> "Page":
    return seen.page


def draw_all(page: "Page") -> None:
    for plot in page.locator("figure.plot").all():
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for()


def column(table: "Locator", place: int) -> list[str]:
    return table.locator(f"tbody tr:not([hidden]) td:nth-child({place})").all_inner_texts()


def ground(page: "Page") -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def test_every_plot_is_drawn_without_errors_or_requests(page: "Page") -> None:
    draw_all(page)
    assert page.locator("figure.plot .main-svg").count() >= 5


def test_another_plot_of_a_kind_can_be_chosen(page: "Page") -> None:
    draw_all(page)
    plot = page.locator("figure.plot", has=page.get_by_role("heading", name="Score against trained parameters"))
    canvas = plot.locator(".canvas")
    plot.locator("select").select_option(label="sst2, minilm")
    assert canvas.evaluate("canvas => canvas.layout.yaxis.title.text") == "test accuracy (%)"
    assert page.evaluate("drawn.size") == 6
    before = canvas.evaluate("canvas => JSON.stringify(canvas.data[1].y)")
    plot.locator("select").select_option(label="rte, minilm")
    assert canvas.evaluate("canvas => JSON.stringify(canvas.data[1].y)") != before


def test_a_heading_sorts_up_and_down_and_says_so(page: "Page") -> None:
    table = page.locator("table.sortable").first
    heading = table.locator("th").nth(2)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    values = [float(text.split(" ")[0]) for text in column(table, 3)]
    assert values == sorted(values)
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(text.split(" ")[0]) for text in column(table, 3)] == values[::-1]
    table.locator("th").first.locator("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert column(table, 1) == sorted(column(table, 1))


def test_missing_values_stay_at_the_end(page: "Page") -> None:
    table = page.locator("table.sortable").first
    page.evaluate(
        "document.querySelector('table.sortable').tBodies[0].rows[0].cells[2].replaceWith("
        "Object.assign(document.createElement('td'), {textContent: '-'}))"
    )
    button = table.locator("th").nth(2).locator("button")
    for _ in range(2):
        button.click()
        assert column(table, 3)[-1] == "-"


def test_words_filter_rows_and_their_number_is_told(page: "Page") -> None:
    box = page.locator("#runs .table")
    box.locator("input").fill("LN[terms=gain] sst2")
    assert set(column(box, 2)) == {"ln[terms=gain]"}
    assert set(column(box, 3)) == {"sst2"}
    assert box.locator("output").inner_text() == "3 of 90 rows"
    box.locator("input").fill("")
    assert len(column(box, 2)) == 90


def test_a_run_opens_with_its_settings_scores_and_curves(page: "Page") -> None:
    link = page.locator("#run-list a", has_text=re.compile(".")).nth(5)
    cells = link.locator("xpath=ancestor::tr").locator("td").all_inner_texts()
    link.press("Enter")
    dialog = page.locator("dialog[open]")
    dialog.locator(".main-svg").first.wait_for()
    text = dialog.inner_text()
    assert dialog.locator("h2").inner_text().endswith(f"on {cells[2]} with minilm, seed {cells[4]}")
    assert cells[0] in text
    assert "trainer.batch_size" in text
    assert dialog.locator("[data-part=scores] td").nth(2).inner_text() == cells[6]
    names = page.evaluate("document.querySelector('dialog .canvas').data.map((line) => line.name)")
    assert names == ["train/loss", "validation/accuracy"]


def test_a_run_closes_by_button_by_key_and_by_going_back(page: "Page") -> None:
    dialog, link = page.locator("dialog"), page.locator("#run-list a").first
    link.click()
    dialog.get_by_role("button", name="Close").click()
    page.wait_for_function("location.hash === ''")
    link.click()
    dialog.wait_for(state="visible")
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    link.click()
    page.go_back()
    dialog.wait_for(state="hidden")


def test_a_run_can_be_linked_to(seen: Opened, running: "Browser", path: Path) -> None:
    href = seen.page.locator("#run-list a").nth(3).get_attribute("href")
    seen.page.goto(f"{path.as_uri()}{href}")
    seen.page.reload()
    assert seen.page.locator("dialog").is_visible()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_theme_follows_the_system_until_it_is_chosen(
    running: "Browser", path: Path, scheme: str, dark: bool
) -> None:
    with opened(running, path, color_scheme=scheme) as result:
        page = result.page
        first, font = ground(page), "document.querySelector('.canvas')._fullLayout.font.color"
        assert (first == "rgb(20, 23, 26)") == dark
        draw_all(page)
        colour = page.evaluate(font)
        page.locator("#theme").click()
        assert (ground(page) == "rgb(20, 23, 26)") != dark
        page.wait_for_function(f"{font} !== {colour!r}")
        page.reload()
        assert ground(page) != first
        assert result.errors == []


def test_a_phone_shows_it_without_scrolling_sideways(running: "Browser", path: Path) -> None:
    with opened(running, path, width=375, height=800, has_touch=True) as result:
        page = result.page
        draw_all(page)
        width = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        assert page.evaluate(width) == [375, 375]
        page.locator("#run-list a").first.click()
        page.locator("dialog .main-svg").first.wait_for()
        box = page.locator("dialog").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 375
        assert page.evaluate("document.querySelector('dialog').scrollWidth") <= box["width"]
        assert page.evaluate(width) == [375, 375]


def test_names_are_shown_and_never_run(running: "Browser", tmp_path: Path) -> None:
    hostile(tmp_path / "runs")
    report(tmp_path / "runs", tmp_path / "page.html")
    with opened(running, tmp_path / "page.html") as result:
        page, alerts = result.page, list[str]()
        page.on("dialog", lambda dialog: alerts.append(dialog.message))
        draw_all(page)
        page.locator("#run-list a").first.click()
        page.locator("dialog .main-svg").first.wait_for()
        assert HOSTILE in page.locator("dialog h2").inner_text()
        assert HOSTILE in page.locator("#runs .table").inner_text()
        assert page.locator("img").count() == 0
        assert (alerts, result.errors, result.requests) == ([], [], [])


def test_a_smuggled_script_would_be_refused(running: "Browser", path: Path, tmp_path: Path) -> None:
    spoiled = path.read_text().replace(
        "<main>", "<main><img src=x onerror='window.ran = 1'><script>window.ran = 1</script>", 1
    )
    (tmp_path / "page.html").write_text(spoiled)
    with opened(running, tmp_path / "page.html") as result:
        result.page.locator("#run-list a").first.wait_for()
        assert result.page.evaluate("window.ran") is None
        assert len(result.errors) >= 2


def test_of_very_many_runs_the_first_that_fit_are_shown(
    running: "Browser", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lnbench.report.page.write.MOST_OPENED", 100)
    write_all(made_up(seeds=range(14), tasks=["rte"]), tmp_path / "runs")
    report(tmp_path / "runs", tmp_path / "page.html")
    with opened(running, tmp_path / "page.html") as result:
        box = result.page.locator("#runs .table")
        assert len(column(box, 1)) == 200
        assert box.locator("output").inner_text() == "210 of 210 rows; the first 200 are shown"
        heading = box.locator("th").nth(6)
        for _ in range(2):
            heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == "descending"
        scores = [float(text.rstrip("%")) for text in column(box, 7)]
        assert scores == sorted(scores, reverse=True)
        box.locator("input").fill("LN[terms=gain] RTE")
        assert set(column(box, 2)) == {"ln[terms=gain]"}
        assert box.locator("output").inner_text() == "14 of 210 rows"
        assert (result.errors, result.requests) == ([], [])
