"""The figures of a report, looked at as data."""

import builtins
from collections.abc import Callable
from itertools import pairwise
from math import log10
from pathlib import Path
from typing import Any, get_args

import pytest

from lnbench.records.record import Record, Selection
from lnbench.records.shift import Norm
from lnbench.report.history import MOST_POINTS
from lnbench.report.load import frame, load_runs
from lnbench.report.plots import make_plots, write_plots
from lnbench.report.plots.plot import COLOURS, SYMBOLS, Plot, plain, styles
from lnbench.report.plots.shift import NORMS
from lnbench.report.plots.tradeoff import Point, pareto_front, ticks
from tests.report.browser import missing
from tests.report.builders import finished, loaded
from tests.report.whole import made_up, write_all


def plots(*records: Record) -> list[Plot]:
    return make_plots(loaded(*records), frame(records))


def named(found: list[Plot], name: str) -> Plot:
    return next(plot for plot in found if plot.name == name)


def traces(plot: Plot) -> dict[str | None, Any]:
    return {trace.name: trace for trace in plot.figure.data}


def point(expense: float, score: float) -> Point:
    return Point(f"{expense} {score}", expense, score, 0.0, 1)


@pytest.mark.parametrize(
    ("larger", "front"),
    [(True, [(1, 5), (3, 7), (4, 9)]), (False, [(1, 5), (2, 4)])],
)
def test_the_front_is_what_nothing_beats_in_both(larger: bool, front: list[tuple[float, float]]) -> None:
    points = [point(*place) for place in [(3, 7), (1, 5), (2, 4), (2, 5), (4, 9), (5, 9), (3, 6)]]
    assert [(one.expense, one.score) for one in pareto_front(points, larger)] == front


def test_a_point_is_the_mean_over_seeds_with_its_deviation() -> None:
    runs = [finished("ln", seed=seed, score=score) for seed, score in enumerate((0.70, 0.74))]
    found = named(plots(*runs, finished("bitfit", score=0.6)), "trained-minilm-rte")
    ln = traces(found)["ln"]
    assert (ln.x[0], ln.y[0]) == (9_216, pytest.approx(72))
    assert ln.error_y.array[0] == pytest.approx(2.8284, abs=1e-4)
    assert ln.customdata[0][1] == 2
    assert found.figure.layout.xaxis.type == "log"
    assert found.figure.layout.yaxis.title.text == "test accuracy (%)"


def test_the_average_is_of_methods_that_ran_on_all_tasks() -> None:
    runs = [finished(method, task, score=0.5) for method in ("ln", "bitfit") for task in ("rte", "sst2")]
    found = named(plots(*runs, finished("prefix", "rte")), "trained-minilm-average-points")
    assert set(traces(found)) == {None, "ln", "bitfit"}


def test_a_method_without_trained_parameters_is_a_line_on_a_logarithmic_axis() -> None:
    nothing = finished("head", score=0.4).parameters.model_copy(update={"trained": 0})
    runs = [finished("head", score=0.4, parameters=nothing), finished("ln"), finished("bitfit")]
    figure = named(plots(*runs), "trained-minilm-rte").figure
    assert "head" not in {trace.name for trace in figure.data}
    assert [(shape.y0, shape.y1) for shape in figure.layout.shapes] == [(pytest.approx(40), pytest.approx(40))]
    assert figure.layout.annotations[0].text == "head"


@pytest.mark.parametrize("decades", [0.9, 1.5, 2.5, 3.1, 6])
@pytest.mark.parametrize("start", [2.0, 2.4, 2.75, 2.9])
def test_ticks_of_a_logarithmic_axis_are_apart(start: float, decades: float) -> None:
    digits = {"D2": (1, 2, 5), 1: (1,)}[ticks([start, start + decades])]
    places = [power + log10(digit) for power in range(10) for digit in digits]
    shown = [(place - start) / decades for place in places if start <= place <= start + decades]
    assert len(shown) >= 2
    assert min(right - left for left, right in pairwise(shown)) > 0.07, "a label takes a twentieth of the axis"


def test_times_of_different_hardware_are_kept_apart() -> None:
    runs = [
        finished(method, hardware={"cpu": cpu, "threads": 2, "device": "cpu"}, score=0.5)
        for cpu in ("old", "new")
        for method in ("ln", "bitfit")
    ]
    titles = [plot.title for plot in plots(*runs) if plot.name.startswith("train_seconds")]
    assert titles == ["rte, minilm; new, 2 threads", "rte, minilm; old, 2 threads"]


def test_of_several_learning_rates_the_best_validated_one_is_shown() -> None:
    runs = [finished("ln", score=score, settings={"ln.lr": lr}) for lr, score in ((0.001, 0.6), (0.01, 0.8))]
    ln = traces(named(plots(*runs, finished("bitfit")), "trained-minilm-rte"))["ln"]
    assert ln.y == (pytest.approx(80),)


def test_a_plot_of_ranks_goes_from_the_best_to_the_worst_rank_of_each_method() -> None:
    noise = (0.001, -0.002, 0.003, -0.001)
    scores = {"ln": (0.8, 1.0), "bitfit": (0.7, -1.0), "lora": (0.8, 0.5)}
    runs = [
        finished(name, task, seed, score + scale * own)
        for name, (score, scale) in scores.items()
        for task in ("rte", "cb")
        for seed, own in enumerate(noise)
    ]
    (bar,) = named(plots(*runs), "rank-minilm").figure.data
    assert dict(zip(bar.y, bar.customdata, strict=True)) == {"ln": "1 to 2", "lora": "1 to 2", "bitfit": "3"}
    ends = {label: (start, start + length) for label, start, length in zip(bar.y, bar.base, bar.x, strict=True)}
    assert ends == {"ln": (0.75, 2.25), "lora": (0.75, 2.25), "bitfit": (2.75, 3.25)}


def test_losses_are_not_percentages_and_less_of_them_is_better() -> None:
    runs = [
        finished(
            method,
            "stsb",
            selection=Selection(metric="rmse", mode="min", score=error),
            metrics={"validation": {"rmse": error}, "test": {"rmse": error}},
        )
        for method, error in (("ln", 2.5), ("bitfit", 3.5))
    ]
    found = named(plots(*runs), "trained-minilm-stsb")
    assert found.figure.layout.yaxis.title.text == "test RMSE (from 0)"
    assert traces(found)["ln"].y == (2.5,)
    assert traces(found)[None].y == (2.5,)


def test_an_ablation_is_compared_pair_by_pair() -> None:
    whole = [finished("ln", seed=seed, score=score) for seed, score in enumerate((0.70, 0.80, 0.90))]
    part = [
        finished("ln", seed=seed, score=score, settings={"ln.terms": ["gain"]})
        for seed, score in enumerate((0.69, 0.78, 0.87))
    ]
    bars = named(plots(*whole, *part), "ablation-minilm-ln-rte").figure.data[0]
    assert bars.y == ("ln[terms=gain]",)
    assert bars.x[0] == pytest.approx(-2)
    # t(2, 97.5%) = 4.3027, and the deviation of -1, -2, -3 is 1: 4.3027 / sqrt(3).
    assert (bars.error_x.array[0], bars.error_x.arrayminus[0]) == pytest.approx((2.4842, 2.4842), abs=1e-3)


def test_two_pairs_have_no_interval() -> None:
    runs = [finished("ln", seed=seed) for seed in (0, 1)]
    part = [finished("ln", seed=seed, score=0.4, settings={"ln.terms": ["gain"]}) for seed in (0, 1)]
    bars = named(plots(*runs, *part), "ablation-minilm-ln-rte").figure.data[0]
    assert bars.error_x.array == bars.error_x.arrayminus == (0,)


def test_every_norm_of_a_record_has_a_place_in_the_heat_maps() -> None:
    assert list(NORMS) == list(get_args(Norm))


def test_a_heat_map_has_the_mean_shift_of_each_layer_and_task() -> None:
    records = [record for record in made_up(seeds=(0, 1)) if record.method == "ln"]
    figure = named(plots(*records), "shift-minilm-1").figure
    titles = [title.text for title in figure.layout.annotations]
    assert titles == ["gain, after MHA", "bias, after MHA", "gain, after FFN", "bias, after FFN"]
    bias = figure.data[1]
    assert (bias.x, bias.y) == (tuple(range(1, 7)), ("mrpc", "rte", "sst2"))
    own = [
        shift.mean_abs
        for record in records
        if record.task == "rte"
        for shift in record.shift
        if (shift.layer, shift.norm, shift.term) == (4, "mha", "bias")
    ]
    assert bias.z[1][3] == pytest.approx(sum(own) / len(own), rel=1e-3)


def test_curves_are_means_over_seeds_and_thinned(tmp_path: Path) -> None:
    write_all([finished("ln", seed=seed) for seed in (0, 1)], tmp_path, steps=5_000)
    found = load_runs(tmp_path)
    plot = named(make_plots(found, frame(found.records)), "curves-minilm-rte")
    lines = plot.figure.data
    assert [(line.name, line.yaxis) for line in lines] == [("ln", "y"), ("ln", "y2")]
    assert len(lines[1].x) == MOST_POINTS
    assert lines[0].x[-1] == lines[1].x[-1] == 5_000
    assert str(MOST_POINTS) in plot.caption


def test_runs_without_metrics_or_shift_have_no_such_plots() -> None:
    assert plots(finished("ln")) == []


def test_plots_of_a_kind_stand_together(tmp_path: Path) -> None:
    write_all(made_up(), tmp_path)
    found = load_runs(tmp_path)
    kinds = [plot.kind for plot in make_plots(found, frame(found.records))]
    assert list(dict.fromkeys(kinds)) == [
        "Ranks",
        "Score against trained parameters",
        "Score against training time",
        "Learning curves",
        "Ablations",
        "Shift of the norms",
    ]
    assert kinds == sorted(kinds, key=list(dict.fromkeys(kinds)).index)


def test_looks_differ_and_keep_to_the_palette() -> None:
    labels = [str(number) for number in range(len(COLOURS) * len(SYMBOLS))]
    found = styles(labels)
    assert len(set(found.values())) == len(labels)
    assert {look.colour for look in found.values()} == set(COLOURS)
    assert set(styles([str(number) for number in range(100)])) == {str(number) for number in range(100)}


def test_names_are_shown_and_never_read_as_tags() -> None:
    assert plain("<b>a</b> & b") == "&lt;b&gt;a&lt;/b&gt; &amp; b"


def test_without_kaleido_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usual: Callable[..., Any] = builtins.__import__

    def refuse(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("kaleido"):
            raise ImportError(name)
        return usual(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert "kaleido" in write_plots(plots(finished("ln"), finished("bitfit")), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "said"), [("ChromeNotFoundError", "none was found"), ("KaleidoError", "Kaleido")])
def test_without_a_browser_that_works_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, said: str
) -> None:
    errors = pytest.importorskip("kaleido.errors")

    def fail(*arguments: Any, **more: Any) -> None:
        raise getattr(errors, name)

    monkeypatch.setattr("kaleido.write_fig_from_object_sync", fail)
    assert said in write_plots(plots(finished("ln"), finished("bitfit")), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.browser
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_images_are_written(tmp_path: Path) -> None:
    pytest.importorskip("kaleido")
    found = plots(finished("ln"), finished("bitfit"))
    assert write_plots([named(found, "trained-minilm-rte")], tmp_path) == ""
    assert (tmp_path / "trained-minilm-rte.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "trained-minilm-rte.svg").read_text()
    assert "bitfit" in svg
    assert "Score against trained parameters" in svg
