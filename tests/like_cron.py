"""How cron starts a job.

Debian's, cronie's and the BSDs' crons call `execle(shell, shell, "-c", command, NULL, environ)` in
a session of its own, in the user's home, with a small environment, and with pipes as its standard
streams. What follows a bare `%` in the line is all there is on standard input.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from support import PATIENCE

CRONS_PATH = "/usr/bin:/bin"  # crontab(5)
PIPES: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
NONE: Mapping[str, str] = {}


class JobEnd(NamedTuple):
    """How a job ended: a negative status is the number of the signal that killed it."""

    status: int
    stdout: bytes
    stderr: bytes


def environment(shell: str | Path, home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return a job's whole environment; *more* is what the crontab assigns."""
    ours = {"AUTOTASK_DOGSTATSD": "0"}  # an Agent may be listening on this machine
    if "AUTOTASK_DEBUG" in os.environ:
        ours["AUTOTASK_DEBUG"] = os.environ["AUTOTASK_DEBUG"]
    usual = {"HOME": str(home), "LOGNAME": "ann", "PATH": CRONS_PATH, "SHELL": str(shell)}
    return {**usual, **ours, **more}


def start(
    shell: str | Path, command: str | bytes, home: Path, more: Mapping[str, str] = NONE
) -> subprocess.Popen[bytes]:
    """Start a job."""
    return subprocess.Popen(
        [str(shell), "-c", command],
        env=environment(shell, home, more),
        cwd=home,
        **PIPES,
        start_new_session=True,
    )


def run(
    shell: str | Path,
    command: str | bytes,
    home: Path,
    stdin: bytes = b"",
    more: Mapping[str, str] = NONE,
) -> JobEnd:
    """Run a job to its end."""
    return end_of(start(shell, command, home, more), stdin)


def end_of(job: subprocess.Popen[bytes], stdin: bytes = b"") -> JobEnd:
    with job:
        stdout, stderr = job.communicate(stdin, timeout=PATIENCE)
    return JobEnd(job.returncode, stdout, stderr)
