"""`autotask cron watch` and `unwatch`, as they are typed."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import INSTALLED, PYTHON, Ended, write
from tool.cron.machines import Machine, isolated, stand_in
from tool.journals import CODE, COMMAND, DAY, in_terminal
from tool.schedule import machines as schedule_machines

from autotask.tool.cron import door, watch
from autotask.tool.schedule import first_seen

JOBS = b'# mine\nMAILTO=""\n*/5 * * * *\tjob\nSHELL=/bin/bash\n@daily other\n'
SYSTEM = b"17 * * * *\troot\tjob\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with isolated(tmp_path) as machine:
        yield machine


@pytest.fixture
def with_crontab(machine: Machine) -> Machine:
    """Give a machine with the real crontab(1), or without namespaces a stand-in."""
    if not machine.prefix or shutil.which("crontab") is None:
        folder = machine.folder / "bin"
        stand_in(folder)
        machine.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return machine


@pytest.fixture
def as_root(with_crontab: Machine) -> Machine:
    if not with_crontab.prefix:
        pytest.skip("needs root and a namespace of mounts")
    return with_crontab


def watched(machine: Machine) -> bytes:
    doors = machine.doors.encode()
    return (
        b"SHELL=" + doors + b"/shell\n" + JOBS[:-13] + b"SHELL=" + doors + b"/shell.bin.bash\n"
        b"@daily other\n"
    )


def me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def test_watch_shows_the_difference_and_writes_it(with_crontab: Machine) -> None:
    machine = with_crontab
    machine.install(JOBS)
    lines = machine.answer("cron", "watch", "--yes").splitlines()
    assert lines[:10] == [
        f"--- crontab of {me()}",
        f"+++ crontab of {me()}, changed",
        "@@ -1,5 +1,7 @@",
        f"+SHELL={machine.doors}/shell",
        " # mine",
        ' MAILTO=""',
        " */5 * * * *     job",
        " SHELL=/bin/bash",
        f"+SHELL={machine.doors}/shell.bin.bash",
        " @daily other",
    ]
    assert lines[10:12] == [f"wrote {machine.doors}/shell", f"wrote {machine.doors}/shell.bin.bash"]
    start = f"crontab of {me()}: 2 jobs watched; copy of the old one: "
    assert lines[12].startswith(start)
    assert Path(lines[12].removeprefix(start)).read_bytes() == JOBS
    assert lines[13:] == ["  to undo: autotask cron unwatch"]
    assert machine.crontab() == watched(machine)
    for name in ("shell", "shell.bin.bash"):
        assert os.access(machine.at(f"{machine.doors}/{name}"), os.X_OK)


def test_twice_is_once(with_crontab: Machine) -> None:
    machine = with_crontab
    machine.install(JOBS)
    machine.answer("cron", "watch", "--yes")
    assert machine.answer("cron", "watch") == f"crontab of {me()}: already watched\n"
    assert machine.crontab() == watched(machine)


def test_a_door_that_is_gone_is_written_again(with_crontab: Machine) -> None:
    machine = with_crontab
    machine.install(JOBS)
    machine.answer("cron", "watch", "--yes")
    machine.at(f"{machine.doors}/shell").unlink()
    assert machine.answer("cron", "watch", "--yes") == (
        f"wrote {machine.doors}/shell\ncrontab of {me()}: already watched\n"
    )
    assert machine.at(f"{machine.doors}/shell").exists()


def test_a_door_of_another_user_counts_if_it_works(with_crontab: Machine) -> None:
    machine = with_crontab
    of_another = write(machine.folder / "autotask" / "shell", '#!/bin/sh\nexec /bin/sh "$@"\n')
    text = f"SHELL={of_another}\n5 * * * * job\n".encode()
    machine.install(text)
    of_another.chmod(0o755)
    ended = machine.autotask("cron", "watch")
    assert (ended.status, ended.stdout) == (0, f"crontab of {me()}: already watched\n")
    assert ended.stderr == f"autotask: {of_another} {door.OTHER_VERSION}\n"
    # A broken one is not written, but another is named instead.
    of_another.unlink()
    ended = machine.autotask("cron", "watch", "--line", "2")
    assert ended.stderr.startswith(f"autotask: {of_another} cannot be read")
    machine.answer("cron", "watch", "--yes")
    assert not of_another.exists()
    assert machine.crontab() == text.replace(
        str(of_another).encode(), f"{machine.doors}/shell".encode()
    )


def test_a_shell_that_is_gone_is_named(with_crontab: Machine) -> None:
    machine = with_crontab
    machine.install(b"SHELL=/opt/no/zsh\n5 * * * * job\n")
    ended = machine.autotask("cron", "watch", "--yes")
    assert ended.status == 0
    assert ended.stderr == (
        f"autotask: {machine.doors}/shell.opt.no.zsh leads to /opt/no/zsh, which cannot be "
        "executed: no job runs\n"
    )


def test_unwatch_gives_the_same_bytes_back(with_crontab: Machine) -> None:
    machine = with_crontab
    machine.install(JOBS)
    machine.answer("cron", "watch", "--yes")
    ended = machine.autotask("cron", "unwatch", "--yes")
    assert ended.status == 0
    assert ended.stderr.splitlines() == [
        f"autotask: {machine.doors}/{name} stays: another crontab may name it"
        for name in ("shell", "shell.bin.bash")
    ]
    assert machine.crontab() == JOBS
    undo = ended.stdout.splitlines()[-1].removeprefix("  to undo: ")
    assert undo.startswith("crontab ")
    assert machine.run("sh", "-c", undo).status == 0
    assert machine.crontab() == watched(machine)


def test_what_is_not_watched_stays_as_it_is(with_crontab: Machine) -> None:
    machine = with_crontab
    told = f"crontab of {me()}: not watched\n"
    assert machine.answer("cron", "unwatch") == told
    machine.install(JOBS)
    assert machine.answer("cron", "unwatch") == told
    assert machine.crontab() == JOBS


def test_only_some_lines_are_watched(with_crontab: Machine) -> None:
    machine = with_crontab
    machine.install(JOBS)
    assert "1 of 2 jobs watched" in machine.answer("cron", "watch", "--line", "3", "--yes")
    doors = machine.doors.encode()
    assert machine.crontab() == (
        b'# mine\nMAILTO=""\nSHELL=' + doors + b"/shell\n*/5 * * * *\tjob\n"
        b"# autotask: the shell of the lines below\nSHELL=/bin/sh\nSHELL=/bin/bash\n@daily other\n"
    )
    told = machine.answer("cron", "watch", "--line", "4")
    assert told == f"crontab of {me()}: already watched\n"
    machine.answer("cron", "watch", "--yes")
    assert machine.crontab() == watched(machine)


# `autotask` after a week, on a machine that was booted long ago.
AFTER_A_WEEK = f"""
import time
now = time.time
time.time = lambda: now() + 7 * {DAY}
from autotask.tool.schedule import since
since.booted = lambda: 0.0
{CODE}
"""


def missed_a_week_later(machine: Machine) -> int:
    ended = machine.run(PYTHON, "-c", AFTER_A_WEEK, "cron", "list", "--format", "jsonl")
    assert ended.status == 0, ended.stderr
    jobs = [json.loads(line) for line in ended.stdout.splitlines()]
    return sum(job["missed"] for job in jobs if job["source"] == f"crontab of {me()}")


@pytest.mark.parametrize("again", [False, True])
def test_what_was_missed_since_is_in_the_first_list(again: bool, with_crontab: Machine) -> None:
    machine = with_crontab
    home = machine.folder / "home"
    machine.env["AUTOTASK_HOME"] = str(home)
    machine.install(b"17 4 * * *\tjob\n")
    machine.answer("cron", "watch", "--yes")
    if again:
        shutil.rmtree(home)
        assert machine.answer("cron", "watch") == f"crontab of {me()}: already watched\n"
    assert missed_a_week_later(machine) > 0


def test_jobs_are_watched_even_if_their_first_sight_cannot_be_noted(with_crontab: Machine) -> None:
    machine = with_crontab
    home = machine.folder / "home"
    (home / first_seen.FILE).mkdir(parents=True)
    machine.env["AUTOTASK_HOME"] = str(home)
    machine.install(JOBS)
    assert "2 jobs watched" in machine.answer("cron", "watch", "--yes")
    machine.env["AUTOTASK_HOME"] = "/dev/null/home"
    assert machine.answer("cron", "watch") == f"crontab of {me()}: already watched\n"


# What is asked for, the crontab, and the one line that is said.
REFUSED = {
    "no terminal": ((), JOBS, "not a terminal: pass --yes to apply without confirmation"),
    "no crontab": ((), None, "crontab of {me} does not exist: write it with `crontab -e`"),
    "not a job": (
        ("--line", "1"),
        JOBS,
        "crontab of {me}: line 1 is not a job; the jobs are in these lines: 3, 5",
    ),
    "no such line": (
        ("--line", "9"),
        JOBS,
        "crontab of {me}: there is no line 9: the crontab has 5",
    ),
    "a line of all": (("--all", "--line", "3"), JOBS, "--line needs one crontab: leave out --all"),
    "no path": (
        ("--yes",),
        b"SHELL=bash\n5 * * * * a\n6 * * * * b\n",
        (
            "crontab of {me}: nothing can be watched: "
            "cron cannot start lines 2, 3: SHELL is not a path there"
        ),
    ),
    "another file": (
        ("/etc/passwd",),
        JOBS,
        (
            "/etc/passwd is not /etc/crontab, /etc/anacrontab or a file of /etc/cron.d; "
            "for a user's crontab use --user"
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    case: str, with_crontab: Machine
) -> None:
    words, text, told = REFUSED[case]
    machine = with_crontab
    if text is not None:
        machine.install(text)
    ended = machine.autotask("cron", "watch", *words)
    assert (ended.status, ended.stderr) == (1, f"autotask: {told.format(me=me())}\n")
    assert machine.crontab() == text
    assert not machine.at(machine.doors).exists()


def test_a_job_that_cron_cannot_start_is_named(with_crontab: Machine) -> None:
    machine = with_crontab
    machine.install(b"5 * * * * a\nSHELL=bash\n6 * * * * b\n")
    ended = machine.autotask("cron", "watch", "--yes")
    assert ended.status == 0
    assert ended.stderr == (
        f"autotask: crontab of {me()}: cron cannot start line 4: SHELL is not a path there\n"
    )
    assert "1 of 2 jobs watched" in ended.stdout


def test_a_job_that_would_be_recorded_twice_is_named(with_crontab: Machine) -> None:
    machine = with_crontab
    machine.install(b"1 * * * * autotask-run a\n2 * * * * b\n3 * * * * nice autotask-run c\n")
    told = (
        f"autotask: crontab of {me()}: lines 2, 4 would be recorded twice: "
        "remove autotask-run there\n"
    )
    ended = machine.autotask("cron", "watch", "--yes")
    assert (ended.status, ended.stderr) == (0, told)
    assert machine.autotask("cron", "watch").stderr == told  # it is watched already
    assert machine.answer_noticed("cron", "unwatch", "--yes")
    machine.install(b"1 * * * * autotask-run a\n2 * * * * b\n")
    assert machine.autotask("cron", "watch", "--line", "2", "--yes").stderr == ""


CRLF = b"# mine\r\n5 * * * * job\r\n"


def returns(user: str) -> str:
    return (
        f"autotask: crontab of {user}: `crontab -l` prints its carriage returns as the two "
        "characters `\\r`, so it cannot be written back as it was: remove them with "
        "`crontab -l | sed 's/\\\\r$//' >jobs && crontab jobs`\n"
    )


@pytest.mark.parametrize("action", ["watch", "unwatch"])
def test_a_crontab_that_crontab_does_not_show_as_it_is_stays_as_it_is(
    action: str, machine: Machine
) -> None:
    folder = machine.folder / "bin"
    crontab = stand_in(folder, listing=r"sed 's/\r$/\\r/' table; exit")  # as Debian's
    machine.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    crontab.table.write_bytes(CRLF)
    ended = machine.autotask("cron", action, "--yes")
    assert (ended.status, ended.stdout, ended.stderr) == (1, "", returns(me()))
    assert crontab.table.read_bytes() == CRLF
    remedy = ended.stderr.split("`")[-2]
    assert machine.run("sh", "-c", f"cd '{folder}' && {remedy}").status == 0
    assert crontab.table.read_bytes() == CRLF.replace(b"\r", b"")


def test_a_crontab_without_jobs_stays_as_it_is(with_crontab: Machine) -> None:
    with_crontab.install(b"# nothing yet\n")
    assert with_crontab.answer("cron", "watch") == f"crontab of {me()}: no jobs\n"
    assert with_crontab.crontab() == b"# nothing yet\n"


def test_a_crontab_that_crontab_refuses_is_not_written(machine: Machine) -> None:
    folder = machine.folder / "bin"
    crontab = stand_in(folder)
    crontab.table.write_bytes(b"5 * * * * refused\n")
    machine.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    ended = machine.autotask("cron", "watch", "--yes")
    assert ended.status == 1
    assert ended.stderr.endswith("line 3: bad minute\n")
    assert crontab.calls() == ["-l", "-h", "-n FILE"]


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 1)])
def test_on_a_terminal_it_asks(typed: str, status: int, with_crontab: Machine) -> None:
    machine = with_crontab
    machine.install(JOBS)
    environ = [f"{name}={value}" for name, value in machine.env.items()]
    words = [*machine.prefix, "env", *environ, *COMMAND, "cron", "watch"]
    shown = in_terminal(*words, status=status, types=typed)
    assert "apply these changes? [y/N] " in shown
    assert f"\x1b[32m+SHELL={machine.doors}/shell\x1b[0m" in shown
    assert machine.crontab() == (JOBS if status else watched(machine))
    assert ("nothing was changed" in shown) == bool(status)


# --- root ----------------------------------------------------------------------------------------


@pytest.fixture
def etc(as_root: Machine) -> Path:
    """Give root's /etc, with one crontab of the system."""
    etc = as_root.at("/etc")
    for path in (*etc.glob("cron.d/*"), *etc.glob("*crontab")):
        path.unlink()
    (etc / "cron.d").mkdir(exist_ok=True)
    (etc / "cron.d" / "job").write_bytes(SYSTEM)
    return etc


def test_a_system_crontab_is_watched(as_root: Machine, etc: Path) -> None:
    told = as_root.answer("cron", "watch", "/etc/cron.d/job", "--yes")
    assert "/etc/cron.d/job: 1 job watched; copy" in told
    assert "  to undo: autotask cron unwatch /etc/cron.d/job\n" in told
    assert (etc / "cron.d" / "job").read_bytes() == b"SHELL=/etc/autotask/shell\n" + SYSTEM
    assert os.listdir(etc / "cron.d") == ["job"]
    as_root.answer_noticed("cron", "unwatch", "/etc/cron.d/job", "--yes")
    assert (etc / "cron.d" / "job").read_bytes() == SYSTEM


def test_an_anacrontab_gets_a_stand_in_for_run_parts(as_root: Machine, etc: Path) -> None:
    table = etc / "anacrontab"
    table.write_bytes(b"PATH=/bin\n1 5 daily run-parts /etc/cron.daily\n7 9 own /srv/own\n")
    ended = as_root.autotask("cron", "watch", "/etc/anacrontab", "--yes")
    assert ended.status == 0
    assert "/etc/anacrontab: 1 of 2 jobs watched" in ended.stdout
    assert "put `autotask-run` in front of commands other than run-parts" in ended.stderr
    assert table.read_bytes().splitlines()[1] == b"PATH=/etc/autotask/bin:/bin"
    assert os.access(etc / "autotask" / "bin" / "run-parts", os.X_OK)
    told = as_root.answer_noticed("cron", "watch", "/etc/anacrontab")
    assert told == "/etc/anacrontab: already watched\n"
    ended = as_root.autotask("cron", "watch", "/etc/anacrontab", "--line", "2")
    assert "/etc/anacrontab: in an anacrontab single lines cannot be watched" in ended.stderr


def test_all_crontabs_are_watched_after_one_question(as_root: Machine, etc: Path) -> None:
    as_root.install(JOBS)
    (etc / "cron.d" / "ignored.by-cron").write_bytes(SYSTEM)
    (etc / "cron.d" / "empty").write_bytes(b"# no jobs\n")
    (etc / "crontab").write_bytes(SYSTEM)
    (etc / "anacrontab").write_bytes(b"1 5 daily run-parts /etc/cron.daily\n")
    ended = as_root.autotask("cron", "watch", "--all", "--yes")
    assert ended.status == 0
    ignored = "cron ignores /etc/cron.d/ignored.by-cron: its name has other characters"
    assert ended.stderr.startswith(f"autotask: {ignored}")
    told = ended.stdout
    assert [line.partition(";")[0] for line in told.splitlines() if "copy" in line] == [
        f"crontab of {me()}: 2 jobs watched",
        "/etc/crontab: 1 job watched",
        "/etc/cron.d/job: 1 job watched",
        "/etc/anacrontab: 1 job watched",
    ]
    assert (etc / "cron.d" / "ignored.by-cron").read_bytes() == SYSTEM
    again = as_root.answer_noticed("cron", "watch", "--all")
    assert again.count(": already watched\n") == 4
    as_root.answer_noticed("cron", "unwatch", "--all", "--yes")
    assert as_root.crontab() == JOBS
    assert (etc / "crontab").read_bytes() == SYSTEM
    assert (etc / "anacrontab").read_bytes() == b"1 5 daily run-parts /etc/cron.daily\n"


@pytest.mark.parametrize("action", ["watch", "unwatch"])
def test_one_with_carriage_returns_does_not_stop_the_others(
    action: str, as_root: Machine, etc: Path
) -> None:
    if action == "unwatch":
        as_root.answer("cron", "watch", "/etc/cron.d/job", "--yes")
    as_root.install(CRLF)
    if as_root.crontab() == CRLF:
        pytest.skip("this crontab(1) shows carriage returns as they are")
    ended = as_root.autotask("cron", action, "--all", "--yes")
    assert ended.status == 1
    assert ended.stderr.startswith(returns("root"))
    assert as_root.at("/var/spool/cron/crontabs/root").read_bytes().endswith(CRLF)
    door_line = b"SHELL=/etc/autotask/shell\n" * (action == "watch")
    assert (etc / "cron.d" / "job").read_bytes() == door_line + SYSTEM


@pytest.mark.parametrize(
    ("name", "mode", "why"),
    [
        ("job.sh", 0o644, "its name has other characters than letters, digits, _ and -"),
        ("open", 0o666, "others than root may write to it"),
    ],
)
def test_a_system_crontab_that_cron_ignores_is_watched_with_a_notice(
    name: str, mode: int, why: str, as_root: Machine, etc: Path
) -> None:
    path = etc / "cron.d" / name
    path.write_bytes(SYSTEM)
    path.chmod(mode)
    ended = as_root.autotask("cron", "watch", f"/etc/cron.d/{name}", "--yes")
    assert (ended.status, ended.stderr) == (
        0,
        f"autotask: cron ignores /etc/cron.d/{name}: {why}\n",
    )
    assert path.read_bytes() == b"SHELL=/etc/autotask/shell\n" + SYSTEM


def test_one_that_fails_does_not_stop_the_others(as_root: Machine, etc: Path) -> None:
    folder = as_root.folder / "bin"
    stand_in(folder, listing="echo broken >&2; exit 1")
    as_root.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    spooled = as_root.at("/var/spool/cron/crontabs/root")
    spooled.write_bytes(JOBS)
    spooled.chmod(0o600)
    ended = as_root.autotask("cron", "watch", "--all", "--yes")
    assert ended.status == 1
    assert ended.stderr == "autotask: crontab of root: `crontab -l` failed: broken\n"
    assert (etc / "cron.d" / "job").read_bytes() == b"SHELL=/etc/autotask/shell\n" + SYSTEM


def test_one_that_cannot_be_written_does_not_stop_the_others(as_root: Machine, etc: Path) -> None:
    folder = as_root.folder / "bin"
    stand_in(folder, writing="exit 3").table.write_bytes(JOBS)
    as_root.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    spooled = as_root.at("/var/spool/cron/crontabs/root")
    spooled.write_bytes(JOBS)
    spooled.chmod(0o600)
    ended = as_root.autotask("cron", "watch", "--all", "--yes")
    assert ended.status == 1
    assert ended.stderr == (
        "autotask: crontab of root was not changed: `crontab` failed: exit status 3\n"
    )
    assert (etc / "cron.d" / "job").read_bytes() == b"SHELL=/etc/autotask/shell\n" + SYSTEM


@pytest.fixture
def timer(as_root: Machine, etc: Path) -> str:
    """Add a timer, of a systemd that seems to run."""
    units = schedule_machines.Machine(as_root.folder / "systemd")
    units.systemd(running=False)
    file = units.write("/backup.service", "[Service]\nExecStart=/usr/bin/backup --all\n")
    calendar = "TimersCalendar={ OnCalendar=daily ; next_elapse=n/a }"
    units.show("backup.timer", calendar, Unit="backup.service", ActiveState="active")
    units.show("backup.service", LoadState="loaded", Type="oneshot", User="root", FragmentPath=file)
    units.show("odd.timer", calendar, Unit="odd.service", ActiveState="active")
    units.show("odd.service", LoadState="loaded", Type="forking", FragmentPath=file)
    as_root.env["PATH"] = f"{units.programs}{os.pathsep}{os.environ['PATH']}"
    as_root.run("sh", "-c", "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system")
    return "backup.timer"


def test_a_timer_is_watched_by_a_drop_in(as_root: Machine, etc: Path, timer: str) -> None:
    drop_in = etc / "systemd/system/backup.service.d/autotask.conf"
    told = as_root.answer("cron", "watch", timer, "--yes").splitlines()
    assert told[:2] == ["--- backup.timer", "+++ backup.timer, changed"]
    assert "+ExecStart=/etc/autotask/run backup /usr/bin/backup --all" in told
    assert told[-3:] == [
        "wrote /etc/autotask/run",
        "backup.timer: 1 job watched",
        "  to undo: autotask cron unwatch backup.timer",
    ]
    assert b"/etc/autotask/run backup /usr/bin/backup --all" in drop_in.read_bytes()
    assert os.access(etc / "autotask" / "run", os.X_OK)
    assert as_root.answer("cron", "watch", timer) == "backup.timer: already watched\n"
    told = as_root.answer_noticed("cron", "unwatch", timer, "--yes").splitlines()
    assert told[-1] == "  to undo: autotask cron watch backup.timer"
    assert not drop_in.exists()
    asked = (as_root.folder / "systemd" / "systemctl.log").read_text().splitlines()
    assert asked.count("daemon-reload") == 2
    assert as_root.answer("cron", "unwatch", timer) == "backup.timer: not watched\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("no.timer",),
            "no.timer is not active: `systemctl list-timers` shows the timers that are",
        ),
        (("odd.timer",), "odd.timer: odd.service has Type=forking: "),
        (("backup.timer", "--line", "1"), "backup.timer: a timer has no lines: leave out --line"),
    ],
)
def test_a_timer_that_cannot_be_watched_is_one_line(
    words: tuple[str, ...], told: str, as_root: Machine, timer: str
) -> None:
    ended = as_root.autotask("cron", "watch", *words, "--yes")
    assert (ended.status, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith(f"autotask: {told}")


def test_all_is_the_timers_as_well(as_root: Machine, etc: Path, timer: str) -> None:
    ended = as_root.autotask("cron", "watch", "--all", "--yes")
    assert ended.status == 0
    assert ended.stderr.startswith("autotask: odd.timer cannot be watched: odd.service has Type=f")
    assert (etc / "systemd/system/backup.service.d/autotask.conf").exists()
    as_root.answer_noticed("cron", "unwatch", "--all", "--yes")
    assert not (etc / "systemd/system/backup.service.d").exists()
    assert (etc / "cron.d" / "job").read_bytes() == SYSTEM


@pytest.fixture
def ann(as_root: Machine) -> str:
    """Add a user."""
    with as_root.at("/etc/passwd").open("a") as file:
        file.write("annika:x:4217:4217::/nonexistent:/bin/sh\n")
    with as_root.at("/etc/group").open("a") as file:
        file.write("annika:x:4217:\n")
    return "annika"


def test_root_changes_the_crontab_of_another_user(as_root: Machine, ann: str) -> None:
    assert as_root.run("crontab", "-u", ann, "-", stdin=JOBS).status == 0
    ended = as_root.autotask("cron", "watch", "--user", ann, "--yes")
    assert ended.status == 0
    assert f"crontab of {ann}: 2 jobs watched" in ended.stdout
    assert f"  to undo: autotask cron unwatch --user {ann}\n" in ended.stdout
    shown = as_root.run("crontab", "-u", ann, "-l").stdout
    assert shown.encode() == watched(as_root)
    assert as_root.crontab() is None


def as_ann(machine: Machine, *words: str | Path, **env: str) -> Ended:
    become = ("setpriv", "--reuid=4217", "--regid=4217", "--clear-groups", "env", "-C", "/")
    return machine.run(*become, *words, env=env)


def command_of(machine: Machine, env: dict[str, str]) -> tuple[str, ...]:
    """Return the words of `autotask` for another user, whom this Python may be hidden from."""
    for python in (PYTHON, "/usr/bin/python3"):
        words = (python, "-c", f"import sys; sys.path.insert(0, {str(INSTALLED)!r}); {CODE}")
        if as_ann(machine, *words, "--version", **env).status == 0:
            return words
    pytest.skip("other users may not execute this Python")


def test_users_who_cannot_execute_autotask_are_named(as_root: Machine, ann: str, etc: Path) -> None:
    (etc / "cron.d" / "job").write_bytes(SYSTEM + SYSTEM.replace(b"root", ann.encode()))
    ended = as_root.autotask("cron", "watch", "/etc/cron.d/job", "--yes")
    assert ended.status == 0
    allowed = as_ann(as_root, door.launcher(), "--version").status == 0
    assert (f"autotask: {ann} cannot execute {door.launcher()}: " in ended.stderr) != allowed
    assert "root cannot execute" not in ended.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_who_may_execute_a_program_is_found_out_as_that_user(tmp_path: Path) -> None:
    program = write(tmp_path / "program", "#!/bin/sh\n")
    program.chmod(0o755)
    tmp_path.chmod(0o755)
    for path in tmp_path.parents:
        if path.stat().st_mode & 0o001 == 0:  # pytest's own folders are private
            program = Path("/bin/true")
            break
    assert watch._can_execute("nobody", str(program))
    private = write(tmp_path / "private", "#!/bin/sh\n")
    private.chmod(0o700)
    assert not watch._can_execute("nobody", str(private))
    assert watch._can_execute("root", str(private))
    assert watch._can_execute("a user who does not exist", str(private))


def test_a_user_who_is_not_root_has_doors_of_their_own(as_root: Machine, ann: str) -> None:
    person = as_root.at("/var/spool/cron/annika")
    person.mkdir()
    os.chown(person, 4217, 4217)
    home = "/var/spool/cron/annika"
    env = {"HOME": home, "XDG_CONFIG_HOME": "", "AUTOTASK_HOME": f"{home}/state"}
    command = command_of(as_root, env)
    as_root.at(f"{home}/jobs").write_bytes(JOBS)
    assert as_ann(as_root, "crontab", f"{home}/jobs").status == 0
    ended = as_ann(as_root, *command, "cron", "watch", "--yes", **env)
    assert (ended.status, ended.stderr) == (0, "")
    shown = as_ann(as_root, "crontab", "-l").stdout.encode()
    doors = f"{home}/.config/autotask".encode()
    assert shown == watched(as_root).replace(b"/etc/autotask", doors)
    assert door.problem(str(person / ".config/autotask/shell")) is None
    # What others have watched is watched.
    told = as_root.answer("cron", "watch", "--user", ann)
    assert told == f"crontab of {ann}: already watched\n"
    as_root.at("/etc/crontab").write_bytes(SYSTEM)
    refused = {
        "/etc/crontab": "only root may change /etc/crontab: use sudo",
        "--user=root": "`crontab -l` failed: must be privileged to use -u",
    }
    for word, why in refused.items():
        ended = as_ann(as_root, *command, "cron", "watch", word, "--yes", **env)
        assert (ended.status, ended.stderr) == (1, f"autotask: {why}\n")
    assert as_root.crontab() is None
    as_ann(as_root, *command, "cron", "unwatch", "--yes", **env)
    ended = as_ann(as_root, *command, "cron", "watch", "--all", "--yes", **env)
    assert ended.status == 1
    assert "autotask: only root may change /etc/crontab: use sudo\n" in ended.stderr
    assert f"crontab of {ann}: 2 jobs watched" in ended.stdout
    assert as_root.at("/etc/crontab").read_bytes() == SYSTEM


def test_scripts_on_a_file_system_without_exec_are_refused_and_reported(
    as_root: Machine, ann: str
) -> None:
    home = "/var/spool/cron/annika"
    env = {"HOME": home, "XDG_CONFIG_HOME": "", "AUTOTASK_HOME": f"{home}/state"}
    as_root.at(home).mkdir()
    options = "noexec,mode=755,uid=4217,gid=4217"
    assert as_root.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", home).status == 0
    watch_it = (*command_of(as_root, env), "cron", "watch", "--yes")
    assert as_root.run("crontab", "-u", ann, "-", stdin=JOBS).status == 0
    ended = as_ann(as_root, *watch_it, **env)
    script = f"{home}/.config/autotask/shell"
    assert ended.status == 1
    assert f"{ann} cannot execute {script}: no job of {ann} would run" in ended.stderr
    assert as_root.run("crontab", "-u", ann, "-l").stdout.encode() == JOBS
    as_root.run("mount", "-o", "remount,exec", home)
    assert as_ann(as_root, *watch_it, **env).status == 0
    as_root.run("mount", "-o", "remount,noexec", home)
    why = f"{script} cannot be executed: its file system is mounted noexec: no job runs"
    assert f"autotask: {why}\n" in as_ann(as_root, *watch_it, **env).stderr
    ended = as_root.autotask("cron", "check", "--user", ann)
    assert ended.status == 1
    line = next(line for line in ended.stdout.splitlines() if "noexec" in line)
    assert line.startswith("problem  door ")
    assert why in line
    assert f"`autotask cron unwatch --user {ann}`, or mount it with exec" in line
