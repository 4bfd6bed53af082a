"""Does all measurements on one GPU in 20 minutes, with nobody there, and saves each as soon as it is done.

python -m scripts.gpu_day --out gpu.json
python -m scripts.gpu_day --out small.json --small

Each measurement is a benchmark of this folder in a process of its own. So one that fails, hangs or runs out of memory
costs no other. The most important come first; those that do not fit into `--minutes` are left out. A command that was
stopped goes on where it was, if it gets the same file again. `--small` has tiny models and few repeats, for a machine
without a GPU: it shows that everything works, and its numbers mean nothing. Nothing is downloaded.

Times are medians, with quartiles. A target that is missed is no error.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from lnbench.arguments import number_between
from lnbench.core.atomic_files import write_atomically
from scripts.throughput.quartiles import Quartiles

Report = Mapping[str, Any]
LARGE = ["model=bert_large", "--random-weights"]
TINY = ["model=bert_base", "--random-weights", "model.shape.hidden_size=16", "model.shape.num_hidden_layers=2"]
TINY += ["model.shape.num_attention_heads=2", "model.shape.intermediate_size=32"]
ROWS, LENGTH = 2_400, 500
"""Rows of the made-up texts, and words of each; no row here has as many tokens."""
WORDS = "the of and to in is that for it was on are as with his they at be this have from or one had by word but not"
MOST_SECONDS = 400.0
"""Longest time of one measurement."""
STEP, TRAINING = ["--only", "step", "--length"], ["--only", "end_to_end", "--methods", "ln"]


@dataclass(frozen=True)
class Figure:
    """One number that a measurement gives.

    Attributes:
        name: what it is, with its unit.
        read: function that finds the quartiles, or a number without any, in a benchmark's report.
        target: bound to reach; None if there is none.
        at_most: whether the bound is an upper one.
    """

    name: str
    read: Callable[[Report], Quartiles | float]
    target: float | None = None
    at_most: bool = False


@dataclass(frozen=True)
class Measurement:
    """One benchmark, and what its report tells.

    Attributes:
        name: name of the measurement.
        arguments: module and options of the benchmark.
        figures: numbers of its report.
    """

    name: str
    arguments: Sequence[str]
    figures: Sequence[Figure]


def main() -> None:
    """Entry point of the script."""
    options = _parser().parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts.csv"
        texts.write_text(_texts(200 if options.small else ROWS))
        chosen = [one for one in measurements(texts, options.small) if one.name in (options.only or [one.name])]
        results = _known(options.out)
        for one in chosen:
            known = results.get(one.name, {})
            if "figures" in known and known["command"] == _command(one, Path(folder)):
                continue
            results[one.name] = measure(one, Path(folder), deadline - time.monotonic(), compiles=not options.small)
            write_atomically(options.out, json.dumps(results, indent=2) + "\n")
            print("\n".join(told(one, results[one.name])), flush=True)


def measurements(texts: Path, small: bool) -> list[Measurement]:
    """All measurements, the most important ones first.

    Args:
        texts: file of labelled texts, each longer than a row.
        small: whether to take tiny models and few repeats.
    """
    large = [*(TINY if small else LARGE), f"trainer.batch_size={4 if small else 32}"]
    bf16, length = f"trainer.precision={'fp32' if small else 'bf16'}", "16" if small else "128"
    times = ["--repeats", "2" if small else "20"]
    rounds = ["--rounds", "1" if small else "3", "--steps", "2" if small else "30"]
    runs = ["--runs", "2", "--rounds", "1", "--steps", "5"] if small else ["--runs", "16", "--rounds", "2"]
    throughput, data = "scripts.bench_throughput", ["task=csv", f"task.path={texts}"]
    step = [throughput, *large, bf16, *STEP, length, *times]
    training = [throughput, *large, bf16, *data, *TRAINING, *rounds]
    minilm = [throughput, *(large if small else ["trainer.batch_size=32"]), *STEP, length, *times]
    return [
        Measurement(
            "step",
            [*step, "--methods", "ln", "full"],
            [
                _seconds("LN", "lnbench", "ln"),
                _seconds("full", "lnbench", "full"),
                _seconds("LN of peft", "hf", "ln"),
                Figure("LN / full", _of("step", "lnbench", "ln", "of_full"), 0.65, at_most=True),
                Figure("speed / peft", _of("step", "hf", "ln", "lnbench_ratio")),
            ],
        ),
        Measurement(
            "trainer",
            [*training, f"task.max_length={length}", "--frameworks", "lnbench", "hf"],
            [
                _rate("LN", "lnbench"),
                _rate("LN of Trainer with peft", "hf"),
                Figure("speed / Trainer with peft", _of("end_to_end", "hf", "ln", "lnbench_ratio"), 1.5),
            ],
        ),
        Measurement(
            "long_rows",
            [*training, f"task.max_length={32 if small else 384}", "--frameworks", "lnbench"],
            [_rate("LN with 384 tokens", "lnbench", target=1_000)],
        ),
        Measurement(
            "fused",
            ["scripts.bench_fused", *runs, "trainer.batch_size=4" if small else "trainer.batch_size=32"],
            [
                Figure("together, rows/s", lambda report: report["rows"]["together"]["samples_per_second"]),
                Figure("speed / one after the other", lambda report: report["rows"]["together"]["speedup"], 5),
            ],
        ),
        Measurement(
            "minilm_bf16",
            [*minilm, bf16, "--methods", "ln", "full"],
            [*_of_step("lnbench"), _seconds("peft", "hf", "ln")],
        ),
        Measurement(
            "minilm_fp32",
            [*minilm, "trainer.precision=fp32", "--methods", "ln", "full"],
            [*_of_step("lnbench"), _seconds("peft", "hf", "ln")],
        ),
        Measurement("compile", [*step, "--methods", "ln", "--compile"], _of_compiled("lnbench, compiled")),
        Measurement("graphs", [*step, "--methods", "ln", "--graphs"], _of_compiled("lnbench, CUDA graphs")),
        Measurement(
            "saved",
            ["scripts.bench_saved", *(one for one in large if one != "--random-weights"), "--length", length],
            [
                Figure(f"{name}, {number_format}, bytes", _bytes(name, number_format))
                for number_format in ("fp32", "bf16")
                for name in ("lnbench", "hf")
            ],
        ),
    ]


def measure(one: Measurement, folder: Path, seconds: float, compiles: bool) -> dict[str, Any]:
    """Does a measurement; returns JSON values: its `figures` and whole `report`, or a `problem`.

    Args:
        one: the measurement.
        folder: folder for the report.
        seconds: time that is left. Without any, the measurement is left out.
        compiles: whether torch.compile compiles; else it only seems to.
    """
    result: dict[str, Any] = {
        "command": _command(one, folder),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if seconds <= 0:
        return {**result, "problem": "left out: the time was up"}
    file = folder / f"{one.name}.json"
    command = [sys.executable, "-m", *one.arguments, "--save", str(file)]
    environment = {**os.environ, **({} if compiles else {"TORCH_COMPILE_DISABLE": "1"})}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=min(seconds, MOST_SECONDS), check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        return {**result, "problem": f"stopped after {error.timeout:.0f} s"}
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        return {**result, "problem": "\n".join(said[-5:]) or f"ended with {done.returncode}"}
    report = json.loads(file.read_text())
    return {
        **result,
        "device": _device(report),
        "versions": report["versions"],
        "figures": {figure.name: _figure(figure, report) for figure in one.figures},
        "report": report,
    }


def told(one: Measurement, result: Report) -> list[str]:
    """A measurement for people, in lines: its numbers, with quartiles and targets, or its problem."""
    if "problem" in result:
        return [f"{one.name}: {result['problem']}"]
    return [f"{one.name} on {result['device']}", *(_line(name, own) for name, own in result["figures"].items())]


def _line(name: str, own: Report) -> str:
    spread = f" ({own['low']:,.4g} to {own['high']:,.4g})" if "low" in own else ""
    bound = f"; target {'at most' if own['at_most'] else 'at least'} {own['target']:,g}" if "target" in own else ""
    met = f", {'reached' if own['reached'] else 'missed'}" if "reached" in own else ""
    return f"  {name}: {own['median']:,.4g}{spread}{bound}{met}"


def _figure(figure: Figure, report: Report) -> dict[str, Any]:
    """The number as JSON values, with its target."""
    found = figure.read(report)
    values: dict[str, Any] = dict(found) if isinstance(found, Mapping) else {"median": found}
    if figure.target is None:
        return values
    median = values["median"]
    reached = median <= figure.target if figure.at_most else median >= figure.target
    return {**values, "target": figure.target, "at_most": figure.at_most, "reached": bool(reached)}


def _of(part: str, framework: str, method: str, value: str) -> Callable[[Report], Quartiles]:
    """Finds a value of one framework and method in a report of `bench_throughput`."""

    def read(report: Report) -> Quartiles:
        rows = [row for row in report[part] if (row["framework"], row["method"]) == (framework, method)]
        found: Quartiles = rows[0][value]
        return found

    return read


def _seconds(name: str, framework: str, method: str) -> Figure:
    return Figure(f"{name}, s", _of("step", framework, method, "seconds"))


def _rate(name: str, framework: str, target: float | None = None) -> Figure:
    return Figure(f"{name}, rows/s", _of("end_to_end", framework, "ln", "samples_per_second"), target)


def _of_step(framework: str) -> list[Figure]:
    ratio = Figure("LN / full", _of("step", framework, "ln", "of_full"), 0.65, at_most=True)
    return [_seconds("LN", framework, "ln"), _seconds("full", framework, "full"), ratio]


def _of_compiled(framework: str) -> list[Figure]:
    ratio = Figure("time / time without", _of("step", framework, "ln", "lnbench_ratio"))
    return [_seconds("LN", "lnbench", "ln"), _seconds(framework, framework, "ln"), ratio]


def _bytes(name: str, number_format: str) -> Callable[[Report], float]:
    return lambda report: next(
        float(row["bytes"][name]) for row in report["rows"] if row["format"] == number_format and row["method"] == "ln"
    )


def _command(one: Measurement, folder: Path) -> list[str]:
    """The command of a measurement, without the temporary folder."""
    return ["python", "-m", *(word.replace(f"{folder}{os.sep}", "") for word in one.arguments)]


def _device(report: Report) -> str:
    hardware = report["hardware"]
    return str(hardware.get("gpu", hardware["cpu"]))


def _known(out: Path) -> dict[str, dict[str, Any]]:
    """What an earlier command saved in the same file."""
    known: dict[str, dict[str, Any]] = json.loads(out.read_text()) if out.exists() else {}
    return known


def _texts(rows: int) -> str:
    """Labelled texts of common words, as CSV."""
    draw, words = random.Random(0), WORDS.split()
    lines = (f"{' '.join(draw.choices(words, k=LENGTH))},{draw.randrange(2)}" for _ in range(rows))
    return "text,label\n" + "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.gpu_day", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("gpu_day.json"), help="JSON file (default: gpu_day.json)")
    parser.add_argument(
        "--minutes", type=number_between(0, inf), default=20.0, help="minutes after which it ends (default: 20)"
    )
    parser.add_argument("--small", action="store_true", help="tiny models and few repeats, to try it on a CPU")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="do only these measurements")
    return parser


if __name__ == "__main__":
    main()
