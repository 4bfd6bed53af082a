"""Finished runs as a data frame: a table of mean and standard deviation, and a plot.

    python examples/own_method.py      # makes runs, if you have none
    python examples/read_results.py runs/own_method

It reads any folders of runs. `python -m lnbench.report` makes standard tables, tests and plots from the same runs. A
script like this one answers further questions.
"""

import argparse
from pathlib import Path

import pandas as pd
import plotly.express as px

import lnbench


def mean_and_deviation(scores: "pd.Series[float]") -> str:
    """Such as `0.741 ± 0.006 (3)`: mean, standard deviation, number of runs."""
    spread = f" ± {scores.std():.3f}" if len(scores) > 1 else ""
    return f"{scores.mean():.3f}{spread} ({len(scores)})"


def main() -> None:
    """Reads runs, prints a table, and writes a plot."""
    parser = argparse.ArgumentParser(description="Makes a table and a plot of finished runs.")
    parser.add_argument("folders", nargs="*", default=["runs/own_method"], help="folders of runs")
    parser.add_argument("--plot", type=Path, default=Path("scores.html"), help="file for the plot")
    options = parser.parse_args()

    # One row a run. `score` is the test score by the metric that selected the checkpoint; all scores, costs and
    # settings that differ have columns, too: test/accuracy, train_seconds, trainer.lr, ...
    runs = lnbench.records(*options.folders)
    runs = runs.dropna(subset=["score"])  # trials of a search have none
    if runs.empty:
        raise SystemExit(f"{', '.join(options.folders)}: no finished runs; python examples/own_method.py makes some")

    # `variant` is the method with what was changed in it, as in ln[terms=bias].
    table = runs.pivot_table(index="variant", columns="task", values="score", aggfunc=mean_and_deviation)
    print(table.fillna("-").to_string())

    figure = px.scatter(
        runs,
        x="trained_percent",
        y="score",
        color="variant",
        facet_col="task",
        hover_data=["id", "seed", "lr"],
        log_x=True,
        labels={"trained_percent": "trained, % of the backbone", "score": "test score", "variant": "method"},
    )
    figure.write_html(options.plot)
    print(f"\nThe plot is in {options.plot}; open it in a browser.")


if __name__ == "__main__":
    main()
