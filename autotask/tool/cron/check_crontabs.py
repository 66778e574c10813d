"""What is wrong with crontabs: their files, their lines, the jobs in them, and the daemon."""

from __future__ import annotations

import functools
import os
import pwd
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from autotask.settings import Settings
from autotask.tool.cron import as_user, check_commands, check_lines, door
from autotask.tool.cron.check_lines import at
from autotask.tool.doctor import journal_home
from autotask.tool.doctor.finding import Finding, Findings
from autotask.tool.schedule import daemon, machine
from autotask.tool.schedule.crontab import ASSIGNMENT, JOB, Line, read
from autotask.tool.schedule.crontabs import Crontab, this_user
from autotask.tool.schedule.places import Places
from autotask.tool.schedule.recorded import launcher_words

_PATH = "/usr/bin:/bin"  # where cron looks for commands if the crontab does not say


class Job(NamedTuple):
    """A job in a crontab, with all that cron gives it."""

    source: str  # what its crontab is called
    line: Line
    user: str
    environ: dict[str, str]
    name: str  # of its runs
    watched: bool
    door: str  # the script behind SHELL, if there is one
    option: str  # the words that name the crontab to `autotask cron watch`
    set_in: dict[str, int]  # the lines that set its variables

    @property
    def place(self) -> str:
        """What to call it."""
        return at(self.source, self.line.number)


def findings(crontabs: Sequence[Crontab], places: Places, debians: bool = True) -> list[Finding]:
    """Return what is wrong with crontabs, and one line for each with which nothing is.

    Args:
        crontabs: Those to check.
        places: The machine on which they are.
        debians: Its cron is Debian's; see `check_lines.findings`.
    """
    found: list[Finding] = []
    every_job: list[Job] = []
    for crontab in crontabs:
        lines = read(crontab.text, crontab.user is None)
        jobs = list(_jobs(crontab, lines))
        every_job += jobs
        problems = [
            *check_lines.findings(crontab.source, lines, debians),
            *_twice(jobs),
            *_of_users(jobs),
        ]
        found += problems or [Finding("ok", "crontab", _summary(crontab, jobs))]
    found += _names(every_job)
    found += _daemon(crontabs, every_job, places)
    return found


def _jobs(crontab: Crontab, lines: Sequence[Line]) -> Iterator[Job]:
    """Yield the jobs, each with the variables that are set above it."""
    assigned: dict[str, str] = {}
    numbers: dict[str, int] = {}
    option = _option(crontab)
    for line in lines:
        if line.kind == ASSIGNMENT:
            assigned[line.variable] = line.value
            numbers[line.variable] = line.number
        elif line.kind == JOB:
            user = crontab.user or line.user or ""
            environ = {"PATH": _PATH, "HOME": _home(user), **assigned}
            environ.update(LOGNAME=user, SHELL=line.shell)
            name = machine.name_of_job(line.command, assigned, line.wrapped)
            watched = line.wrapped or machine.is_recorded(line.command, assigned)
            script = assigned["SHELL"] if line.wrapped else ""
            of_line = (crontab.source, line, user, environ, name, watched)
            yield Job(*of_line, script, option, {**numbers})


def _option(crontab: Crontab) -> str:
    if crontab.user is None:
        return f" {shlex.quote(crontab.source)}"
    return "" if crontab.user == this_user() else f" --user {crontab.user}"


def _home(user: str) -> str:
    account = _account(user)
    return account.pw_dir if account else "/"


def _account(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        return None


def _summary(crontab: Crontab, jobs: Sequence[Job]) -> str:
    watched = sum(job.watched for job in jobs)
    how_many = "all" if watched == len(jobs) else watched or "none"
    text = f"{crontab.source}: no jobs"
    if len(jobs) == 1:
        text = f"{crontab.source}: 1 job, {'watched' if watched else 'not watched'}"
    elif jobs:
        text = f"{crontab.source}: {len(jobs)} jobs, {how_many} watched"
    strangers = {job.user for job in jobs if not _may_check(job.user)}
    return (
        f"{text}; only root can check the commands of {_listed(strangers)}" if strangers else text
    )


def _may_check(user: str) -> bool:
    account = _account(user)
    return account is not None and as_user.may_become(account)


def _listed(names: set[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} and {last}" if most else last


def is_in_place(crontab: Crontab, places: Places) -> bool:
    """Tell whether cron reads a crontab where it is: any file can be checked."""
    if crontab.path is None:  # crontab(1) has printed it
        return True
    folder = os.path.dirname(crontab.path)
    return crontab.path == places.crontab or folder in (places.cron_d, places.spool)


def _of_users(jobs: Sequence[Job]) -> Findings:
    """Check what differs between users: what they may execute, read and write."""
    by_user = defaultdict(list)
    for job in jobs:
        by_user[job.user].append(job)
    for user, theirs in by_user.items():
        account = _account(user)
        if account and as_user.may_become(account):
            yield from as_user.findings_of(account, functools.partial(_of_user, theirs))


def _of_user(jobs: Sequence[Job]) -> Findings:
    for job in jobs:
        text = job.line.command.rstrip("\r")
        yield from check_commands.findings(job.place, text, job.environ)
    yield from _doors(jobs)
    yield from _settings(jobs)


def _doors(jobs: Sequence[Job]) -> Findings:
    """Check the scripts behind SHELL, once each."""
    for job in {(job.door, job.set_in["SHELL"]): job for job in jobs if job.door}.values():
        why = door.problem(job.door)
        if why:
            text = f"{at(job.source, job.set_in['SHELL'])}: {job.door} {why}"
            fix = f"`autotask cron watch{job.option}` writes it again"
            if why.startswith(door.NOEXEC):
                fix = "`autotask cron unwatch" + job.option + "`, or mount it with exec"
            yield Finding("problem", "door", text, fix)


def _twice(jobs: Sequence[Job]) -> Findings:
    """Check for jobs of a watched crontab that start autotask-run as well."""
    twice = [job for job in jobs if job.line.wrapped and launcher_words(job.line.command)]
    if twice:
        text = f"{_places(twice)}: each run is recorded twice"
        yield Finding("warning", "door", text, "remove autotask-run there")


def _settings(jobs: Sequence[Job]) -> Findings:
    """Check what the crontabs set for autotask, and whether runs could be recorded."""
    told: set[str] = set()
    for job in jobs:
        settings = Settings(job.environ)
        for problem in settings.problems:
            number = job.set_in.get(problem.partition(":")[0], job.line.number)
            text = f"{at(job.source, number)}: {problem}, so it counts as unset"
            if text not in told:
                yield Finding("warning", "settings", text, "correct it")
            told.add(text)
        if not job.watched and job.line.user:
            continue  # packages bring many such jobs
        for finding in journal_home.findings(settings):
            status = finding.status if job.watched else "warning"  # of which no run is lost yet
            if finding.status != "ok" and finding.text not in told:
                yield finding._replace(status=status, text=f"{job.place}: {finding.text}")
            told.add(finding.text)


def _names(jobs: Sequence[Job]) -> Findings:
    """Check for different jobs of a user whose runs have one name."""
    by_name = defaultdict(list)
    for job in jobs:
        by_name[job.user, job.name].append(job)
    for (_, name), same in by_name.items():
        # One command at two times is one task.
        if len({job.line.command for job in same}) > 1:
            text = f"{_places(same)}: all runs are called {name}"
            remedy = "to tell them apart, put `AUTOTASK_NAME=another` in front of a command"
            yield Finding("warning", "name", text, remedy)


def _places(jobs: Sequence[Job]) -> str:
    numbers = defaultdict(list)
    for job in jobs:
        numbers[job.source].append(job.line.number)
    return " and ".join(at(source, *lines) for source, lines in numbers.items())


def _daemon(crontabs: Sequence[Crontab], jobs: Sequence[Job], places: Places) -> Findings:
    """Check whether cron is running. Packages bring crontabs to machines that have no cron."""
    in_place = {crontab.source for crontab in crontabs if is_in_place(crontab, places)}
    due = [job for job in jobs if job.source in in_place]
    if due and daemon.is_running(places) is False:
        is_wanted = any(job.watched or job.line.user is None for job in due)
        status = "problem" if is_wanted else "warning"
        yield Finding(status, "cron", "no cron is running, so no job is started", "start it")
