"""A headless browser that opens a page from the disk, and tells what the page does besides."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Opened:
    """A page, what it asked of the network, and what went wrong in it."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def chromium() -> str | None:
    """The path of a Chromium or Chrome; None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def missing() -> str:
    """What a browser would need that is not there; nothing if all is."""
    if not find_spec("playwright"):
        return "needs playwright"
    return "" if chromium() else "needs Chromium"


@contextmanager
def browser() -> Iterator["Browser"]:
    """A running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        yield running
        running.close()


@contextmanager
def opened(running: "Browser", path: Path, width: int = 1280, height: int = 900, **context: Any) -> Iterator[Opened]:
    """A page of its own storage; requests for anything but files are stopped.

    Args:
        running: as `browser` yields it.
        path: of the page.
        width: of the viewport, in CSS pixels.
        height: of the viewport.
        context: other settings of Playwright's context, such as `color_scheme`.
    """
    own = running.new_context(viewport={"width": width, "height": height}, **context)
    result = Opened(own.new_page())

    def stop(route: "Route") -> None:
        result.requests.append(route.request.url)
        route.abort()

    own.route(lambda url: not url.startswith(("file:", "data:", "blob:")), stop)
    result.page.on("console", lambda said: result.errors.append(said.text) if said.type == "error" else None)
    result.page.on("pageerror", lambda error: result.errors.append(str(error)))
    result.page.goto(path.resolve().as_uri())
    yield result
    own.close()
