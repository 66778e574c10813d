"""Crontabs that `autotask cron watch` has changed, run by real crons in a private system."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import LAUNCHER, Record, runs, wait_until, write
from tool.cron.private_system import PrivateSystem, unpacked
from tool.journals import COMMAND, Book

from autotask.run import failure

SH = "#!/bin/sh\n"
# @reboot: these run as soon as cron starts.
USERS = """\
# ann's own
{settings}
MAILTO=ann
@reboot {place}/backup.sh
@reboot echo broken; exit 3
@reboot cat > {place}/stdin; cat {place}/stdin%one%two\\%
@reboot echo "$0 $SHELL"
@reboot {place}/silent.sh > /dev/null
@reboot AUTOTASK_NAME=nightly true
@reboot kill -TERM $$

SHELL=/bin/bash
@reboot echo "$0 $SHELL ${{BASH_VERSION:+bash}}"
"""
SYSTEMS = """\
{settings}
PATH=/usr/bin:/bin
@reboot root test -x /nowhere/anacron || ( cd / && run-parts --report {place}/cron.daily )
@reboot root cd {place} && ./shop.sh
"""
MAILS = 7
RUNS = [
    ("a", "success", None),
    ("b", "failure", 3),
    ("backup.sh", "success", None),
    ("cat", "success", None),
    ("cron.daily", "failure", 1),
    ("echo", "failure", 3),
    ("echo", "success", None),
    ("echo", "success", None),
    ("nightly", "success", None),
    ("sh", "failure", "SIGTERM"),
    ("shop.sh", "success", None),
    ("silent.sh", "success", None),
]
# Each minute, for what a cron has to notice by itself.
MINUTES = "{settings}\n* * * * * {{user}}{place}/{{name}}.sh\n"


@pytest.fixture
def cron() -> str:
    found = shutil.which("cron")
    if found is None or shutil.which("nsenter") is None:
        pytest.skip("no cron and nsenter on this machine")
    return found


@pytest.fixture
def system(tmp_path: Path) -> Iterator[PrivateSystem]:
    system = PrivateSystem(tmp_path)
    yield system
    system.close()


@pytest.fixture
def settings(home: Path, swallowed: Path) -> str:
    return f"AUTOTASK_HOME={home}\nAUTOTASK_DEBUG={swallowed}\nAUTOTASK_DOGSTATSD=0"


@pytest.fixture
def jobs(system: PrivateSystem, tmp_path: Path, settings: str) -> tuple[str, str]:
    """Install both crontabs and what they run; return their texts."""
    scripts = {
        "backup.sh": "echo saved; echo careful >&2",
        "silent.sh": "echo x",
        "shop.sh": "echo shop",
        "cron.daily/a": "echo a",
        "cron.daily/b": "exit 3",
    }
    for name, text in scripts.items():
        write(tmp_path / name, f"{SH}{text}\n").chmod(0o755)
    texts = (
        USERS.format(place=shlex.quote(str(tmp_path)), settings=settings),
        SYSTEMS.format(place=shlex.quote(str(tmp_path)), settings=settings),
    )
    system.run("crontab", "-", text=texts[0])
    system.write("/etc/cron.d/shop", texts[1])
    return texts


def endings(records: list[Record]) -> list[tuple[str, str, object]]:
    return sorted(
        (
            (run["task"], run["status"], run.get("signal") or run.get("exit_code"))
            for run in records
        ),
        key=str,
    )


def run_all(system: PrivateSystem, cron: str, home: Path, recorded: int) -> None:
    """Let cron run what is due at a reboot, until all mails and runs are there."""
    system.run("rm", "-f", "/run/crond.reboot")
    system.forget_mails()
    with system.daemon(cron, "-f"):
        wait_until(lambda: len(system.mails()) == MAILS and has_ended(home, recorded))


def has_ended(home: Path, recorded: int) -> bool:
    found = runs(home) if home.joinpath("journal").exists() else []
    return len(found) == recorded and all(run["status"] != "running" for run in found)


def crontabs(system: PrivateSystem) -> tuple[str, str]:
    return system.run("crontab", "-l"), system.run("cat", "/etc/cron.d/shop")


@pytest.mark.cron
def test_the_jobs_of_watched_crontabs_are_recorded_and_nothing_else_changes(
    system: PrivateSystem, cron: str, jobs: tuple[str, str], home: Path
) -> None:
    run_all(system, cron, home, 0)
    mails = system.mails()
    assert any(mail.body == "one\ntwo%\n" for mail in mails)
    system.run(*COMMAND, "cron", "watch", "--yes")
    system.run(*COMMAND, "cron", "watch", "/etc/cron.d/shop", "--yes")
    assert crontabs(system) != jobs
    run_all(system, cron, home, len(RUNS))
    assert system.mails() == mails
    records = runs(home)
    assert endings(records) == RUNS
    assert {run["trigger"] for run in records} == {"cron"}
    daily, failed = (next(r for r in records if r["task"] == name) for name in ("cron.daily", "b"))
    assert (daily["reason"], daily["caused_by"]) == ("nested", failed["run"])

    for words in ([], ["/etc/cron.d/shop"]):
        system.run(*COMMAND, "cron", "unwatch", *words, "--yes")
    assert crontabs(system) == jobs
    run_all(system, cron, home, len(RUNS))
    assert system.mails() == mails


@pytest.mark.cron
def test_the_jobs_of_watched_crontabs_run_without_autotask(
    system: PrivateSystem, cron: str, jobs: tuple[str, str], home: Path, tmp_path: Path
) -> None:
    system.run(*COMMAND, "cron", "watch", "--all", "--yes")
    run_all(system, cron, home, len(RUNS))
    mails = system.mails()
    (tmp_path / "damaged").write_bytes(LAUNCHER.read_bytes()[:2000])
    system.run("mount", "--bind", tmp_path / "damaged", LAUNCHER)
    run_all(system, cron, home, len(RUNS))
    assert system.mails() == mails


@pytest.mark.cron
def test_the_mail_of_cron_is_the_alarm_and_comes_once(
    system: PrivateSystem, cron: str, tmp_path: Path, settings: str, home: Path
) -> None:
    Book(home).run("backup.sh", "process", ago=3600, outcome=failure("exit", exit_code=3))
    place, check = shlex.quote(str(tmp_path)), shlex.join([*COMMAND, "check"])
    crontab = f"{settings}\nMAILTO=ann\n@reboot {check}; echo >> {place}/checks\n"
    system.run("crontab", "-", text=crontab)
    system.run(*COMMAND, "cron", "watch", "--yes")  # then the check is a run, too
    done = tmp_path / "checks"
    done.touch()
    for checks in (1, 2, 3):
        system.run("rm", "-f", "/run/crond.reboot")
        with system.daemon(cron, "-f"):
            wait_until(lambda times=checks: len(done.read_text()) == times)  # type: ignore[misc]
            wait_until(lambda: len(system.mails()) > 0)
    (mail,) = system.mails()
    assert re.fullmatch(r"backup\.sh failed at \d\d:\d\d \(exit 3\) \[\w{8}\]\n", mail.body)


@pytest.mark.cron
def test_crons_take_a_watched_crontab_at_the_next_minute(
    system: PrivateSystem, cron: str, tmp_path: Path, settings: str, home: Path
) -> None:
    names = {"own": "", "system": "/etc/crontab", "shop": "/etc/cron.d/shop"}
    text = MINUTES.format(settings=settings, place=shlex.quote(str(tmp_path)))
    system.run("crontab", "-", text=text.format(user="", name="own"))
    for name, path in names.items():
        write(tmp_path / f"{name}.sh", SH).chmod(0o755)
        if path:
            system.write(path, text.format(user="root ", name=name))
    with system.daemon(cron, "-f"), contextlib.ExitStack() as others:
        time.sleep(1)  # it has read them
        system.run(*COMMAND, "cron", "watch", "--all", "--yes")
        busybox = unpacked("busybox")
        if busybox and "crond" in system.run(busybox, "--list").split():  # not to wait twice
            names["busybox"] = ""
            write(tmp_path / "busybox.sh", SH).chmod(0o755)
            watched = system.run("crontab", "-l").replace("/own.sh", "/busybox.sh")
            write(tmp_path / "busybox/root", watched)
            others.enter_context(system.daemon(busybox, "crond", "-f", "-c", tmp_path / "busybox"))
        wait_until(lambda: has_ended(home, len(names)))
    assert endings(runs(home)) == [(f"{name}.sh", "success", None) for name in sorted(names)]


@pytest.mark.cron
def test_anacron_makes_a_run_of_each_script(
    system: PrivateSystem, jobs: tuple[str, str], tmp_path: Path, settings: str, home: Path
) -> None:
    anacron = unpacked("anacron")
    if anacron is None:
        pytest.skip("no anacron on this machine")
    place = shlex.quote(str(tmp_path))
    job = f"1 5 daily run-parts --report {place}/cron.daily\n"
    table = f"SHELL=/bin/sh\nPATH=/usr/bin:/bin\n{settings}\n{job}"
    system.write("/etc/anacrontab", table)
    system.run(anacron, "-f", "-n", "-d")
    mails = system.mails()
    system.run(*COMMAND, "cron", "watch", "/etc/anacrontab", "--yes")
    system.forget_mails()
    system.run(anacron, "-f", "-n", "-d")
    assert (len(mails), system.mails()) == (1, mails)
    assert endings(runs(home)) == RUNS[:2]
    assert {run["trigger"] for run in runs(home)} == {"cron"}
    system.run(*COMMAND, "cron", "unwatch", "/etc/anacrontab", "--yes")
    assert system.run("cat", "/etc/anacrontab") == table
