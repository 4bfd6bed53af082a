"""Checks that a sweep survives being killed repeatedly at random moments, with damage to its files in between.

python -m scripts.chaos_sweep
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console

from lnbench.records.files import RECORD
from scripts.equal_runs import differences, finished
from tests import runs

METHODS = ("ln", "bitfit", "lora", "ln+mha_adapter")
PROGRESS_SECONDS = 120
"""Seconds without a changed file after which a sweep is killed anyway."""
console = Console(highlight=False)


def main() -> None:
    """Prints the events; exits with status 1 if the two sweeps do not end with equal results."""
    parser = argparse.ArgumentParser(prog="python -m scripts.chaos_sweep", description=__doc__)
    parser.add_argument(
        "--seeds",
        type=int,
        default=6,
        help=f"number of seeds of each of {len(METHODS)} methods (default: 6, so 24 runs)",
    )
    parser.add_argument("--kills", type=int, default=20, help="number of SIGKILLs (default: 20)")
    parser.add_argument("--random-seed", type=int, default=0, help="seed of the moments and the damage (default: 0)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos") as folder:
        problems = chaos(Path(folder), arguments.seeds, arguments.kills, random.Random(arguments.random_seed))
    for problem in problems:
        console.print(problem, style="red")
    sys.exit(bool(problems))


def chaos(folder: Path, seeds: int, kills: int, rng: random.Random) -> list[str]:
    """Does one undisturbed sweep, and the same sweep with kills and damage.

    Args:
        folder: folder to work in.
        seeds: number of seeds of each method.
        kills: number of times that the disturbed sweep is killed.
        rng: source of the moments and the damage.

    Returns:
        The differences between the sweeps; empty if all runs are equal to the last bit.
    """
    source, data = runs.save_model("bert", folder / "model"), runs.write_data(folder / "data")
    calm, fire = (_Sweep(source, data, folder / name, seeds) for name in ("calm", "fire"))
    console.print(f"undisturbed: {calm.finish():.0f} s")
    killed = 0
    while killed < kills:
        told = fire.kill(rng)
        killed += bool(told)
        damaged = fire.damage(rng, surely=not told)
        console.print(
            f"kill {killed}: {told or 'came too late'}; {damaged}; {len(finished(fire.runs_dir))} runs are finished"
        )
    console.print(f"last start: {fire.finish():.0f} s")
    console.print("compared: scores, adapters, metrics.csv and predictions")
    return differences(calm.runs_dir, fire.runs_dir, expected=seeds * len(METHODS))


class _Sweep:
    """One command, which is started as often as necessary."""

    def __init__(self, source: Path, data: Path, runs_dir: Path, seeds: int) -> None:
        self.runs_dir = runs_dir
        swept = [f"method={','.join(METHODS)}", f"seed={','.join(map(str, range(seeds)))}"]
        settings = ["hydra.launcher.cpu_slots=2", "trainer.checkpoint_minutes=0.0001"]
        single = [one for one in runs.overrides(source, data, runs_dir) if not one.startswith("method=")]
        self.command = [sys.executable, "-m", "lnbench", "-m", *single, *swept, *settings]

    def finish(self) -> float:
        """Starts the sweep and waits for its end; returns the seconds it took."""
        started = time.perf_counter()
        self._start().wait()
        return time.perf_counter() - started

    def kill(self, rng: random.Random) -> str:
        """Starts the sweep, and kills all of it or one of its processes soon after its next progress.

        Returns:
            The number of killed processes, as text; empty if the sweep ended before.
        """
        process = self._start()
        self._await_progress(process)
        time.sleep(rng.uniform(0, 2))
        if process.poll() is not None:
            return ""
        family = [one.pid for one in psutil.Process(process.pid).children(recursive=True)]
        victims = [process.pid, *family] if rng.random() < 0.7 or not family else [rng.choice(family)]
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        if process.pid not in victims:
            time.sleep(rng.uniform(0, 2))
            process.kill()
        process.wait()
        return f"{len(victims)} of {1 + len(family)} processes"

    def damage(self, rng: random.Random, surely: bool) -> str:
        """Truncates a file of a random run or flips one of its bits: always if `surely`, else every other time."""
        files = sorted(
            file for file in self.runs_dir.rglob("*") if file.name == RECORD or file.suffix == ".safetensors"
        )
        if not files or (rng.random() < 0.5 and not surely):
            return "no damage"
        path = rng.choice(files)
        content = bytearray(path.read_bytes())
        if rng.random() < 0.5:
            path.write_bytes(content[: rng.randrange(len(content))])
            return f"{path.name} truncated"
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        return f"a bit of {path.name} flipped"

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(self.command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _await_progress(self, process: "subprocess.Popen[bytes]") -> None:
        started = time.time()
        while process.poll() is None and time.time() - started < PROGRESS_SECONDS:
            files = (file for file in self.runs_dir.glob("*/*/*/*/**/*") if file.is_file())
            with contextlib.suppress(FileNotFoundError):
                if any(file.stat().st_mtime > started for file in files):
                    return
            time.sleep(0.05)


if __name__ == "__main__":
    main()
