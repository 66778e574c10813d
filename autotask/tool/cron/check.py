"""`autotask cron check`: would cron run the jobs, and would their runs be recorded?"""

from __future__ import annotations

import argparse
import os

from autotask.tool.cron import check_anacrontab, check_crontabs, check_timers
from autotask.tool.doctor.finding import Finding
from autotask.tool.doctor.report import report
from autotask.tool.errors import ToolError
from autotask.tool.schedule.crontabs import Crontab, ignored, is_cronie, readable, this_user
from autotask.tool.schedule.places import HERE, Places

DESCRIPTION = """\
Check crontabs: lines that cron refuses or misreads, commands that it does not find, runs that
could not be recorded or told apart. Without arguments: your own crontab, /etc/crontab, /etc/cron.d,
and watched timers. Nothing is started or changed. Exit with 1 if something keeps a job from running
or its runs from being recorded; warnings alone do not count."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which crontabs are checked."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("file", metavar="FILE", nargs="?", help="a file with a crontab in it")
    which.add_argument("--user", metavar="U", help="the crontab of this user")
    which.add_argument("--all", action="store_true", help="all crontabs that you may read")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; return the exit status."""
    if arguments.file is not None:
        return report(findings_in(arguments.file, HERE))
    if arguments.user is not None:
        return report(findings_of([arguments.user], HERE))
    return report(findings_of(None, HERE) if arguments.all else own_findings())


def own_findings() -> list[Finding]:
    """Return what `autotask cron check` finds without arguments."""
    return findings_of([this_user(), None], HERE)


def findings_of(users: list[str | None] | None, places: Places) -> list[Finding]:
    """Check the crontabs of these users, of which None is the system; or all that are readable."""
    crontabs, problems = readable(places)
    if users is not None:
        crontabs = [crontab for crontab in crontabs if crontab.user in users]
    if users and None not in users:
        problems = [line for line in problems if f" of {users[0]}:" in line]
        if not (crontabs or problems):
            raise ToolError(f"{users[0]} has no crontab that you may read")
    found = [*map(_not_run, problems), *_findings(crontabs, places)]
    if users is None or None in users:
        found += [*check_anacrontab.findings(places), *check_timers.findings(places)]
    return found or [Finding("ok", "crontab", "there are none")]


def findings_in(path: str, places: Places) -> list[Finding]:
    """Check a file. In a folder `cron.d`, and in /etc/crontab, jobs have users."""
    whole = os.path.abspath(path)
    folder, name = os.path.split(whole)
    if name == "anacrontab":
        raise ToolError(f"{path} is anacron's: only crontabs are checked")
    is_systems = whole == places.crontab or os.path.basename(folder) == "cron.d"
    user = name if folder == places.spool else this_user()
    with open(path, "rb") as file:
        crontab = Crontab(path, whole, None if is_systems else user, file.read())
    is_run = is_systems and check_crontabs.is_in_place(crontab, places)
    why = ignored(whole, places) if is_run else None
    problems = [f"cron ignores {path}: {why}"] if why else []
    return [*map(_not_run, problems), *_findings([crontab], places)]


def _findings(crontabs: list[Crontab], places: Places) -> list[Finding]:
    return check_crontabs.findings(crontabs, places, debians=not is_cronie())


def _not_run(line: str) -> Finding:
    """Return what is said of a crontab that cron, or this user, does not read."""
    status = "problem" if line.startswith("cron ignores ") else "warning"
    return Finding(status, "crontab", line)
