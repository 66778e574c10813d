"""Run a framework's own test suite bare and under the agent, and compare each test's outcome.

Both runs of a pair have the same interpreter, the same environment, a fresh copy of the source in
the same place, and a terminal.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 4  # how often a suite is run both ways, at most, to understand a difference
LIMIT = 1200  # seconds for one run of a suite
OWN_TESTS = ROOT / "tests" / "ruby" / "own_tests.rb"

Outcomes = dict[str, str]  # of each test, by its name
_BAD = ("failure", "error")
_KIND = re.compile(r'(?:failed on \w+ with ")?([\w.]+)')  # of an exception, at a message's begin

# Outside the tested environment; hangs up when it is killed.
_ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
_TEST_FAILURES = (0, 1)  # pytest's statuses if all tests were run


class CannotRunError(Exception):
    """A suite cannot be run, bare or under the agent."""


@dataclass
class Environment:
    """An interpreter with pytest, and the source distribution whose suite it runs."""

    python: Path
    source: Path  # the archive
    place: Path  # a folder that it may write to
    options: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[str, ...] = ("tests",)
    tool: ClassVar[str] = "pytest"

    def run(self, name: str, more: Mapping[str, str], limit: float = LIMIT) -> Outcomes:
        """Run the suite once; return the outcome of each of its tests."""
        report, log = self.place / f"{name}.xml", self.place / f"{name}.log"
        report.unlink(missing_ok=True)
        words = (sys.executable, "-I", "-c", _ON_A_TERMINAL, str(self.python))
        with log.open("wb") as file:
            try:
                done = subprocess.run(
                    [*words, *self._command(report)],
                    cwd=self._unpack(),
                    env={**self._bare(), **more},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=limit,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise CannotRunError(f"{name}: no end after {limit:g} s, see {log}") from None
        if done.returncode not in _TEST_FAILURES or not report.exists():
            raise CannotRunError(f"{name}: {self.tool} ended with {done.returncode}, see {log}")
        return read_outcomes(report)

    def version(self) -> str:
        """Return the version of the interpreter."""
        return self._say("-c", "import platform; print(platform.python_version())")

    def _say(self, *words: str) -> str:
        return subprocess.check_output([self.python, *words], text=True).strip()

    def _command(self, report: Path) -> tuple[str, ...]:
        """Return what runs the suite, after the interpreter."""
        words = ("-m", "pytest", "-q", "-rfE", "--color=no", "-p", "no:cacheprovider")
        return (*words, "--rootdir=.", *self.options, f"--junitxml={report}", *self.tests)

    def _bare(self) -> dict[str, str]:
        home = self.place / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            **self.environ,
        }

    def _unpack(self) -> Path:
        place = self.place / "source"
        shutil.rmtree(place, ignore_errors=True)
        with tarfile.open(self.source) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # 3.9.17
            archive.extractall(place)
        (tree,) = place.iterdir()
        (place / "pytest.ini").write_text("[pytest]\n")  # ends pytest's search upwards
        return tree


_DJANGO_SETTINGS = """
import os
from test_sqlite import *
TEST_RUNNER = "xmlrunner.extra.djangotestrunner.XMLTestRunner"
TEST_OUTPUT_DIR, TEST_OUTPUT_FILE_NAME = os.path.split(os.environ["UPSTREAM_REPORT"])
"""
# The commands that Django's tests start have a PYTHONPATH with nothing but Django and these tests.
_DJANGO_SITECUSTOMIZE = """
import os, sys
place = os.environ.get("UPSTREAM_AGENT")
if place and not hasattr(sys, "upstream_agent"):
    sys.upstream_agent = sys.path.insert(0, place)
    del sys.modules["sitecustomize"]
    import sitecustomize
"""


class DjangoEnvironment(Environment):
    """The same for Django, whose tests have a program of their own to run some of them."""

    tool = "runtests.py"

    def run(self, name: str, more: Mapping[str, str], limit: float = LIMIT) -> Outcomes:
        """Run the chosen tests once; return their outcomes."""
        own = {"UPSTREAM_REPORT": str(self.place / f"{name}.xml")}
        if more:
            own["UPSTREAM_AGENT"] = more["PYTHONPATH"]
        return super().run(name, {**more, **own}, limit)

    def _command(self, report: Path) -> tuple[str, ...]:
        return (self.tool, "--settings=upstream_settings", "--parallel=1", *self.tests)

    def _unpack(self) -> Path:
        tests = super()._unpack() / "tests"
        (tests / "upstream_settings.py").write_text(_DJANGO_SETTINGS)
        (tests / "sitecustomize.py").write_text(_DJANGO_SITECUSTOMIZE)
        return tests


class RubyEnvironment(Environment):
    """The same for a suite of minitest or test-unit, and a Ruby of the machine."""

    tool = "ruby"

    def version(self) -> str:
        """Return the version of the interpreter."""
        return f"Ruby {self._say('-e', 'print RUBY_VERSION')}"

    def _command(self, report: Path) -> tuple[str, ...]:
        return ("-Ilib", "-Itest", str(OWN_TESTS), str(report), *self.tests)


def read_outcomes(report: Path) -> Outcomes:
    """Read a report in JUnit's form; of a failure, keep the kind of the exception."""
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        found.setdefault(name, []).extend(_told(case) or ["passed"])
    return {name: ", ".join(outcomes) for name, outcomes in found.items()}


def _told(case: ElementTree.Element) -> list[str]:
    told = []
    for part in case:
        if part.tag == "skipped":
            told.append("xfailed" if part.get("type") == "pytest.xfail" else "skipped")
        elif part.tag in _BAD:
            kind = _KIND.match(part.get("message") or "")
            told.append(f"{part.tag} {kind[1] if kind else ''}".rstrip())
    return told


class Agent:
    """The agent of this checkout with everything on, and what it recorded."""

    def __init__(self, place: Path) -> None:
        self._home = place / "autotask"
        self._debug = place / "autotask.log"
        shutil.rmtree(self._home, ignore_errors=True)
        self._debug.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._listener.bind(("127.0.0.1", 0))

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(ROOT / "sitecustomize_template"),
            "RUBYLIB": str(ROOT / "autotask_ruby"),
            "AUTOTASK_HOME": str(self._home),
            "AUTOTASK_PROCESS": "1",
            "AUTOTASK_DEBUG": str(self._debug),
            "DD_DOGSTATSD_URL": f"udp://127.0.0.1:{self._listener.getsockname()[1]}",
        }

    def runs(self) -> dict[str, int]:
        """Count the runs in the journal by framework."""
        return dict(Counter(line["framework"] for line in self._told("started")))

    def faults(self) -> list[str]:
        """Return what went wrong unnoticed: swallowed errors, runs that did not end once."""
        log = self._debug.read_text(errors="replace") if self._debug.exists() else ""
        swallowed = [line for line in log.splitlines() if "autotask: swallowed" in line]
        ends = Counter(line["run"] for line in self._told("finished"))
        return swallowed + [
            f"a run of {line['task']} ended {ends[line['run']]} times"
            for line in self._told("started")
            # `python -c`: a helper of multiprocessing, which dies as its terminal is hung up.
            if ends[line["run"]] != 1 and line["task"] != "python"
        ]

    def close(self) -> None:
        self._listener.close()

    def _told(self, event: str) -> Iterator[dict[str, str]]:
        for segment in sorted(self._home.glob("journal/*.jsonl")):
            for text in segment.read_text().splitlines():
                line = json.loads(text)
                if line["event"] == event:
                    yield line


@dataclass
class Comparison:
    """The outcomes of a suite in all rounds, bare and under the agent."""

    bare: list[Outcomes] = field(default_factory=list)
    ours: list[Outcomes] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)  # that the agent recorded in the last round
    faults: list[str] = field(default_factory=list)

    @property
    def changed(self) -> dict[str, str]:
        """The tests with an outcome under the agent that they never have without it."""
        return {
            name: f"{_several(bare)} bare, {_several(ours)} under the agent"
            for name, bare, ours in self._both()
            if not set(ours) <= set(bare)
        }

    @property
    def flaky(self) -> dict[str, str]:
        """The tests that have several outcomes without the agent."""
        return {name: _several(bare) for name, bare, _ in self._both() if len(set(bare)) > 1}

    @property
    def failing(self) -> dict[str, str]:
        """The tests that fail in the same way, bare and under the agent."""
        return {
            name: bare[0]
            for name, bare, ours in self._both()
            if bare[0].startswith(_BAD) and set(bare) == set(ours) == {bare[0]}
        }

    def count(self, *outcomes: str) -> int:
        """Count the tests with this outcome in the first run without the agent."""
        return sum(found.startswith(outcomes) for found in self.bare[0].values())

    def _both(self) -> Iterator[tuple[str, list[str], list[str]]]:
        names = {name: None for outcomes in self.bare + self.ours for name in outcomes}
        for name in names:
            bare, ours = (
                [run.get(name, "absent") for run in runs] for runs in (self.bare, self.ours)
            )
            yield name, bare, ours


def _several(outcomes: Sequence[str]) -> str:
    counted = Counter(outcomes)
    if len(counted) == 1:
        return outcomes[0]
    return " / ".join(f"{outcome} ({times}x)" for outcome, times in counted.items())


def compare(
    environment: Environment,
    rounds: int = ROUNDS,
    limit: float = LIMIT,
    tell: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Run a suite bare and under the agent, again as long as something seems to have changed."""
    found = Comparison()
    for number in range(1, rounds + 1):
        tell(f"bare, round {number}")
        found.bare.append(environment.run(f"bare-{number}", {}, limit))
        tell(f"under the agent, round {number}")
        agent = Agent(environment.place)
        try:
            found.ours.append(environment.run(f"agent-{number}", agent.environ, limit))
            found.runs = agent.runs()
            found.faults += agent.faults()
        finally:
            agent.close()
        if not found.changed:
            break
    return found
