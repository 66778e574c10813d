"""What the shell of a job finds, in a table: its PATH has only the files of the test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotask.tool.cron import check_commands, door

PROGRAMS = "flock nice timeout env sudo php python3 job time dash bash cat".split()
PATH = "is not in cron's PATH, @/bin"
GONE = "does not exist"
# The commands of a job, and what is wrong with it; `@` is the folder of the test.
CASES = [
    # found
    ("job --all | cat > /tmp/log 2>&1", ""),
    ("@/srv/nightly.sh", ""),
    ("cd @/srv && ./nightly.sh", ""),
    ("cd @/srv && cd .. && srv/nightly.sh", ""),
    ("cd srv; ./nightly.sh", ""),
    ("bin/own", ""),
    ("~/bin/own && $HOME/bin/own", ""),
    ("cd && bin/own; cd ~ && bin/own", ""),
    ("nice -n 5 timeout 60 flock -n /tmp/lock job", ""),
    ("env -u X A=b job", ""),
    ("exec job", ""),
    ("command job", ""),
    ("sh -c 'exec job'", "sh " + PATH),
    ("bash -c 'exec job; nothing'", ""),
    ("bash -c 'exec job'", ""),
    ("python3 -u @/srv/plain.py --all", ""),
    ("cd @/srv && python3 plain.py", ""),
    ("python3 -m nothing", ""),
    ("python3 -c 'print()'", ""),
    ("php -d memory_limit=1G @/srv/plain.py", ""),
    ("bash -eu @/srv/plain.py", ""),
    ("bash nightly.sh", "@/nightly.sh " + GONE),
    ("bash job", ""),
    ("[ -d x ] && test -f y && true || : ; echo done; { umask 022; }", ""),
    ("", ""),
    # what is not started
    ("nothing", "nothing " + PATH),
    ("nothing && job", "nothing " + PATH),
    ("job && nothing", "nothing " + PATH),
    ("job | nothing", "nothing " + PATH),
    ("job || (nothing)", "nothing " + PATH),
    ("if job; then nothing; fi", "nothing " + PATH),
    ("A=b nothing", "nothing " + PATH),
    ("nice -n 5 nothing", "nothing " + PATH),
    ("chronic job", "chronic " + PATH),
    ("env A=b nothing", "nothing " + PATH),
    ("exec nothing", "nothing " + PATH),
    ("bash -c 'nothing'", ""),  # found out only by the inner shell
    ("bash -c 'nice nothing'", "nothing " + PATH),
    ("@/srv/nothing", "@/srv/nothing " + GONE),
    ("@/srv/nightly.sh/x", "@/srv/nightly.sh/x " + GONE),
    ("@/srv", "@/srv is a folder"),
    ("@/srv/plain.py", "@/srv/plain.py is not executable"),
    ("cd @/srv && ./plain.py", "@/srv/plain.py is not executable"),
    ("./nightly.sh", "@/nightly.sh " + GONE),
    ("~/nightly.sh", "@/nightly.sh " + GONE),
    ("cd @/nowhere && ./job", "@/nowhere/job " + GONE),
    ("python3 @/srv/nothing.py", "@/srv/nothing.py " + GONE),
    ("nice php nothing.php", "@/nothing.php " + GONE),
    ("@/srv/old", "/nowhere/python2, in the first line of @/srv/old, " + GONE),
    ("@/srv/via-env", "python2, in the first line of @/srv/via-env, " + PATH),
    ("job; nothing; nothing", "nothing " + PATH),
    # only running the line would tell
    ("$JOB; ${JOB} x; `which job`; $(job) x; /srv/$JOB; ~ann/job; *", ""),
    ("cd $DIR && ./nothing", ""),
    ("cd - && ./nothing", ""),
    ("cd $DIR && cd x && ./nothing", ""),
    ("cd $DIR && cd @/srv && ./nothing", "@/srv/nothing " + GONE),
    (". ./env; nothing; @/srv/nothing", "@/srv/nothing " + GONE),
    ("eval x; nothing", ""),
    ("PATH=/opt/bin:$PATH; nothing", ""),
    ("export PATH=$PATH:/opt/bin && nothing", ""),
    ("alias nothing=job; nothing", ""),
    ("nothing() { job; }; nothing", ""),
    ("function nothing { job; }; nothing", ""),
    ("sudo -u ann nothing", ""),
    ("bash -lc nothing", ""),
    ("'a line in quotes'", ""),
    # the line itself asks
    ("test -x @/srv/nothing && @/srv/nothing", ""),
    ("[ -x @/srv/nothing ] && if [ ! -d /x ]; then @/srv/nothing; fi", ""),
    ("[ -d @/app ] && @/app/nothing", ""),
    ("[ -d @/ap ] && @/app/nothing", "@/app/nothing " + GONE),
    ("test -x /opt/nothing -a ! -d /x && nothing -q", ""),
    ("command -v nothing > /dev/null && nothing 1", ""),
    ("which nothing && nothing; type -t other && other", "which " + PATH),
    ("hash nothing 2>/dev/null && nothing", ""),
    ("[ -f @/x.php ] && php @/x.php", ""),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make programs, and scripts with what is wrong with them."""
    for name in (*[f"bin/{program}" for program in PROGRAMS], "bin/own"):
        script(tmp_path / name, "")
    script(tmp_path / "srv/nightly.sh", "#!/bin/sh\n")
    script(tmp_path / "srv/old", "#!/nowhere/python2\n")
    script(tmp_path / "srv/via-env", f"#!{tmp_path}/bin/env python2\n")
    script(tmp_path / "srv/plain.py", "").chmod(0o644)
    return tmp_path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def found(folder: Path, text: str, shell: str = "bash") -> list[str]:
    environ = {"HOME": f"{folder}", "PATH": f"{folder}/bin", "SHELL": f"{folder}/bin/{shell}"}
    findings = list(check_commands.findings("tab, line 1", text.replace("@", f"{folder}"), environ))
    assert all(finding.status == "problem" and finding.check == "command" for finding in findings)
    texts = [f"{finding.text}. {finding.remedy}" for finding in findings]
    return [text.removeprefix("tab, line 1: ").replace(f"{folder}", "@") for text in texts]


@pytest.mark.parametrize(("text", "told"), CASES)
def test_a_command_that_the_shell_does_not_find_is_named(
    folder: Path, text: str, told: str
) -> None:
    assert [line.partition(". ")[0] for line in found(folder, text)] == [told] * bool(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("source env; nothing", "source is not known to @/bin/dash, which is dash"),
        ("[[ -d x ]] && job", "[[ is not known to @/bin/dash, which is dash"),
        ("time job", ""),
        ("pushd @/srv; ./nightly.sh", "pushd is not known to @/bin/dash, which is dash"),
        (". ./env; local x=1; ulimit -n 5", ""),
    ],
)
def test_a_plain_shell_has_fewer_builtins(folder: Path, text: str, told: str) -> None:
    assert told in "".join(found(folder, text, "dash"))
    assert bool(found(folder, text, "dash")) == bool(told)
    assert found(folder, text.replace("@", f"{folder}"), "bash") == []


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("only-here", "write its whole path, @/.local/bin/only-here"),
        ("nothing", "install it, or write its whole path"),
        ("autotask-run job", f"write its whole path, {door.launcher()}"),
        ("@/srv/nothing", "correct the path"),
        ("@/srv/plain.py", "`chmod +x @/srv/plain.py`"),
        ("'@/srv/my job'", "`chmod +x '@/srv/my job'`"),
        ("python3 @/srv/nothing", "correct the path"),
        ("source x", "write `.` instead"),
        ("shopt -s nullglob", "put SHELL=/bin/bash above the line"),
    ],
)
def test_each_says_what_to_do(folder: Path, text: str, remedy: str) -> None:
    script(folder / ".local/bin/only-here", "")
    (folder / "srv/my job").touch()
    (line,) = found(folder, text, "dash")
    assert line.partition(". ")[2] == remedy


@pytest.mark.parametrize(
    ("shell", "why"),
    [
        ("bash", "is not an absolute path"),
        ("/bin/bash -l", "does not exist"),
        ("@/srv/plain.py", "is not executable"),
        ("@", "is a folder"),
    ],
)
def test_a_shell_that_cron_cannot_start_runs_no_job(folder: Path, shell: str, why: str) -> None:
    environ = {"HOME": "/", "PATH": "/", "SHELL": shell.replace("@", f"{folder}")}
    (finding,) = check_commands.findings("tab, line 1", "nothing", environ)
    text = f"tab, line 1: the job does not run, because SHELL={environ['SHELL']} {why}"
    assert finding.text == text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter and read everything")
def test_what_a_user_may_not_read_is_told(folder: Path) -> None:
    (folder / "srv/plain.py").chmod(0)
    assert "cannot be read" in found(folder, "python3 @/srv/plain.py")[0]
    (folder / "srv").chmod(0)
    try:
        assert "is in a folder that is closed to this user" in found(folder, "@/srv/nightly.sh")[0]
    finally:
        (folder / "srv").chmod(0o755)
