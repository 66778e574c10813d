"""Run the frameworks' own test suites bare and under the agent: `make upstream`.

No test may change its outcome. The suites are those of the released source distributions, from the
package index; each has its own environment in build/upstream, made once.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from matrix import pythons
from outcomes import LIMIT, ROOT, ROUNDS, CannotRunError, Comparison, Environment, compare

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


_OLD = ("3.9", "3.10")
_MIDDLE = ("3.11", "3.10", "3.9", "3.12")
_NEW = ("3.13", "3.12", "3.11", "3.10")
_INVOKE = ("pytest-relaxed==2.*", "icecream")
_NO_CAPTURE = ("--capture=no",)  # Invoke's suite reads and writes the terminal
_DOIT = ("pytest", "pyflakes", "doit-py")
_TYPER = ("pytest", "pytest-xdist", "coverage", "rich", "shellingham")
_PARALLEL = ("--numprocesses=auto",)  # as in its scripts/test.sh
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
)


def set_up(suite: Suite) -> Environment:
    """Make the environment of a suite if it does not exist yet."""
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
    return Environment(own, _archive(place), place, suite.options, dict(suite.environ))


def _archive(place: Path) -> Path:
    (found,) = place.glob("*.tar.gz")
    return found


def _call(*command: str) -> str:
    try:
        return subprocess.run(
            command,
            cwd=PLACE,
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
    python: str
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
        title = environment.source.name[: -len(".tar.gz")].replace("-", " ")
        python = _call(str(environment.python), "-c", _TELL_VERSION).strip()
        found = compare(environment, rounds, limit, lambda name: progress(title, name))
        return Result(suite, title, python, found)
    except CannotRunError as problem:
        return Result(suite, title, python, None, str(problem))


_TELL_VERSION = "import platform; print(platform.python_version())"


def report(result: Result) -> Iterator[str]:
    """Print the result of a suite."""
    found = result.found
    if found is None:
        yield f"FAIL {result.title:<14} {result.trouble}"
        return
    yield (
        f"{'ok  ' if result.is_good else 'FAIL'} {result.title:<14} Python {result.python:<8}"
        f"{len(found.bare[0]):>5} tests, {len(found.changed)} changed, {len(found.flaky)} flaky,"
        f" {sum(found.runs.values())} runs recorded, {len(found.bare)} rounds"
    )
    yield from (f"     changed: {name}: {how}" for name, how in found.changed.items())
    yield from (f"     flaky: {name}: {how}" for name, how in found.flaky.items())
    yield from (f"     fault of the agent: {fault}" for fault in dict.fromkeys(found.faults))
    if not result.was_seen:
        yield "     the agent recorded no run of it"


_HEADER = """\
| suite | Python | tests | passed | failed | skipped | changed | flaky | runs | faults | on |
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
