"""What started this process: a terminal, cron, systemd, Kubernetes, a container, a CI system."""

from __future__ import annotations

import os
import sys

from autotask import procfs

_CI = (b"CI", b"BUILD_ID", b"TF_BUILD", b"TEAMCITY_VERSION", b"JENKINS_URL")
_CRONS = ("cron", "crond", "anacron", "fcron", "supercronic")
_LEVELS = 5  # ancestors looked at: cron, its child, a shell, a script, autotask-run
_DOCKER = "/.dockerenv"
# Set by Podman, systemd-nspawn and LXC; Nomad; Amazon ECS.
_CONTAINER = (
    *(b"container", b"NOMAD_ALLOC_ID"),
    *(b"ECS_CONTAINER_METADATA_URI_V4", b"ECS_CONTAINER_METADATA_URI"),
)


def find_trigger() -> str:
    """Return the contract's word for what started this process."""
    # posix.environ, not os.environ: there a name that is missing costs 9,000 instructions.
    environ = getattr(sys.modules.get("posix"), "environ", {})
    if any(environ.get(name, b"").lower() not in (b"", b"0", b"false") for name in _CI):
        return "ci"
    in_pod = environ.get(b"KUBERNETES_SERVICE_HOST")
    terminals = [file for file in (0, 1, 2) if os.isatty(file)]
    if terminals:
        return "kubernetes" if in_pod and _is_console(terminals[0]) else "terminal"
    if in_pod:
        return "kubernetes"
    if _below_cron():
        return "cron"
    if environ.get(b"INVOCATION_ID"):
        return "systemd"
    in_container = os.access(_DOCKER, os.F_OK) or not environ.keys().isdisjoint(_CONTAINER)
    return "container" if in_container else "unknown"


def _is_console(terminal: int) -> bool:
    """Tell whether a terminal is the pod's own (`tty: true`), not one of `kubectl exec -it`.

    Only the pod's is bound to /dev/console (OCI runtime specification, config-linux, "Default
    Devices"), and process 1 leads its session if no other container shares that.
    """
    if os.getsid(0) == 1:
        return True
    try:
        return os.stat("/dev/console").st_rdev == os.fstat(terminal).st_rdev
    except OSError:
        return False


def _below_cron() -> bool:
    pid = os.getppid()
    for _ in range(_LEVELS):
        if pid <= 0:
            return False
        name = procfs.name_of(pid)
        fields = procfs.stat_fields(pid)
        if name is None or fields is None:
            return False
        if name.lower() in _CRONS:
            return True
        pid = int(fields[1])
    return False
