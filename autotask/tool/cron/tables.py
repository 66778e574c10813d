"""What holds the jobs of this machine: how each crontab, and each timer's drop-in, is written."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Union

from autotask.tool.cron import drop_in
from autotask.tool.cron.formats import Anacrontab, Crontab, DropIn, Format
from autotask.tool.cron.replacing import replace
from autotask.tool.errors import ToolError
from autotask.tool.schedule import crontabs, timers
from autotask.tool.schedule.places import HERE

_LONGEST = 100  # characters, from which on Debian's crontab cuts the name of a file
_PATIENCE = 60.0  # seconds, after which crontab(1) counts as hanging
_DRY_RUN = re.compile(r"^\s*-n\b.*dry run", re.MULTILINE)  # Debian's; -n of cronie is a host
_TEST = re.compile(r"^\s*-T\b", re.MULTILINE)  # cronie's
_NO_CRONTAB = re.compile(r"\bno crontab for\b")


class UsersCrontab(NamedTuple):
    """The crontab of a user, which crontab(1) reads and writes."""

    user: str

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"crontab of {self.user}"

    @property
    def option(self) -> str:
        """The words that name it to `autotask cron`."""
        return "" if self.user == crontabs.this_user() else f" --user {self.user}"

    @property
    def format(self) -> Format:
        """How it is watched."""
        return Crontab()

    def restoring(self, copy: str) -> str:
        """Return the command that restores a copy."""
        command = shlex.join(["crontab", *self._whose()])
        name = shlex.quote(copy)
        return f"{command} {name}" if len(copy) < _LONGEST else f"{command} - <{name}"

    def read(self) -> bytes | None:
        """Return its text; None if the user has none.

        Raises:
            ToolError: crontab(1) failed for another reason, or did not print the text as it is.
        """
        ended = _crontab(*self._whose(), "-l")
        if ended.returncode and _NO_CRONTAB.search(_said(ended)):
            return None
        text = _checked("crontab -l", ended).stdout
        if crontabs.PRINTED_CRLF in text:
            raise ToolError(self._why_not_exact())
        return text

    def _why_not_exact(self) -> str:
        crontab = shlex.join(["crontab", *self._whose()])
        return (
            f"{self.name}: `crontab -l` prints its carriage returns as the two characters "
            r"`\r`, so it cannot be written back as it was: remove them with "
            rf"`{crontab} -l | sed 's/\\r$//' >jobs && {crontab} jobs`"
        )

    def check(self, text: bytes) -> None:
        """Let crontab(1) check the syntax of a text, if it can.

        Raises:
            ToolError: It refuses the text, or that is empty.
        """
        _check_is_not_empty(self.name, text)
        usage = _said(_crontab("-h"))
        option = "-n" if _DRY_RUN.search(usage) else "-T" if _TEST.search(usage) else None
        if option:
            with self._file(text) as file:
                folder, name = os.path.split(file)
                _checked(f"crontab {option}", _crontab(option, name, folder=folder), name)

    def write(self, text: bytes) -> None:
        """Replace it.

        Raises:
            ToolError: crontab(1) failed, or the text is empty.
        """
        _check_is_not_empty(self.name, text)
        with self._file(text) as file:
            folder, name = os.path.split(file)
            _checked("crontab", _crontab(*self._whose(), name, folder=folder), name)

    def _whose(self) -> list[str]:
        return [] if self.user == crontabs.this_user() else ["-u", self.user]

    @contextmanager
    def _file(self, text: bytes) -> Iterator[str]:
        """Write a file for crontab(1). Never a pipe: if its writer dies, half a crontab is read."""
        with tempfile.TemporaryDirectory(prefix="autotask-") as folder:
            # A user who owns the file can read it, but not put a link in its place, which root's
            # crontab would follow.
            os.chmod(folder, 0o711)  # noqa: S103  they may pass through
            with tempfile.NamedTemporaryFile(prefix="crontab-", dir=folder) as file:
                if os.geteuid() == 0:  # busybox's crontab opens the file as that user
                    os.fchown(file.fileno(), pwd.getpwnam(self.user).pw_uid, -1)
                file.write(text)
                file.flush()
                yield file.name


class SystemFile(NamedTuple):
    """A crontab of the system's, or an anacrontab."""

    path: str

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path

    @property
    def option(self) -> str:
        """The words that name it to `autotask cron`."""
        return f" {shlex.quote(self.path)}"

    @property
    def format(self) -> Format:
        """How it is watched."""
        is_anacrons = os.path.basename(self.path) == "anacrontab"
        return Anacrontab() if is_anacrons else Crontab(system=True)

    def restoring(self, copy: str) -> str:
        """Return the command that restores a copy."""
        return shlex.join(["cp", copy, self.path])

    def read(self) -> bytes | None:
        """Return its text.

        Raises:
            OSError: It cannot be read.
        """
        with open(self.path, "rb") as file:
            return file.read()

    def check(self, text: bytes) -> None:
        """Accept any text that is not empty: no program checks the syntax of such files.

        Raises:
            ToolError: It is empty, or this user may not write it.
        """
        _check_is_not_empty(self.name, text)
        _check_is_writable(self.name, os.path.dirname(os.path.realpath(self.path)))

    def write(self, text: bytes) -> None:
        """Replace it, with the same owner, mode and attributes.

        Raises:
            OSError: It is as it was.
            ToolError: The text is empty.
        """
        _check_is_not_empty(self.name, text)
        path = os.path.realpath(self.path)
        status = os.stat(path)
        replace(path, text, stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid))


class Timer(NamedTuple):
    """A timer of systemd; its text is the drop-in of its service."""

    timer: timers.Timer

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.timer.unit

    @property
    def option(self) -> str:
        """The words that name it to `autotask cron`."""
        return f" {shlex.quote(self.name)}"

    @property
    def format(self) -> Format:
        """How it is watched."""
        return DropIn(self.timer.service)

    def restoring(self, copy: str) -> str:  # noqa: ARG002
        """Return the command that puts the drop-in back."""
        return f"autotask cron watch{self.option}"

    def read(self) -> bytes | None:
        """Return the drop-in; empty if there is none.

        Raises:
            OSError: It cannot be read.
        """
        paths = drop_in.present(self.timer.service, HERE)
        return b"".join(map(crontabs.read, paths))

    def check(self, text: bytes) -> None:  # noqa: ARG002
        """Accept any text.

        Raises:
            ToolError: This user may not write it.
        """
        _check_is_writable(self.name, HERE.units)

    def write(self, text: bytes) -> None:
        """Write or delete the drop-in, and let systemd read it.

        Raises:
            OSError: It cannot be written.
            ToolError: systemd does not read it.
        """
        if text:
            drop_in.write(self.timer.service, os.fsdecode(text), HERE)
        else:
            drop_in.delete(self.timer.service, HERE)
        timers.reload()


Table = Union[UsersCrontab, SystemFile, Timer]


def named(name: str) -> SystemFile | Timer:
    """Return the system crontab with this path, or the timer with this name.

    Raises:
        ToolError: cron does not read such a file, or no such timer runs.
    """
    if name.endswith(".timer"):
        return _timer(name)
    path = os.path.abspath(name)
    folder, name = os.path.split(path)
    above = os.path.basename(folder)
    if above == "cron.d" or (above == "etc" and name in ("crontab", "anacrontab")):
        return SystemFile(path)
    raise ToolError(
        f"{path} is not /etc/crontab, /etc/anacrontab or a file of /etc/cron.d; "
        "for a user's crontab use --user"
    )


def problems_of(table: Table) -> list[str]:
    """Say why cron ignores a system crontab in its place; nothing if it does not."""
    if not isinstance(table, SystemFile) or not os.path.lexists(table.path):
        return []
    if table.path != HERE.crontab and os.path.dirname(table.path) != HERE.cron_d:
        return []
    why = crontabs.ignored(table.path)
    return [f"cron ignores {table.path}: {why}"] if why else []


def _timer(unit: str) -> Timer:
    for timer in timers.active():
        if timer.unit == unit:
            return Timer(timer)
    raise ToolError(f"{unit} is not active: `systemctl list-timers` shows the timers that are")


def of_user(user: str | None) -> UsersCrontab:
    """Return the crontab of a user; by default of who runs this command."""
    return UsersCrontab(user or crontabs.this_user())


def everything() -> tuple[list[Table], list[str]]:
    """Return all that this user may read; and a line for each that is not run or not recorded."""
    found, problems = crontabs.readable()
    tables: list[Table] = [
        SystemFile(str(table.path)) if table.user is None else UsersCrontab(table.user)
        for table in found
    ]
    if os.path.exists(HERE.anacrontab):
        tables.append(SystemFile(HERE.anacrontab))
    if os.geteuid() == 0:
        for timer in timers.active():
            why = drop_in.problem(timer.service)
            if why and not drop_in.present(timer.service, HERE):
                problems.append(f"{timer.unit} cannot be watched: {why}")
            else:
                tables.append(Timer(timer))
    return tables, problems


def _check_is_writable(name: str, folder: str) -> None:
    if not os.access(folder, os.W_OK):
        raise ToolError(f"only root may change {name}: use sudo")


def _check_is_not_empty(name: str, text: bytes) -> None:
    if not text.strip():
        raise ToolError(f"{name} would be empty: delete it instead")


def _crontab(*words: str, folder: str | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        ended = crontabs.run_crontab(*words, patience=_PATIENCE, folder=folder)
    except subprocess.TimeoutExpired:
        line = " ".join(["crontab", *words])
        raise ToolError(f"`{line}` did not end within {_PATIENCE:.0f} seconds") from None
    if ended is None:
        raise ToolError("the command `crontab` was not found: install cron")
    return ended


def _checked(
    command: str, ended: subprocess.CompletedProcess[bytes], file: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """Raise a ToolError if a command has failed, with what it said."""
    if ended.returncode:
        text = _said(ended)
        if file:  # a temporary name
            text = text.replace(f'"{file}":', "line ").replace(file, "the new crontab")
        why = "; ".join(line.strip() for line in text.splitlines() if line.strip())
        raise ToolError(f"`{command}` failed: {why or f'exit status {ended.returncode}'}")
    return ended


def _said(ended: subprocess.CompletedProcess[bytes]) -> str:
    return (ended.stderr or ended.stdout).decode(errors="backslashreplace")
