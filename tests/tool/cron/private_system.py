"""A view of this machine that only one test has, in which real crons can run.

What a cron reads and writes lies under overlays in a mount namespace: /etc, /run, /var/spool and
/usr/sbin, in which sendmail(8) keeps each mail. The machine's own files are never changed, and no
other cron meets the one that is started.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from support import PATIENCE, write

_CHANGED = ("/etc", "/run", "/var/spool", "/usr/sbin")
_UNPACKED = Path(__file__).resolve().parents[3] / "build" / "apt"  # see tests/apt_unpacked.sh
_SET_UP = """
set -e
mount -t tmpfs tmpfs {upper}
number=0
for folder in {changed}; do
    number=$((number + 1))
    layer={upper}/$number
    mkdir -p "$layer/upper" "$layer/work"
    options=lowerdir=$folder,upperdir=$layer/upper,workdir=$layer/work
    mount -t overlay overlay -o "$options" $folder
done
rm -rf /etc/cron.d /etc/crontab /etc/anacrontab /etc/autotask /var/spool/cron/crontabs/*
rm -rf /var/spool/anacron /run/crond.* /usr/sbin/sendmail
mkdir -p /etc/cron.d /var/spool/anacron
cp {sendmail} /usr/sbin/sendmail
: > /etc/crontab
echo ready
read -r line
"""


class Mail(NamedTuple):
    """What a cron mails after a job that printed something."""

    subject: str
    body: str


class PrivateSystem:
    """A mount namespace, and the programs that run in it."""

    def __init__(self, place: Path) -> None:
        self.mails_folder = place / "mails"
        self.mails_folder.mkdir()
        mails = shlex.quote(str(self.mails_folder))
        upper = place / "upper"
        upper.mkdir()
        sendmail = write(
            place / "sendmail",
            f"""\
            #!/bin/sh
            cat > {mails}/$$.part
            mv {mails}/$$.part {mails}/$$
            """,
        )
        sendmail.chmod(0o755)
        paths = {"upper": shlex.quote(str(upper)), "sendmail": shlex.quote(str(sendmail))}
        script = _SET_UP.format(changed=" ".join(_CHANGED), **paths)
        # It holds the namespace, and ends with its standard input.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            _, err = self._holder.communicate()
            pytest.skip(f"no private view of this machine: {err.decode().strip()}")

    def close(self) -> None:
        self._holder.communicate()

    def words(self, *command: str | Path) -> list[str]:
        """Return the command line that runs a command in it."""
        namespace = f"--mount=/proc/{self._holder.pid}/ns/mnt"
        return ["nsenter", namespace, "--wd=/", "--", *map(str, command)]

    def run(self, *command: str | Path, text: str = "") -> str:
        """Run a command that has to succeed; return what it prints."""
        done = subprocess.run(
            self.words(*command), input=text, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-c", 'cat > "$0"', path, text=text)

    @contextmanager
    def daemon(self, *command: str | Path) -> Iterator[None]:
        """Let a cron run in the foreground meanwhile."""
        process = subprocess.Popen(
            self.words(*command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
            assert process.poll() is None, f"{command[0]} has ended"
        finally:
            process.terminate()
            process.wait()

    def mails(self) -> list[Mail]:
        """Return the mails so far, without what tells one process from another."""
        found = []
        for path in self.mails_folder.glob("*"):
            if path.suffix != ".part":
                head, _, body = path.read_text().partition("\n\n")
                (subject,) = (line for line in head.splitlines() if line.startswith("Subject: "))
                found.append(Mail(subject.removeprefix("Subject: "), body))
        return sorted(found)

    def forget_mails(self) -> None:
        for path in self.mails_folder.glob("*"):
            path.unlink()


def unpacked(name: str) -> str | None:
    """Find a program among those that `make` has unpacked, or on the path."""
    return shutil.which(name, path=f"{_UNPACKED}/bin:{_UNPACKED}/usr/sbin:{os.environ['PATH']}")
