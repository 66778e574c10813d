"""A machine whose crontabs the tests may change, and crontab(1) as the crons have it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support import LAUNCHER, PATIENCE, Ended, environment, write
from tool.journals import COMMAND

from autotask.tool.cron import door

# A namespace of mounts with its own /etc and its own crontabs, for as long as the shell waits.
_ISOLATED = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
cp -a /etc "$1/etc"
mount --bind "$1/etc" /etc
rm -rf /etc/autotask
mkdir -p /var/spool/cron
mount -t tmpfs tmpfs /var/spool/cron
mkdir -m 1730 /var/spool/cron/crontabs
! getent group crontab >/dev/null || chgrp crontab /var/spool/cron/crontabs
echo ready
read -r line
"""


@dataclass
class Machine:
    """Where `autotask cron` may change what it likes.

    For root that is a namespace with its own /etc and crontabs; another user has a home folder of
    their own, and nothing of the system's.
    """

    folder: Path
    root: Path = Path("/")  # its file system, as the test sees it
    prefix: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)

    @property
    def doors(self) -> str:
        """The folder of the scripts behind SHELL."""
        return "/etc/autotask" if self.prefix else f"{self.folder}/person/.config/autotask"

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def run(
        self, *words: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Ended:
        done = subprocess.run(
            [*self.prefix, *map(str, words)],
            env=environment(env={**self.env, **(env or {})}),
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        out, err = (data.decode(errors="backslashreplace") for data in (done.stdout, done.stderr))
        return Ended(done.returncode, out, err)

    def autotask(self, *words: str | Path) -> Ended:
        return self.run(*COMMAND, *words)

    def answer(self, *words: str | Path) -> str:
        """Run the command, which must succeed without a notice."""
        ended = self.autotask(*words)
        assert (ended.status, ended.stderr) == (0, "")
        return ended.stdout

    def answer_noticed(self, *words: str | Path) -> str:
        """Run the command, which must succeed, whatever it notices."""
        ended = self.autotask(*words)
        assert ended.status == 0, ended.stderr
        return ended.stdout

    def crontab(self) -> bytes | None:
        """Return the crontab of this user; None if there is none."""
        words = [*self.prefix, "crontab", "-l"]
        done = subprocess.run(
            words, env=environment(env=self.env), capture_output=True, check=False
        )
        return None if done.returncode else done.stdout

    def install(self, text: bytes) -> None:
        """Make this the crontab of this user."""
        file = self.folder / "to install"
        file.write_bytes(text)
        assert self.run("crontab", file).status == 0


@contextmanager
def isolated(folder: Path) -> Iterator[Machine]:
    """Give a machine; skip the test if root may not make one."""
    person = folder / "person"
    person.mkdir()
    env = {"HOME": str(person), "XDG_CONFIG_HOME": f"{person}/.config"}
    if os.geteuid():
        yield Machine(folder, env=env)
        return
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        pytest.skip("no unshare, nsenter")
    mounts = folder / "etc"
    mounts.mkdir()
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", _ISOLATED, "sh", str(mounts)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as shell:
        assert shell.stdin
        assert shell.stdout
        if shell.stdout.readline() != b"ready\n":
            pytest.skip("may not mount")
        prefix = ["nsenter", f"--mount=/proc/{shell.pid}/ns/mnt", f"--wd={folder}"]
        yield Machine(folder, Path(f"/proc/{shell.pid}/root"), prefix, env)
        shell.stdin.close()


# --- stand-ins -----------------------------------------------------------------------------------

_DEBIANS = """usage: crontab [-u user] [-n] file
        -n      (dry run: checks the syntax, then bails out)
        -l      (list user's crontab)"""
_CRONIES = """crontab: usage error: unrecognized option
Usage:
 crontab [options] file
Options:
 -u <user>  define user
 -l         list user's crontab
 -n <host>  set host in cluster to run users' crontabs
 -T <file>  test a crontab file syntax"""
_BUSYBOXS = """crontab: invalid option -- 'h'
Usage: crontab [-c DIR] [-u USER] [-ler]|[FILE]"""
USAGES = {"debian": _DEBIANS, "cronie": _CRONIES, "busybox": _BUSYBOXS}
_CHECKS = {"debian": "-n", "cronie": "-T", "busybox": "--no-check"}

_STAND_IN = """\
#!/bin/sh
# As {kind}'s crontab is called.
{{ [ "$1" = -u ] && user="$1 $2 " && shift 2; }} || user=
cwd=$PWD file=$2
cd {folder} || exit 9
echo "$user$*" >>log
[ ! -e "$cwd/$1" ] || set -- "$cwd/$1"
[ ! -e "$cwd/$2" ] || set -- "$1" "$cwd/$2"
first() {{ mkdir "$1" 2>/dev/null; }}
write() {{ cp "$1" new && mv new table; }}
case $1 in
-h) printf '%s\\n' {usage} >&2; exit 1 ;;
{check})
    {checking}
    ! grep -q refused "$2" || {{ echo '"'"$file"'":3: bad minute' >&2; exit 1; }} ;;
-l)
    {listing}
    [ -e table ] || {{ echo "no crontab for me" >&2; exit 1; }}
    cat table ;;
-) cat >new && mv new table ;;
-*) exit 8 ;;
*) {writing} ;;
esac
"""


@dataclass
class StandIn:
    """A `crontab` of the test's own."""

    folder: Path

    @property
    def table(self) -> Path:
        return self.folder / "table"

    def calls(self) -> list[str]:
        """Return with which words it was called, files as FILE."""
        lines = (self.folder / "log").read_text().splitlines()
        return [re.sub(r"crontab-\w+", "FILE", line) for line in lines]


def stand_in(
    folder: Path,
    kind: str = "debian",
    *,
    checking: str = ":",
    listing: str = ":",
    writing: str = 'write "$1"',
) -> StandIn:
    """Write a `crontab` into a folder for the PATH; the rest says what it does."""
    text = _STAND_IN.format(
        kind=kind,
        folder=f"'{folder}'",
        usage=f"'{USAGES[kind].replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'",
        check=_CHECKS[kind],
        checking=checking,
        listing=listing,
        writing=writing,
    )
    write(folder / "crontab", text).chmod(0o755)
    return StandIn(folder)


DAMAGES = ["nothing", "an empty file", "half a file", "no shell", "a folder", "not executable"]


def lay_damaged(left: str, place: Path, half: int) -> None:
    """Put what is left of autotask-run into a folder that does not exist yet.

    Args:
        left: One of DAMAGES.
        place: The path of autotask-run.
        half: Bytes of half a file.
    """
    place.parent.mkdir()
    if left == "a folder":
        place.mkdir()
    elif left == "no shell":  # it ends as it should, but cannot be started
        place.write_text(f"#!/nowhere/sh\n{door.END}\n")
        place.chmod(0o755)
    elif left != "nothing":
        size = {"an empty file": 0, "half a file": half}.get(left, -1)
        place.write_text(LAUNCHER.read_text()[:size])
        place.chmod(0o644 if left == "not executable" else 0o755)
