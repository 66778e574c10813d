"""Test the oldest and the newest release of each framework on every Python found: `make matrix`.

Runs tests/frameworks with the built wheel installed.
"""

from __future__ import annotations

import argparse
import glob
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autotask.tool.supported import FRAMEWORKS, PYTHONS

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "matrix"
VERSIONS = (*PYTHONS["cpython"], *(f"pypy{version}" for version in PYTHONS["pypy"]))
WHERE = ("~/.pyenv/versions/{}.*/bin/python", "/usr/bin/{}", "/usr/local/bin/{}")

_OLDEST = {name: f"=={wanted.oldest}.*" for name, wanted in FRAMEWORKS.items()}
# What is installed together. Of several releases the first that works on a Python: Invoke
# 1.7 does not from 3.11 on, Dramatiq 1.12 from 3.13 on. Typer needs Click 8.
SETS: dict[str, dict[str, tuple[str, ...]]] = {
    "oldest": {
        "click": (_OLDEST["click"],),
        "asyncclick": (_OLDEST["asyncclick"],),
        "invoke": (_OLDEST["invoke"], "==2.0.*", "==2.2.*"),
        "doit": (_OLDEST["doit"], "==0.34.*", "==0.35.*", "==0.36.*"),
    },
    "middle": {
        "click": ("==8.1.*",),
        "typer": (_OLDEST["typer"],),
        "invoke": ("==2.2.*",),
        "doit": ("==0.36.*",),
    },
    # Beside a program's Click, as in their tests; arq brings the redis client for Dramatiq.
    "dramatiq oldest": {
        "click": ("",),
        "dramatiq": (_OLDEST["dramatiq"], "==1.17.*"),
        "arq": (_OLDEST["arq"],),
        "procrastinate": (_OLDEST["procrastinate"],),
    },
    "dramatiq newest": {
        "click": ("",),
        "dramatiq": ("",),
        "arq": ("",),
        "procrastinate": ("",),
    },
    "command-lines-oldest": {
        name: (_OLDEST[name],) for name in ("cleo", "cliff", "cyclopts", "docopt", "fire")
    },
    "command-lines-newest": dict.fromkeys(("cleo", "cliff", "cyclopts", "docopt", "fire"), ("",)),
    "newest": {"click": ("",), "asyncclick": ("",), "typer": ("",), "invoke": ("",), "doit": ("",)},
    "queues oldest": {
        "rq": (_OLDEST["rq"],),
        "huey": (_OLDEST["huey"],),
    },
    "queues newest": {
        "rq": ("",),
        "huey": ("",),
    },
    # The oldest nox that works on a Python. dbt, Scrapy and Airflow have environments of their own,
    # see tests/environments.py: with FRAMEWORK_ENVIRONMENTS=all the tests make them.
    "nox oldest": {"nox": (_OLDEST["nox"], "==2024.4.*")},
    "nox newest": {"nox": ("",)},
    # Django 3.2 works up to Python 3.10, django-q2 1.7 wants Django 4.2.
    "django oldest": {"django": (_OLDEST["django"], "==4.2.*"), "django-crontab": ("",)},
    "django middle": {"django": ("==4.2.*",), "django-q2": (_OLDEST["django_q"],)},
    "django newest": {
        "django": ("",),
        "django-crontab": ("",),
        "django-extensions": ("",),
        "django-q2": ("",),
    },
}
SETS["schedulers oldest"] = {
    name: (_OLDEST[name],) for name in ("apscheduler", "luigi", "schedule")
}
# Alone: arq wants a release of redis that kombu 5.6 and newer refuse.
SETS["celery oldest"] = {"celery": (_OLDEST["celery"], "==5.4.*")}
SETS["celery newest"] = {"celery": ("",)}
SETS["schedulers newest"] = {"apscheduler": ("",), "luigi": ("",), "schedule": ("",)}
# What a release needs, or uses, that it does not ask for.
_BESIDE = {
    "apscheduler==3.6.*": ("tzlocal<3", "setuptools<81"),  # pytz, pkg_resources
    "celery==5.2.*": ("redis", "gevent"),
    "celery==5.4.*": ("redis", "gevent"),
    "celery": ("redis", "gevent"),  # its broker, and one of its pools
    "luigi": ("psutil",),  # with it, Luigi ends its processes in another way
}
_WORKS = {
    "click": "import click",
    "asyncclick": "import asyncclick",
    "typer": "import typer",
    "invoke": "import invoke.program; invoke.task(lambda c: None)",
    "doit": "import doit.doit_cmd, doit.cmd_run",
    "cleo": "import cleo.application",
    "cliff": "import cliff.app",
    "cyclopts": "import cyclopts",
    "docopt": "import docopt",
    "fire": "import fire",
    "rq": "import rq.worker, rq.cli",
    "huey": "import huey.consumer",
    "nox": "import nox.__main__",
    "apscheduler": "import apscheduler.schedulers.background",
    "luigi": "import luigi.worker",
    "schedule": "import schedule",
    # Before 1.17 its thread for time limits hides what CPython 3.13 has under the same name.
    "dramatiq": "import sys; from dramatiq.middleware import time_limit as t; assert not"
    " (sys.version_info >= (3, 13) and hasattr(t._CtypesTimeoutManager, '_handle'))",
    "arq": "import arq.worker",
    "procrastinate": "import procrastinate.testing",
    "django": "import django.core.management, django.http",
    "celery": "import celery.bin.celery, celery.worker.request",
}
_NEWEST_WANTED = ("--upgrade", "--upgrade-strategy", "eager")


class Cell:
    """One environment of the matrix: a Python with a set of frameworks."""

    def __init__(self, version: str, python: str, name: str, wheel: Path) -> None:
        self.version = version
        self.name = name
        self.found: list[str] = []  # the frameworks as they were installed
        self.result = ""
        self.failed = False
        self._python = python
        self._wheel = wheel
        self._place = PLACE / f"{version}-{name}"
        self._own = str(self._place / "bin" / "python")

    def test(self, more: list[str]) -> None:
        """Set the environment up if it does not exist yet, and run the tests in it."""
        try:
            self._set_up()
            command = (self._place / "bin" / "pytest", "-q", ROOT / "tests" / "frameworks", *more)
            done = self._run(*map(str, command), check=False)
        except subprocess.CalledProcessError as problem:
            self.result, self.failed = "cannot be set up", True
            self._log(str(problem.stdout))
            return
        self._log(done.stdout)
        self.result = re.sub(r"^=+ | =+$| in .*", "", done.stdout.rstrip().rpartition("\n")[2])
        self.failed = done.returncode != 0

    def _set_up(self) -> None:
        if not os.path.exists(self._own):
            self._run(self._python, "-m", "venv", str(self._place))
        self._install("pytest>=8", "pytest-timeout>=2.3", "wrapt>=1.16")
        for framework, releases in SETS[self.name].items():
            self._install_one(framework, releases)
        self._install("--no-deps", "--force-reinstall", str(self._wheel))

    def _install_one(self, framework: str, releases: tuple[str, ...]) -> None:
        for release in releases:
            more = () if release else _NEWEST_WANTED
            try:
                beside = _BESIDE.get(framework + release, ())
                self._install(*more, framework + release, *beside)
                self._run(self._own, "-W", "ignore", "-c", _WORKS.get(framework, ""))
            except subprocess.CalledProcessError:
                if release == releases[-1]:
                    raise
                continue
            version = self._installed(framework)
            tested = FRAMEWORKS.get(framework)  # None: what is built on one
            beyond = tested is not None and tested.verdict(version) != "supported"
            self.found.append(f"{framework} {version}{', not in tool/supported.py' * beyond}")
            return

    def _installed(self, framework: str) -> str:
        said = self._run(self._own, "-m", "pip", "show", framework).stdout
        return said.partition("Version: ")[2].partition("\n")[0]

    def _install(self, *words: str) -> None:
        self._run(self._own, "-m", "pip", "install", "-qq", *words)

    def _run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=PLACE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=check,
        )

    def _log(self, text: str) -> None:
        (PLACE / f"{self.version}-{self.name}.log").write_text(text)


def pythons(wanted: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each wanted version that the machine has, `3.12` or `pypy3.9`, and its interpreter."""
    for version in wanted:
        name = version if version.startswith("pypy") else f"python{version}"
        for pattern, word in zip(WHERE, (version, name, name)):
            found = sorted(glob.glob(os.path.expanduser(pattern.format(word))))
            if found:
                yield version, found[-1]
                break


def built_wheel() -> Path:
    """Build the wheel; return its path."""
    PLACE.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(PLACE))
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return next(PLACE.glob("*.whl"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", action="append", choices=VERSIONS, help="only this one")
    parser.add_argument("--set", action="append", choices=list(SETS), help="only this one")
    options, more = parser.parse_known_args()
    wheel = built_wheel()
    wanted = options.python or VERSIONS
    found = dict(pythons(wanted))
    cells = [
        Cell(version, python, name, wheel)
        for version, python in found.items()
        for name in options.set or SETS
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for cell, _ in zip(cells, pool.map(lambda cell: cell.test(more), cells)):
            mark = "FAIL" if cell.failed else "ok  "
            print(f"{mark} {cell.version:<9}{cell.name:<7} {cell.result}", flush=True)
            print(f"     {', '.join(cell.found)}", flush=True)
    for version in wanted:
        if version not in found:
            print(f"skip {version:<9}is not on this machine")
    failed = [cell for cell in cells if cell.failed]
    print(f"{len(cells) - len(failed)} passed, {len(failed)} failed")
    if failed:
        print(f"what they said is in {PLACE}/*.log")
    return 1 if failed or not cells else 0


if __name__ == "__main__":
    sys.exit(main())
