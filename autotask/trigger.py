"""What started this: a terminal, cron, systemd, Kubernetes, a CI system."""

from __future__ import annotations

import os

from autotask import process

_CI = ("CI", "BUILD_ID", "TF_BUILD", "TEAMCITY_VERSION", "JENKINS_URL")
_CRONS = ("cron", "crond", "anacron", "fcron", "supercronic")
_LEVELS = 5  # ancestors looked at: cron, its child, a shell, a script, autotask-run


def find_trigger() -> str:
    """Return the contract's word for what started this process."""
    environ = os.environ
    if any(environ.get(name, "").lower() not in ("", "0", "false") for name in _CI):
        return "ci"
    if any(os.isatty(file) for file in (0, 1, 2)):
        return "terminal"
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if _below_cron():
        return "cron"
    return "systemd" if environ.get("INVOCATION_ID") else "unknown"


def _below_cron() -> bool:
    pid = os.getppid()
    for _ in range(_LEVELS):
        if pid <= 0:
            return False
        name = process.name_of(pid)
        fields = process.stat_fields(pid)
        if name is None or fields is None:
            return False
        if name.lower() in _CRONS:
            return True
        pid = int(fields[1])
    return False
