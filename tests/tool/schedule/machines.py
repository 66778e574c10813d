"""A machine's crontabs, scripts and timers, in a folder; and a systemd in namespaces of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import PATIENCE

from autotask.tool.schedule.places import Places

ME = pwd.getpwuid(os.getuid()).pw_name
SYSTEMD = Path("/lib/systemd/systemd")
# `systemctl show` of the units that the test has described; `systemctl daemon-reload` is noted.
_SYSTEMCTL = """\
#!/bin/sh
cd {folder} || exit 1
printf '%s\\n' "$*" >> ../systemctl.log
[ "$1" = show ] || exit 0
shift 3
separator=
for pattern; do
    for unit in $pattern; do
        [ -f "$unit" ] || continue
        printf "$separator"
        cat -- "$unit"
        separator='\\n'
    done
done
"""
_BOOT = """\
mount -t tmpfs none /run && mkdir /run/systemd || exit 1
exec env -i container=tests PATH="$PATH" SYSTEMD_UNIT_PATH={units} {systemd} --system \\
    --unit=tests.target --log-target=null
"""


class Machine:
    """Writes what is on a machine into a folder, at the usual places."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places(str(root), os.getuid())
        self.programs = root / "bin"
        for folder in ("etc/cron.d", "etc/systemd/system", "var/spool/cron/crontabs", "bin"):
            (root / folder).mkdir(parents=True)

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> str:
        """Write a file at an absolute path of the machine; return where it really is."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode() if isinstance(text, str) else text)
        place.chmod(mode)
        return str(place)

    def program(self, name: str, text: str) -> None:
        """Write a program that is found before the machine's own; see `on_path`."""
        self.write(f"/bin/{name}", text, 0o755)

    def on_path(self, patch: pytest.MonkeyPatch) -> None:
        """Let our programs be found first."""
        patch.setenv("PATH", f"{self.programs}:{os.environ['PATH']}")

    def crontab(self, text: str | bytes, user: str = ME) -> str:
        """Write the crontab of a user."""
        return self.write(f"/var/spool/cron/crontabs/{user}", text, 0o600)

    def script(self, folder: str, name: str, mode: int = 0o755) -> str:
        """Write a script of cron.daily and the like."""
        return self.write(f"/etc/{folder}/{name}", "#!/bin/sh\n", mode)

    def systemd(self, *, running: bool = True) -> None:
        """Have a systemd that knows the units which `show` describes."""
        if running:
            (self.root / "run/systemd/system").mkdir(parents=True)
        (self.root / "shown").mkdir()
        folder = shlex.quote(str(self.root / "shown"))
        self.program("systemctl", _SYSTEMCTL.format(folder=folder))

    def show(self, unit: str, *lines: str, **properties: str | float) -> None:
        """Describe a unit, as `systemctl show` does: `Id=backup.timer`."""
        given = [f"{name}={value}" for name, value in {"Id": unit, **properties}.items()]
        (self.root / "shown" / unit).write_text("".join(f"{line}\n" for line in (*given, *lines)))

    def asked(self) -> list[str]:
        """Return the words of each call of systemctl."""
        return (self.root / "systemctl.log").read_text().splitlines()


@contextlib.contextmanager
def booted(machine: Machine) -> Iterator[None]:
    """Run a real systemd with the machine's units, as process 1 of a namespace.

    Its target is tests.target. `systemctl` is found first and talks to it.
    """
    _skip_without_namespaces()
    boot = _BOOT.format(units=machine.places.units, systemd=SYSTEMD)
    words = ["unshare", "--fork", "--pid", "--mount", "--cgroup", "--mount-proc", "--kill-child"]
    with subprocess.Popen(
        [*words, "sh", "-c", boot], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _await_systemd(machine, process)
            (machine.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def _skip_without_namespaces() -> None:
    if os.getuid() != 0:
        pytest.skip("only root may have namespaces")
    if not SYSTEMD.exists() or not shutil.which("nsenter"):
        pytest.skip("no systemd is installed")
    if os.path.isdir("/run/systemd/system"):
        pytest.skip("this machine runs systemd: a second one could disturb its control groups")


def _await_systemd(machine: Machine, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if child:
            enter = (
                f"nsenter --target {child[0]} --mount --pid --cgroup {shutil.which('systemctl')}"
            )
            machine.program("systemctl", f'#!/bin/sh\nexec {enter} "$@"\n')
            asked = [str(machine.programs / "systemctl"), "is-active", "tests.target"]
            if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
                return
        time.sleep(0.05)
    pytest.skip("systemd does not start here")


def mode_of(path: str) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(os.stat(path).st_mode)
