"""A clean environment for each test; a test fails if an error of our own was swallowed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import redis_server
from support import INSTALLED, PYTHON, RUBY, TEMPLATE, Datagrams

_OURS = ("AUTOTASK_", "DD_", "PYTHON", "RUBY")
_KEPT = "PYTHONDONTWRITEBYTECODE"
_TRIGGERS = (  # would show what started the tests
    *("CI", "BUILD_ID", "TF_BUILD", "TEAMCITY_VERSION", "JENKINS_URL"),
    *("KUBERNETES_SERVICE_HOST", "INVOCATION_ID", "container", "NOMAD_ALLOC_ID"),
    *("ECS_CONTAINER_METADATA_URI", "ECS_CONTAINER_METADATA_URI_V4"),
)
_NO_AGENT = "udp://127.0.0.1:9"  # refused: no test talks to an Agent of the machine


@pytest.fixture(autouse=True, scope="session")
def environment() -> Iterator[None]:
    """Remove the machine's settings for all tests, and for what test modules set up."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if (name.startswith(_OURS) and name != _KEPT) or name in _TRIGGERS:
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def interrupts() -> None:
    """Give the programs the signals of a terminal: under `nohup` or `&` they would ignore them.

    A program that is started does not inherit a handler: the tests go on after a SIGHUP, it ends.
    """
    for number, usual in (
        (signal.SIGHUP, lambda *_: None),
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test and the programs that it starts a separate home."""
    place = tmp_path / "autotask-home"
    monkeypatch.setenv("AUTOTASK_HOME", str(place))
    monkeypatch.setenv("DD_DOGSTATSD_URL", _NO_AGENT)
    return place


@pytest.fixture(autouse=True)
def swallowed(
    request: pytest.FixtureRequest, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Fail a test if an error of our own was swallowed in any process.

    Gives the debug log. `@pytest.mark.swallows` is for tests that provoke such an error.
    """
    log = tmp_path / "autotask-debug.log"
    monkeypatch.setenv("AUTOTASK_DEBUG", str(log))
    yield log
    if log.exists() and request.node.get_closest_marker("swallows") is None:
        found = [line for line in log.read_text().splitlines() if "autotask: swallowed" in line]
        assert not found, "\n".join(found)


@pytest.fixture
def datagrams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Datagrams]:
    """Listen as a Datadog Agent does; the programs of the test send there."""
    agent = Datagrams()
    monkeypatch.setenv("DD_DOGSTATSD_URL", agent.url)
    yield agent
    agent.close()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one redis server for all tests of this process; each takes keys or databases of its own.

    Without a server on this machine the test is skipped.
    """
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """Copy what is installed into the test's folder, and return the folder to inject."""
    place = tmp_path / "installed here"
    for part in (TEMPLATE, RUBY, INSTALLED / "autotask"):
        shutil.copytree(part, place / part.name, ignore=shutil.ignore_patterns("__pycache__"))
    return place / TEMPLATE.name


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Install a copy of autotask, to be broken, beside this Python."""
    prefix = tmp_path / "copied"
    site = prefix / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    for part in (TEMPLATE, TEMPLATE.parent / "autotask"):
        shutil.copytree(
            part, site / part.name, ignore=shutil.ignore_patterns("__pycache__", "tool")
        )
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python3").symlink_to(PYTHON)
    shutil.copy(TEMPLATE.parent / "bin" / "autotask-run", prefix / "bin")
    return prefix


@pytest.fixture
def as_process_1() -> list[str]:
    """Return the words that run the following command as process 1, as in a container."""
    words = ["unshare", "--pid", "--fork", "--mount-proc"]
    if (
        os.geteuid()
        or subprocess.run([*words, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("unshare --pid is not allowed here")
    return words
