"""Checks a sweep on Ray over two hosts that share nothing, while their link breaks and the cluster's head dies.

Each host is a network, mount, process and name space of its own on this machine, with an address, a disk in memory, and
nothing else that it can write. One cable joins them. This needs Linux, root and lnbench[ray].

python -m scripts.two_hosts
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from scripts.equal_runs import differences, finished
from tests import runs

T = TypeVar("T")
METHODS = ("ln", "bitfit")
PORT = 6379
HEAD, OTHER = "10.77.0.1", "10.77.0.2"
PATIENCE_SECONDS = 900
console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Prints the events; exits with status 1 if the runs are not equal to those of a sweep in one process."""
    parser = argparse.ArgumentParser(prog="python -m scripts.two_hosts", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help=f"of each of {len(METHODS)} methods (default: 3)")
    parser.add_argument("--epochs", type=int, default=20, help="of each run (default: 20)")
    parser.add_argument("--cut", type=int, default=60, help="seconds that the other host is cut off (default: 60)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hosts") as name:
        folder = Path(name)
        runs.save_model("bert", folder / "model")
        runs.write_data(folder / "data")
        calm = folder / "calm"
        swept = [f"method={','.join(METHODS)}", f"seed=range(0,{arguments.seeds})"]
        swept.append(f"trainer.max_epochs={arguments.epochs}")
        alone = [sys.executable, "-m", "lnbench", "-m", *_overrides(folder, calm), *swept, "hydra/launcher=basic"]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as the hosts have it; numbers depend on it
        subprocess.run(alone, check=True, env=one_thread, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        console.print(f"in one process: {len(finished(calm))} runs")
        with Experiment(folder, swept) as experiment:
            happen(experiment, arguments.cut)
            problems = differences(calm, experiment.runs_dir, len(METHODS) * arguments.seeds)
            problems += [f"the other host has {path}" for path in experiment.other.own(experiment.disk).glob("runs*")]
    for problem in problems:
        console.print(problem, style="red")
    if not problems:
        console.print(
            "every run is finished once, on the head alone: scores, adapters, metrics.csv and predictions are equal"
        )
    sys.exit(bool(problems))


def happen(experiment: "Experiment", cut: int) -> None:
    """Does the sweep, with what goes wrong in between.

    Args:
        experiment: the two hosts.
        cut: seconds that the other host is cut off.
    """
    head, other = experiment.head, experiment.other
    experiment.ray_starts(head, other)
    sweep = experiment.sweep_starts("first")
    experiment.await_run(other, sweep)
    other.link(up=False)
    experiment.tell("the other host is cut off")
    time.sleep(cut)
    other.link(up=True)
    experiment.tell("the link is back")
    experiment.await_ray_or_run(other, sweep)
    if not other.has("raylet"):
        experiment.tell("Ray has ended itself on the other host, as the head has given it up; it is started again")
        experiment.ray_starts(other)
    experiment.await_run(other, sweep)
    head.kill("gcs_server")
    experiment.tell("the head's process dies")
    experiment.ends(sweep, "first")
    for host in head, other:
        host.run(sys.executable, "-m", "ray.scripts.scripts", "stop", "--force")
    experiment.ray_starts(head, other)
    experiment.ends(experiment.sweep_starts("second"), "second")


class Host:
    """A machine of its own: its processes see one disk, one network card, and no process of another host."""

    def __init__(self, name: str, address: str, disk: Path) -> None:
        """
        Args:
            name: name of the host.
            address: its address in the network of the hosts.
            disk: folder that becomes the host's own disk, at the same path on each host.

        Raises:
            OSError: this machine or user cannot make namespaces.
        """
        self.name, self.address, self.disk = name, address, disk
        script = f"hostname {name} && mount -t tmpfs disk {disk} && mount -t tmpfs shm /dev/shm"
        script += " && mount -o remount,bind,ro / && exec sleep infinity"
        spaces = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._spaces = subprocess.Popen([*spaces, "sh", "-c", script])
        self._first = _wait(self._child, "the host's first process")
        _wait(lambda: self._child() and (self.own(disk).is_mount() or None), "the host's disk")

    def own(self, path: Path) -> Path:
        """A path of the host as this process sees it."""
        return Path(f"/proc/{self._first}/root{path}")

    def plug(self, card: str) -> None:
        """Gives the host one end of a cable, and brings it up with the host's address."""
        _run("ip", "link", "set", card, "netns", str(self._first))
        self.run("ip", "link", "set", card, "name", "eth0")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "lo", "up")
        self.link(up=True)

    def link(self, up: bool) -> None:
        """Connects the host to the other, or cuts it off."""
        self.run("ip", "link", "set", "eth0", "up" if up else "down")
        if up:
            self.run("ip", "route", "replace", "default", "dev", "eth0")  # by which Ray finds the host's own address

    def run(self, *command: str) -> None:
        """Runs a command on the host, and shows its output only if it fails."""
        _run(*self._inside(command))

    def start(self, *command: str, log: Path) -> "subprocess.Popen[bytes]":
        """Starts a command on the host."""
        with log.open("ab") as file:
            return subprocess.Popen(self._inside(command), stdout=file, stderr=subprocess.STDOUT)

    def has(self, name: str) -> bool:
        """Whether a program of that name runs on the host."""
        return bool(self._processes(name))

    def kill(self, name: str) -> None:
        """Kills the programs of the host that have a name."""
        for process in self._processes(name):
            self.run("kill", "-KILL", process)

    def close(self) -> None:
        """Ends all processes of the host."""
        self._spaces.kill()
        self._spaces.wait()

    def _processes(self, name: str) -> list[str]:
        """The host's own numbers of the processes of a program."""
        found = []
        for folder in self.own(Path("/proc")).glob("[0-9]*"):
            with suppress(OSError):
                if Path((folder / "cmdline").read_text().partition("\0")[0]).name == name:
                    found.append(folder.name)
        return found

    def _child(self) -> int | None:
        if self._spaces.poll() is not None:
            raise OSError("namespaces cannot be made here; this needs Linux and root")
        children = Path(f"/proc/{self._spaces.pid}/task/{self._spaces.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def _inside(self, command: tuple[str, ...]) -> list[str]:
        inside = [
            "nsenter",
            f"--target={self._first}",
            "--net",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "env",
            f"--chdir={self.disk}",
        ]
        settings = {"TMPDIR": self.disk, "HOME": self.disk, "OMP_NUM_THREADS": 1, "PYTHONPATH": Path.cwd()}
        settings |= {"RAY_USAGE_STATS_ENABLED": 0, "RAY_worker_niceness": 0, "PYTHONDONTWRITEBYTECODE": 1}
        return [*inside, *(f"{key}={value}" for key, value in settings.items()), *command]


class Experiment:
    """One sweep on two hosts: a head, on which the launcher runs too, and another."""

    def __init__(self, folder: Path, swept: Sequence[str]) -> None:
        """
        Args:
            folder: folder with the model and the data.
            swept: overrides of the sweep, besides model and data.
        """
        self._folder, self._swept = folder, swept
        self.disk = folder / "disk"
        self.disk.mkdir()
        self._started = time.monotonic()

    def __enter__(self) -> "Experiment":
        self.head, self.other = Host("head", HEAD, self.disk), Host("other", OTHER, self.disk)
        _run("ip", "link", "add", "lnbench0", "type", "veth", "peer", "name", "lnbench1")
        self.head.plug("lnbench0")
        self.other.plug("lnbench1")
        for host in self.head, self.other:
            for name in "model", "data":
                shutil.copytree(self._folder / name, host.own(self.disk) / name)
        return self

    def __exit__(self, *_: object) -> None:
        self.head.close()
        self.other.close()

    @property
    def runs_dir(self) -> Path:
        """The folder of the runs on the head, as this process sees it."""
        return self.head.own(self.disk) / "runs"

    def tell(self, text: str) -> None:
        """Prints an event with its time, and the runs that are under way and finished."""
        doing = {host.name: self._doing(host) for host in (self.head, self.other)}
        where = "; ".join(f"{host} does {', '.join(ids)}" for host, ids in doing.items() if ids)
        count = len(finished(self.runs_dir)) if self.runs_dir.is_dir() else 0
        console.print(
            f"{time.monotonic() - self._started:5.0f} s  {text} ({where or 'no run is under way'}; {count} finished)"
        )

    def await_run(self, host: Host, sweep: "subprocess.Popen[bytes]") -> None:
        """Waits until a run is under way on a host."""
        _wait(lambda: bool(self._doing(host)) or sweep.poll() is not None or None, f"a run on {host.name}")
        self.tell(f"a run is under way on {host.name}")

    def await_ray_or_run(self, host: Host, sweep: "subprocess.Popen[bytes]") -> None:
        """Waits until Ray ends itself on a host, or goes on there with a run."""
        _wait(lambda: not host.has("raylet") or bool(self._doing(host)) or sweep.poll() is not None or None, "Ray")

    def ends(self, sweep: "subprocess.Popen[bytes]", name: str) -> None:
        """Waits for the end of a sweep, and prints what it wrote."""
        _wait(sweep.poll, "the end of the sweep")
        self.tell(f"the {name} command ends with exit code {sweep.returncode}; it wrote:")
        console.print(*((self._folder / f"{name}.log").read_text().strip().splitlines()), sep="\n         | ")

    def _doing(self, host: Host) -> list[str]:
        """The runs that a worker is doing on a host."""
        return [folder.name for folder in host.own(self.disk).glob("tmp*/runs/*/*/*/*")]

    def ray_starts(self, *hosts: Host) -> None:
        """Starts Ray on hosts, the head first."""
        for host in hosts:
            place = ["--head", f"--port={PORT}", "--include-dashboard=false"]
            if host is self.other:
                place = [f"--address={HEAD}:{PORT}"]
            options = [f"--node-ip-address={host.address}", "--num-cpus=1", "--object-store-memory=80000000"]
            options += ["--disable-usage-stats", f"--temp-dir={self.disk}/ray"]
            host.run(sys.executable, "-m", "ray.scripts.scripts", "start", *place, *options)
            self.tell(f"Ray starts on {host.name}")

    def sweep_starts(self, name: str) -> "subprocess.Popen[bytes]":
        """Gives the command on the head; its output goes to a file of that name."""
        launcher = ["hydra/launcher=ray", "hydra.launcher.results=collect", f"hydra.launcher.address={HEAD}:{PORT}"]
        overrides = _overrides(self.disk, self.disk / "runs")
        command = [sys.executable, "-m", "lnbench", "-m", *overrides, *self._swept, *launcher]
        self.tell("the sweep starts on the head")
        return self.head.start(*command, log=self._folder / f"{name}.log")


def _overrides(folder: Path, runs_dir: Path) -> list[str]:
    """The overrides of a tiny run whose model and data are in a folder."""
    overrides = runs.overrides(folder / "model", folder / "data", runs_dir)
    return [override for override in overrides if not override.startswith("method=")]


def _wait(condition: Callable[[], T | None], what: str) -> T:
    end = time.monotonic() + PATIENCE_SECONDS
    while (value := condition()) is None:
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not in {PATIENCE_SECONDS} seconds")
        time.sleep(0.05)
    return value


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout)


if __name__ == "__main__":
    main()
