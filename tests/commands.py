"""The commands of lnbench, called in the process of a test."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from lnbench import decide, export, params, predict, submit, verify
from lnbench.__main__ import main
from lnbench.cli import IN_THIS_PROCESS
from lnbench.report import __main__ as report
from lnbench.runs import __main__ as listing


def words_of(line: str) -> list[str]:
    """The words that bash makes of a command."""
    script = f"printf '%s\\0' {line}"
    out = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout
    return os.fsdecode(out).split("\0")[:-1]


class Done(NamedTuple):
    """How a command ended."""

    code: object
    """0, or an exit code or message of failure."""
    out: str
    err: str


class Commands:
    """What can be typed behind `python -m`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command changes it; monkeypatch puts it back

    def lnbench(self, *overrides: object) -> Done:
        """A run."""
        return self._call(main, *overrides, IN_THIS_PROCESS)

    def params(self, *arguments: object) -> Done:
        """A table of parameter counts."""
        return self._call(params.main, *arguments)

    def predict(self, *arguments: object) -> Done:
        """Answers of a tuned model."""
        return self._call(predict.main, *arguments)

    def report(self, *arguments: object) -> Done:
        """Tables and verdicts."""
        return self._call(report.main, *arguments)

    def runs(self, *arguments: object) -> Done:
        """The list of runs."""
        return self._call(listing.main, *arguments)

    def submit(self, *arguments: object) -> Done:
        """A packed file of runs."""
        return self._call(submit.main, *arguments)

    def verify(self, *arguments: object) -> Done:
        """A check of published runs."""
        return self._call(verify.main, *arguments)

    def decide(self, *arguments: object) -> Done:
        """Runs until a claim is decided."""
        return self._call(decide.main, *arguments)

    def export(self, *arguments: object) -> Done:
        """Files for others."""
        return self._call(export.main, *arguments)

    def _call(self, command: Callable[[], None], *arguments: object) -> Done:
        self.capsys.readouterr()
        self.monkeypatch.setattr(sys, "argv", ["lnbench", *map(str, arguments)])
        code: object = 0
        try:
            command()
        except SystemExit as end:
            code = end.code or 0
        return Done(code, *self.capsys.readouterr())
