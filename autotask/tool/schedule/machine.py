"""All jobs of this machine: of crontabs, of anacron, of systemd's timers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from autotask.command_name import name_in_line, name_of_line
from autotask.settings import Settings
from autotask.tool.errors import ToolError
from autotask.tool.schedule import (
    anacron,
    crontab,
    crontabs,
    recorded,
    run_parts,
    timers,
    words,
    zone,
)
from autotask.tool.schedule.cron_line import Schedule
from autotask.tool.schedule.crontab import Line
from autotask.tool.schedule.crontabs import Crontab
from autotask.tool.schedule.places import HERE, Places
from autotask.tool.schedule.timers import Service, Timer

_STAND_INS = re.compile(r".*/autotask/bin", re.DOTALL)  # the folder of our run-parts
_RUN_SCRIPT = re.compile(r".*/autotask/run", re.DOTALL)  # that a drop-in starts
_SHARE = 0.25  # of its interval, by which a script of run-parts may have to wait for others
_MINUTE = 60.0  # seconds
_NUL = "it has a NUL byte: it is not read"


class Job(NamedTuple):
    """What this machine runs at certain times."""

    source: str  # `crontab of ann`, the path of a file, `backup.timer`
    line: int | None  # in it, from 1
    user: str  # who runs it
    name: str  # of its runs
    when: str  # as it is written: `*/5 * * * *`, `@daily`, `OnCalendar=*-*-* 06:00:00`
    words: str  # the same for people: `every 5 minutes`
    schedule: Schedule | None  # None: at reboot, a timer, anacron, a time zone without a name
    timezone: str  # of the schedule; empty if cron's has no name
    changed: float  # POSIX seconds, when the files that say so were changed; 0 if not known
    watched: bool  # its runs are recorded
    tolerance: float = 0.0  # seconds by which it may start later by design
    next_due: float | None = None  # POSIX seconds, if the scheduler itself says so
    last_due: float | None = None  # the same
    command: str = ""  # what is run
    elsewhere: bool = False  # its crontab names another home, or turns the journal off


def jobs(places: Places = HERE) -> tuple[list[Job], list[str]]:
    """Return the jobs of this machine, and a line for people for each file that cannot be read.

    Also for each that cron or run-parts ignores, though it is meant to be run. The crontabs are
    the system's and this user's; for root, those of all users.
    """
    found = [*_of_crontabs(places), *_of_anacron(places), *_of_timers(places)]
    return (
        [one for one in found if isinstance(one, Job)],
        [one for one in found if isinstance(one, str)],
    )


def _of_crontabs(places: Places) -> Iterator[Job | str]:
    tables, problems = crontabs.readable(places)
    yield from problems
    for table in tables:
        yield from _of_crontab(table, places)


def _of_crontab(table: Crontab, places: Places) -> Iterator[Job | str]:
    if b"\0" in table.text:
        yield f"{table.source}: {_NUL}"
        return
    environment: dict[str, str] = {}
    for line in crontab.read(table.text, system=table.user is None):
        if line.kind == crontab.ASSIGNMENT:
            environment[line.variable] = line.value
        elif line.kind == crontab.BAD:
            yield f"{table.source}:{line.number}: {line.problem}"
        elif line.kind == crontab.JOB and not run_parts.is_anacrons(line.command, places):
            try:
                job = _of_line(table, line, environment, places)
            except ToolError as error:
                yield f"{table.source}:{line.number}: {error}"
            else:
                yield from _scripts(job, places)


def _of_line(table: Crontab, line: Line, environment: Mapping[str, str], places: Places) -> Job:
    timezone = _timezone(environment, places)
    schedule = crontab.schedule_of(line, timezone) if timezone else None
    spread = schedule.spread if schedule else 0
    user = table.user or (line.user or "").partition(":")[0]
    name = name_of_job(line.command, environment, line.wrapped)
    is_watched = line.wrapped or is_recorded(line.command, environment)
    return Job(
        source=table.source,
        line=line.number,
        user=user,
        name=name,
        when=line.when,
        words=words.of_cron(line.when),
        schedule=schedule,
        timezone=timezone,
        changed=table.changed,
        watched=is_watched and not _is_off(name, environment),
        tolerance=spread + _random_delay(environment),
        command=line.command,
        elsewhere=_is_elsewhere(environment),
    )


def _is_off(name: str, environment: Mapping[str, str]) -> bool:
    """Tell whether a crontab turns off the runs of a job."""
    settings = Settings(environment)
    return not settings.enabled or not settings.uses("process") or settings.ignores(name)


def _is_elsewhere(environment: Mapping[str, str]) -> bool:
    """Tell whether a crontab lets runs be recorded elsewhere than in the home of this command."""
    settings = Settings(environment)
    names_home = not {"AUTOTASK_HOME", "XDG_STATE_HOME"}.isdisjoint(environment)
    return not settings.journal or (names_home and settings.home != Settings(os.environ).home)


def _timezone(environment: Mapping[str, str], places: Places) -> str:
    own = environment.get("CRON_TZ")
    return own if own and crontabs.is_cronie() else zone.of_cron(places) or ""


def _random_delay(environment: Mapping[str, str]) -> float:
    """Return the seconds that cronie adds by chance: the same ones until it starts again."""
    minutes = environment.get("RANDOM_DELAY", "")
    return int(minutes) * _MINUTE if minutes.isdecimal() and crontabs.is_cronie() else 0


def name_of_job(command: str, environment: Mapping[str, str], wrapped: bool) -> str:
    """Return the name of the runs of a line, as the launcher gives it; *wrapped*: by a door."""
    given = None if wrapped else recorded.name_given_to(recorded.launcher_words(command))
    given = given or name_in_line(command) or environment.get("AUTOTASK_NAME")
    return given or name_of_line(command)


def is_recorded(command: str, environment: Mapping[str, str]) -> bool:
    """Tell whether the runs of a line are recorded without a door."""
    if recorded.launcher_words(command) or recorded.is_on_path(environment):
        return True
    first = environment.get("PATH", "").partition(":")[0]
    return bool(_STAND_INS.fullmatch(first) and run_parts.words_of(command))


def _scripts(job: Job, places: Places) -> Iterator[Job | str]:
    """Yield the scripts in the place of a job that is run-parts; else the job itself."""
    called = run_parts.words_of(job.command)
    is_folder = called is not None and os.path.isdir(places.at(called[-1]))
    if called is None or not is_folder or not run_parts.has_runs(called):
        yield job
        return
    found = run_parts.scripts(called, places)
    yield from found.problems
    waiting = job.schedule.interval * _SHARE if job.schedule else 0
    for path in found.paths:
        yield job._replace(
            source=path,
            line=None,
            name=os.path.basename(path),
            changed=max(job.changed, crontabs.changed(path)),
            tolerance=job.tolerance + waiting,
            command=path,
        )


def _of_anacron(places: Places) -> Iterator[Job | str]:
    path = places.anacrontab
    if not os.access(places.at(anacron.PROGRAM), os.X_OK) or not os.path.exists(path):
        return
    try:
        text = crontabs.read(path)
    except OSError as error:
        yield f"cannot read {path}: {error.strerror}"
        return
    if b"\0" in text:
        yield f"{path}: {_NUL}"
        return
    entries, bad = anacron.read(text)
    yield from (f"{path}:{number}: anacron skips this line" for number in bad)
    for entry in entries:
        job = Job(
            source=path,
            line=entry.line,
            user="root",
            name=name_of_job(entry.command, entry.environment, wrapped=False),
            when=f"{entry.period} {entry.delay / _MINUTE:.0f}",
            words=entry.words,
            schedule=None,
            timezone="",
            changed=crontabs.changed(path),
            watched=is_recorded(entry.command, entry.environment),
            tolerance=entry.delay,
            command=entry.command,
        )
        yield from _scripts(job, places)


def _of_timers(places: Places) -> Iterator[Job | str]:
    try:
        yield from map(_of_timer, timers.active(places))
    except ToolError as error:
        yield str(error)


def _of_timer(timer: Timer) -> Job:
    service = timer.service
    return Job(
        source=timer.unit,
        line=None,
        user=service.user,
        name=_name_of_service(service),
        when=timer.when,
        words=timer.words,
        schedule=None,
        timezone="",
        changed=crontabs.changed(*timer.files, *service.files),
        watched=_is_service_recorded(service),
        tolerance=timer.tolerance,
        next_due=timer.next_due,
        last_due=timer.last_due,
        command=" ; ".join(service.commands),
    )


def _name_of_service(service: Service) -> str:
    given = [recorded.name_given_to(recorded.launcher_words(text)) for text in service.commands]
    return next(filter(None, given), service.name)


def _is_service_recorded(service: Service) -> bool:
    if recorded.is_on_path(recorded.variables(service.environment.split())):
        return True
    return any(
        _RUN_SCRIPT.fullmatch(command.partition(" ")[0]) or recorded.launcher_words(command)
        for command in service.commands
    )
