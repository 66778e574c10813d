"""How a crontab is watched, by its kind: what its text becomes, and which scripts that names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple, Union

from autotask.tool.cron import anacrontab, door, drop_in, edit, run_parts_door, run_script
from autotask.tool.errors import ToolError
from autotask.tool.schedule import crontab, recorded
from autotask.tool.schedule.crontab import Line
from autotask.tool.schedule.timers import Service

_NOT_RUN_PARTS = (
    "anacron starts its jobs with /bin/sh, whatever SHELL says: put `autotask-run` in front of "
    "commands other than run-parts"
)


class Crontab(NamedTuple):
    """What cron reads."""

    system: bool = False  # its jobs have a user

    def watch(self, text: bytes, folder: str, numbers: Sequence[int] = ()) -> bytes:
        """Return it with each job watched, or those in some lines, through doors in *folder*.

        If each is watched already, through whichever doors, and these are in order, it stays as it
        is.

        Raises:
            ToolError: A line in *numbers* has no job.
        """
        if numbers:
            return edit.watch_lines(text, numbers, folder, self.system)
        jobs = self.jobs(text)
        if all(job.wrapped for job in jobs) and all(map(_works, edit.doors(text))):
            return text
        return edit.watch(text, folder, self.system)

    def unwatch(self, text: bytes) -> bytes:
        """Return it as it was before."""
        return edit.unwatch(text, self.system)

    def doors(self, text: bytes) -> list[str]:
        """Return the paths of the scripts that it names."""
        return edit.doors(text)

    def problem(self, path: str) -> str | None:
        """Say what is wrong with a script."""
        return door.problem(path)

    def write_door(self, path: str) -> None:
        """Write a script."""
        door.write(os.path.dirname(path), door.shell_of(path))

    def jobs(self, text: bytes) -> list[Line]:
        """Return its jobs."""
        return [line for line in crontab.read(text, self.system) if line.kind == crontab.JOB]

    def counts(self, text: bytes) -> tuple[int, int]:
        """Return how many of its jobs are watched, and how many are not."""
        jobs = self.jobs(text)
        watched = sum(job.wrapped for job in jobs)
        return watched, len(jobs) - watched

    def left(self, text: bytes) -> str:
        """Say which jobs of a watched crontab are not watched, and why; nothing if all are."""
        jobs = [job for job in self.jobs(text) if not job.wrapped]
        return f"cron cannot start {_lines(jobs)}: SHELL is not a path there" if jobs else ""

    def twice(self, text: bytes) -> str:
        """Say which watched jobs start autotask-run as well; nothing if none does."""
        jobs = [
            job for job in self.jobs(text) if job.wrapped and recorded.launcher_words(job.command)
        ]
        return f"{_lines(jobs)} would be recorded twice: remove autotask-run there" if jobs else ""

    def users(self, text: bytes) -> list[str]:
        """Return the users that run its watched jobs, as a system crontab names them."""
        return sorted({job.user for job in self.jobs(text) if job.wrapped and job.user})


class Anacrontab(NamedTuple):
    """What anacron reads."""

    def watch(self, text: bytes, folder: str, numbers: Sequence[int] = ()) -> bytes:
        """Return it with a PATH that finds the stand-in for run-parts in *folder*.

        Raises:
            ToolError: Single lines cannot be watched.
        """
        if numbers:
            raise ToolError("in an anacrontab single lines cannot be watched: leave out --line")
        return anacrontab.watch(text, folder)

    def unwatch(self, text: bytes) -> bytes:
        """Return it as it was before."""
        return anacrontab.unwatch(text)

    def doors(self, text: bytes) -> list[str]:
        """Return the paths of the stand-ins that it names."""
        return [os.path.join(folder, "run-parts") for folder in anacrontab.folders(text)]

    def problem(self, path: str) -> str | None:
        """Say what is wrong with a stand-in."""
        return run_parts_door.problem(path)

    def write_door(self, path: str) -> None:
        """Write a stand-in."""
        run_parts_door.write(os.path.dirname(os.path.dirname(path)), door.launcher())

    def counts(self, text: bytes) -> tuple[int, int]:
        """Return how many of its jobs are watched, and how many are not."""
        by_run_parts, others = anacrontab.jobs(text)
        if anacrontab.folders(text):
            return by_run_parts, others
        return 0, by_run_parts + others

    def left(self, text: bytes) -> str:
        """Say what is to be done for the jobs that are not watched; nothing if all are."""
        _, others = anacrontab.jobs(text)
        return _NOT_RUN_PARTS if others else ""


class DropIn(NamedTuple):
    """What systemd reads beside a service that a timer starts."""

    service: Service

    def watch(self, text: bytes, folder: str, numbers: Sequence[int] = ()) -> bytes:  # noqa: ARG002
        """Return the drop-in that records the service, through a script in *folder*.

        Raises:
            ToolError: The service cannot be watched.
        """
        if numbers:
            raise ToolError("a timer has no lines: leave out --line")
        return os.fsencode(drop_in.text(self.service, run_script.path_for(folder)))

    def unwatch(self, text: bytes) -> bytes:  # noqa: ARG002
        """Return nothing: it is to be deleted."""
        return b""

    def doors(self, text: bytes) -> list[str]:
        """Return the path of the script that it names."""
        return [run_script.path_for(door.ETC)] if text else []

    def problem(self, path: str) -> str | None:
        """Say what is wrong with the script."""
        return run_script.problem(path)

    def write_door(self, path: str) -> None:
        """Write the script."""
        run_script.write(os.path.dirname(path), door.launcher())

    def counts(self, text: bytes) -> tuple[int, int]:
        """Return how many jobs are watched, and how many are not: it is one."""
        return (1, 0) if text else (0, 1)

    def left(self, text: bytes) -> str:  # noqa: ARG002
        """Return nothing: its job is watched."""
        return ""


def _lines(jobs: Sequence[Line]) -> str:
    numbers = [str(job.number) for job in jobs]
    return f"line{'s' * (len(numbers) > 1)} {', '.join(numbers)}"


def _works(path: str) -> bool:
    """Tell whether a script records the jobs; one of another user's may be of another version."""
    return door.problem(path) in (None, door.OTHER_VERSION)


Format = Union[Crontab, Anacrontab, DropIn]
