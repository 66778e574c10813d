"""Where this machine keeps its jobs."""

from __future__ import annotations

import os
from typing import NamedTuple

_SPOOLS = ("/var/spool/cron/crontabs", "/var/spool/cron")  # Debian's and busybox's, cronie's


class Places(NamedTuple):
    """The files of cron, anacron and systemd, of this machine or in a folder that looks like it."""

    root: str = ""  # the folder, without a slash at its end
    owner: int = 0  # the uid that has to own system crontabs

    def at(self, path: str) -> str:
        """Return where an absolute path is."""
        return self.root + path

    @property
    def spool(self) -> str | None:
        """The folder of the users' crontabs; None if no cron has one."""
        return next(filter(os.path.isdir, map(self.at, _SPOOLS)), None)

    @property
    def crontab(self) -> str:
        """The system's crontab."""
        return self.at("/etc/crontab")

    @property
    def cron_d(self) -> str:
        """The folder of more of them."""
        return self.at("/etc/cron.d")

    @property
    def anacrontab(self) -> str:
        """The jobs of anacron."""
        return self.at("/etc/anacrontab")

    @property
    def units(self) -> str:
        """The administrator's folder of systemd's units."""
        return self.at("/etc/systemd/system")

    @property
    def has_systemd(self) -> bool:
        """Whether systemd has booted this machine: sd_booted(3)."""
        return os.path.isdir(self.at("/run/systemd/system"))


HERE = Places()
