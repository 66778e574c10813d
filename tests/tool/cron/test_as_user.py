"""Checks as another user, in a child process."""

from __future__ import annotations

import contextlib
import importlib
import os
import pwd
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from autotask.tool.cron import as_user
from autotask.tool.doctor.finding import Finding, Findings


def check() -> Findings:
    ids = f"{os.getuid()} {os.geteuid()} {os.getgid()} {sorted(os.getgroups())}"
    yield Finding("ok", "ids", ids, "é\n")


def killed() -> Findings:
    if os.geteuid():
        os.kill(os.getpid(), signal.SIGKILL)
    yield Finding("ok", "", "")


def broken() -> Findings:
    if os.geteuid():
        raise ValueError("no words")
    yield Finding("ok", "", "")


def test_what_concerns_this_user_is_checked_in_this_process() -> None:
    me = pwd.getpwuid(os.geteuid())
    assert as_user.may_become(me)
    assert as_user.findings_of(me, check) == list(check())


def zombies() -> list[str]:
    """Return the ended children of this process that nobody has waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it is gone
            state, parent, *_ = path.read_text().rpartition(")")[2].split()
            found += [path.parent.name] * ((state, parent) == ("Z", str(os.getpid())))
    return found


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@needs_root
def test_root_checks_as_another_user_with_their_groups() -> None:
    user = pwd.getpwnam("daemon")
    assert as_user.may_become(user)
    groups = sorted(os.getgrouplist(user.pw_name, user.pw_gid))
    text = f"{user.pw_uid} {user.pw_uid} {user.pw_gid} {groups}"
    assert as_user.findings_of(user, check) == [Finding("ok", "ids", text, "é\n")]
    assert os.geteuid() == 0


@needs_root
@pytest.mark.parametrize(
    ("broken_check", "why"),
    [(broken, "ValueError: no words"), (killed, "the process was killed")],
)
def test_a_check_that_fails_there_is_a_warning(
    broken_check: Callable[[], Findings], why: str
) -> None:
    user = pwd.getpwnam("daemon")
    told = Finding("warning", "user", f"cannot check as daemon: {why}")
    assert as_user.findings_of(user, broken_check) == [told]
    assert not zombies()


@needs_root
def test_a_module_that_the_user_cannot_read_is_imported_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seldom_needed.py").write_text("NAME = 'seldom'\n")
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(str(tmp_path))

    def needs_it() -> Findings:
        yield Finding("ok", "name", importlib.import_module("seldom_needed").NAME)

    told = as_user.findings_of(pwd.getpwnam("daemon"), needs_it)
    assert told == [Finding("ok", "name", "seldom")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may become any user")
def test_another_user_can_only_be_checked_by_root() -> None:
    assert not as_user.may_become(pwd.getpwnam("root"))
