"""Peers: tools that start inside other people's processes as we do, each in its own environment.

An environment is built once and kept in build/beside; its tests are skipped if that fails.
"""

from __future__ import annotations

import os
import re
import sys
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
# Our frame in a traceback, with the code and the marks below it.
_OURS = re.compile(r'  File "[^"]*/autotask/[^"]*", line \d+, in autotask_\w+\n(    .*\n)+')


def environment(peer: str) -> dict[str, str | None]:
    """Return the variables with which a program finds *peer* and Click; skip without them."""
    problem = environments.build(folder(peer), f"click {PEERS[peer]}")
    if problem:
        pytest.skip(f"{peer} cannot be installed: {problem}")
    return {"PATH": f"{folder(peer) / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def without_us(ended: Ended) -> Ended:
    """Return what must be as without the agent: all but our frames in a traceback."""
    return Ended(ended.status, ended.stdout, _OURS.sub("", ended.stderr))


def folder(peer: str) -> Path:
    """Return the environment of a peer, which may not exist yet."""
    return PLACE / "{}-{}.{}.{}".format(peer, *sys.version_info[:3])
