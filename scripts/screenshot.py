"""Makes the README's image of a report's page.

python scripts/screenshot.py runs
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lnbench.core.atomic_files import write_atomically
from tests.report.browser import browser, missing, opened
from tests.report.whole import report


def main() -> None:
    """Writes the image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs_dir", type=Path, help="folder of finished runs")
    parser.add_argument("--out", type=Path, default=Path("docs/report.png"))
    parser.add_argument(
        "--section", choices=["scores", "claims", "plots", "costs", "runs"], help="section at the top of the image"
    )
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    if missing():
        sys.exit(f"a screenshot {missing()}")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        report(options.runs_dir, page)
        write_atomically(options.out, screenshot(page, options.section, options.dark))
    print(f"written to {options.out}")


def screenshot(path: Path, section: str | None, dark: bool) -> bytes:
    """A PNG of a page, after the visible plots have been drawn."""
    with browser() as running, opened(running, path, color_scheme="dark" if dark else "light") as result:
        page = result.page
        if section:
            page.locator(f"#{section}").evaluate("section => section.scrollIntoView({behavior: 'instant'})")
        page.wait_for_timeout(1_000)
        return page.screenshot()


if __name__ == "__main__":
    main()
