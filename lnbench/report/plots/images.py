"""Writes plots as PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lnbench.core.atomic_files import write_atomically
from lnbench.core.names import plain_name
from lnbench.report.plots.plot import Plot, plain, template

FORMATS = ("png", "svg")
WIDTH, SCALE = 900, 2


def write_plots(plots: Sequence[Plot], folder: Path) -> str:
    """Writes `folder/NAME.png` and `.svg` of each plot, on a white background.

    Returns:
        The reason why there are no images, for people; empty if there are.

    Raises:
        OSError: the folder cannot be written.
    """
    if not plots:
        return ""
    try:
        import kaleido
        from kaleido.errors import ChromeNotFoundError
    except ImportError:
        return "No images of the plots: they need kaleido; pip install 'lnbench[plots]'"
    with TemporaryDirectory() as temporary:
        try:
            # Without this, MathJax would be fetched from the network. No plot has formulas.
            kaleido.write_fig_from_object_sync(_jobs(plots, Path(temporary)), kopts={"mathjax": False})
        except ChromeNotFoundError:
            return "No images of the plots: they need Chrome or Chromium, and none was found"
        except Exception as error:  # any failure of the browser leaves the rest of the report complete
            return f"No images of the plots: the browser that draws them failed ({type(error).__name__}: {error})"
        for file in Path(temporary).iterdir():
            write_atomically(folder / file.name, file.read_bytes())
    return ""


def _jobs(plots: Sequence[Plot], folder: Path) -> list[dict[str, Any]]:
    jobs = []
    for plot in plots:
        figure = _titled(plot)
        for ending in FORMATS:
            size = {"format": ending, "width": WIDTH, "height": figure["layout"]["height"] + 40, "scale": SCALE}
            jobs.append({"fig": figure, "path": folder / f"{plain_name(plot.name)}.{ending}", "opts": size})
    return jobs


def _titled(plot: Plot) -> dict[str, Any]:
    figure: dict[str, Any] = plot.figure.to_dict()
    layout = figure["layout"]
    return {
        **figure,
        "layout": {
            **layout,
            "template": template("light").to_plotly_json(),
            "paper_bgcolor": "white",
            "height": layout["height"] + 40,
            "margin": {**layout["margin"], "t": layout["margin"]["t"] + 40},
            "title": {"text": f"{plain(plot.kind)}: {plain(plot.title)}", "font": {"size": 16}},
        },
    }
