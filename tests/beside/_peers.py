"""Peers: tools that start inside other people's processes as we do, each in its own environment.

An environment is built once and kept in build/beside; its tests are skipped if that fails.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import environments
import pytest
from support import Ended

PLACE = Path(__file__).resolve().parents[2] / "build" / "beside"

# What is installed for a peer: its newest major, or the one before it on an older Python.
PEERS = {
    "ddtrace": "ddtrace<5",
    "opentelemetry": "opentelemetry-distro>=0.60b0 opentelemetry-instrumentation-click>=0.60b0",
    "newrelic": "newrelic<15",
    "elasticapm": "elastic-apm<7",
    "coverage": "coverage<8",
    "gevent": "gevent<27",
    "debugpy": "debugpy<2",
    "ipykernel": "ipykernel<8 jupyter-client<9",
    "joblib": "joblib<2",
    "pip": "pip<30 setuptools<90",
    "supervisor": "supervisor<5 setuptools<81",
    "yacron": "yacron<1",
    "dotenv": "python-dotenv[cli]<2",
    "pyinstaller": "pyinstaller<7",
    "pex": "pex<3",
}
# Most of their modules are never imported; the first program compiles the rest.
_INSTALL = (
    "install --quiet --disable-pip-version-check --retries 1 --timeout 30 --no-compile"
).split()

# Our frame in a traceback, with the code and the marks below it.
_OURS = re.compile(r'  File "[^"]*/autotask/[^"]*", line \d+, in autotask_\w+\n(    .*\n)+')


def environment(peer: str) -> dict[str, str | None]:
    """Return the variables with which a program finds *peer* and Click; skip without them."""
    problem = build(folder(peer), f"click {PEERS[peer]}")
    if problem:
        pytest.skip(f"{peer} cannot be installed: {problem}")
    return {"PATH": f"{folder(peer) / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def without_us(ended: Ended) -> Ended:
    """Return what must be as without the agent: all but our frames in a traceback."""
    return Ended(ended.status, ended.stdout, _OURS.sub("", ended.stderr))


def folder(peer: str) -> Path:
    """Return the environment of a peer, which may not exist yet."""
    return PLACE / "{}-{}.{}.{}".format(peer, *sys.version_info[:3])


@cache
def build(place: Path, wanted: str) -> str:
    """Build an environment if it does not exist yet; return the reason if that is impossible."""
    stamp, python = place / ".ready", place / "bin" / "python"
    with _lock(place):
        if stamp.exists() and stamp.read_text() == wanted and python.exists():
            return ""
        shutil.rmtree(place, ignore_errors=True)
        environments.make(place)
        problem = _run("pip", "--python", str(python), *_INSTALL, *wanted.split())
        if not problem:
            stamp.write_text(wanted)
        return problem


@contextmanager
def _lock(place: Path) -> Iterator[None]:
    """Keep the other workers of pytest-xdist waiting."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(module: str, *words: str) -> str:
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    return next((line for line in said if line.startswith("ERROR")), " ".join(said[-1:]))
