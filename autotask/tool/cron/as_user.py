"""Look at this machine as another user: what may they execute, where may they write."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Iterable

from autotask.tool.doctor.finding import Finding


def may_become(user: pwd.struct_passwd) -> bool:
    """Tell whether `findings_of` can answer for a user."""
    return os.geteuid() in (0, user.pw_uid)


def findings_of(user: pwd.struct_passwd, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return what a check finds if it runs as a user; root does that in a child process.

    The check must not change anything: in this process it may run as well.
    """
    if os.geteuid() == user.pw_uid:
        return list(check())
    # It imports what it needs, which the user may not be able to read: root's own installation.
    list(check())
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _answer(user, check, writer)
    os.close(writer)
    with open(reader, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    told = json.loads(text or b'"the process was killed"')
    if isinstance(told, str):
        return [Finding("warning", "user", f"cannot check as {user.pw_name}: {told}")]
    return [Finding(*words) for words in told]


def _answer(user: pwd.struct_passwd, check: Callable[[], Iterable[Finding]], writer: int) -> None:
    """Become the user, write what the check finds, and end."""
    told: object
    try:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        told = list(check())
    except BaseException as problem:  # the child must not go on as a second `autotask`
        told = f"{type(problem).__name__}: {problem}"
    try:
        with open(writer, "wb") as answer:
            answer.write(json.dumps(told).encode())
    finally:
        os._exit(0)
