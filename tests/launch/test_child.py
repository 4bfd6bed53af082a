"""The output of a job is in its log, and that of others is not."""

import subprocess
import sys
from pathlib import Path

JOB = """
import os, sys
from pathlib import Path
from lnbench.launch.child import writing_to

print("before")
with writing_to(Path(sys.argv[1])):
    print("printed")
    os.write(2, b"below Python\\n")
    os.system("echo by a program")
print("after")
os.write(2, b"at the end\\n")
"""


def test_what_a_process_says_after_a_job_is_not_in_the_jobs_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = subprocess.run([sys.executable, "-c", JOB, str(log)], check=True, capture_output=True, text=True)
    assert log.read_text() == "printed\nbelow Python\nby a program\n"
    assert (done.stdout, done.stderr) == ("before\nafter\n", "at the end\n")
