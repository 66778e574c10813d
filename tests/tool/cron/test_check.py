"""`autotask cron check`: crontabs in a folder that looks like a machine, and the command itself."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest
from tool.cron.machines import stand_in
from tool.journals import answer, autotask

from autotask.tool.cron import check, check_crontabs, door
from autotask.tool.doctor.finding import Finding
from autotask.tool.errors import ToolError
from autotask.tool.schedule.crontabs import Crontab
from autotask.tool.schedule.places import Places

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Make a machine with an empty cron, which runs."""
    for name in ("etc/cron.d", "var/spool/cron/crontabs", "proc/1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/1/comm").write_text("cron\n")
    (tmp_path / "job").touch()
    (tmp_path / "job").chmod(0o755)
    return Places(str(tmp_path), os.geteuid())


def tab(text: str, user: str | None = ME, source: str = "tab") -> Crontab:
    return Crontab(source, None, user, text.encode())


def told(findings: list[Finding]) -> list[str]:
    texts = (f"{status} {subject}: {text}. {fix}" for status, subject, text, fix in findings)
    return [text.removesuffix(". ") for text in texts]


def found(places: Places, *crontabs: Crontab) -> list[str]:
    return told(check_crontabs.findings(crontabs, places))


DOOR = "SHELL=@/autotask/shell\n"
SUMMARIES = [
    ("", "no jobs"),
    ("# nothing\nA=b\n", "no jobs"),
    ("* * * * * @/job\n", "1 job, not watched"),
    ("* * * * * autotask-run @/job\n", "1 job, watched"),
    ("* * * * * cd / && nice @/autotask-run @/job\n", "1 job, watched"),
    ("* * * * * : autotask-run.py\n", "1 job, not watched"),
    ("@daily @/job\n@reboot @/job\n", "2 jobs, none watched"),
    (DOOR + "@daily @/job\n@reboot @/job\n", "2 jobs, all watched"),
    ("@daily @/job\n" + DOOR + "@reboot @/job\n", "2 jobs, 1 watched"),
]


@pytest.fixture
def folder(places: Places) -> Path:
    """Put a door and a launcher beside the job."""
    folder = Path(places.root)
    (folder / "autotask-run").touch()
    (folder / "autotask-run").chmod(0o755)
    door.write(f"{folder}/autotask", "/bin/sh")
    return folder


@pytest.mark.parametrize(("text", "summary"), SUMMARIES)
def test_a_healthy_crontab_is_one_line(
    places: Places, folder: Path, text: str, summary: str
) -> None:
    text = f"PATH={folder}:/usr/bin:/bin\n{text}".replace("@/", f"{folder}/")
    assert found(places, tab(text)) == [f"ok crontab: tab: {summary}"]


def test_without_a_crontab_there_is_still_an_answer(places: Places) -> None:
    assert told(check.findings_of([None], places)) == ["ok crontab: there are none"]


def test_each_finding_says_where_and_what_to_do(places: Places) -> None:
    text = "61 * * * * job\n* * * * * no-such-job\nCRON_TZ=Asia/Tokyo\n"
    all_lines = "so cron ignores the whole crontab"
    in_place = "write the hours in the time zone of this machine"
    path = "is not in cron's PATH, /usr/bin:/bin. install it, or write its whole path"
    minute = f"minute '61' is not between 0 and 59, {all_lines}"
    assert found(places, tab(text), tab("@daily true\n", source="two")) == [
        f"problem crontab: tab, line 1: {minute}. correct it",
        f"warning variable: tab, line 3: Debian's cron ignores CRON_TZ. {in_place}",
        f"problem command: tab, line 2: no-such-job {path}",
        "ok crontab: two: 1 job, not watched",
    ]


def test_what_is_set_above_a_job_holds_for_it(places: Places) -> None:
    text = "@daily job\nPATH=/x\n@daily job\nPATH=ROOT\n@daily job\nHOME=ROOT\n@daily ~/job\n"
    lines = found(places, tab(text.replace("ROOT", places.root)))
    assert [line.partition(". ")[0] for line in lines if " command: " in line] == [
        "problem command: tab, line 1: job is not in cron's PATH, /usr/bin:/bin",
        "problem command: tab, line 3: job is not in cron's PATH, /x",
    ]


def test_the_real_shell_behind_the_door_is_what_counts(places: Places, folder: Path) -> None:
    text = f"{DOOR}@daily source x\n".replace("@/", f"{folder}/")
    assert all("is not known to /bin/sh" in line for line in found(places, tab(text)))
    (line,) = found(places, tab("SHELL=/nowhere/zsh\n@daily true\n"))
    assert "the job does not run, because SHELL=/nowhere/zsh does not exist" in line


def test_a_door_that_leads_nowhere_is_named_once(places: Places, folder: Path) -> None:
    text = f"{DOOR}@daily true\n@hourly true\n".replace("@/", f"{folder}/")
    path = folder / "autotask" / "shell"
    path.chmod(0o644)
    why = door.problem(str(path))
    assert found(places, tab(text)) == [
        f"problem door: tab, line 1: {path} {why}. `autotask cron watch` writes it again"
    ]
    system = tab(text.replace("true", f"{ME} true"), None, "/etc/cron.d/a")
    (line,) = found(places, system)
    assert line.endswith(". `autotask cron watch /etc/cron.d/a` writes it again")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may check other users' jobs")
def test_the_door_of_another_user_is_written_by_name(places: Places) -> None:
    text = "SHELL=/nowhere/autotask/shell\n@daily true\n"
    line = next(line for line in found(places, tab(text, "daemon")) if " door: " in line)
    assert line.endswith(". `autotask cron watch --user daemon` writes it again")


def test_jobs_that_are_recorded_twice_are_told(places: Places, folder: Path) -> None:
    text = f"PATH={folder}:/bin\n@daily autotask-run @/job\n{DOOR}@daily autotask-run @/job\n"
    text += "@hourly @/job\n@weekly nice autotask-run @/job\n"
    lines = found(places, tab(text.replace("@/", f"{folder}/")))
    assert [line for line in lines if " door: " in line] == [
        "warning door: tab, lines 4 and 6: each run is recorded twice. remove autotask-run there"
    ]


def test_carriage_returns_that_crontab_prints_in_two_characters_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crontab = stand_in(tmp_path / "bin")  # prints what Debian's would
    crontab.table.write_bytes(b"# mine\\r\n@daily true\\r\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    nothing = Places(str(tmp_path), os.geteuid())
    lines = told(check.findings_of([ME], nothing))
    (line,) = [line for line in lines if " crontab: " in line or " command: " in line]
    assert line.startswith(
        f"problem crontab: crontab of {ME}, line 2: a carriage return at the end is part of the "
        "command. remove it: "
    )


NAMES = [
    # the commands of a crontab, and the lines that have one name
    (["a.sh", "b.sh"], ""),
    (["a.sh", "a.sh"], ""),
    (["/srv/a.sh", "/opt/a.sh"], "lines 1 and 2: all runs are called a.sh"),
    (["a.sh 1", "b.sh", "nice a.sh 2", "a.sh"], "lines 1, 3 and 4: all runs are called a.sh"),
    (["AUTOTASK_NAME=x a.sh 1", "a.sh 2"], ""),
    (["AUTOTASK_NAME=x a.sh", "AUTOTASK_NAME=x b.sh"], "lines 1 and 2: all runs are called x"),
]


@pytest.mark.parametrize(("commands", "expected"), NAMES)
def test_different_jobs_with_one_name_are_told(
    places: Places, commands: list[str], expected: str
) -> None:
    lines = found(places, tab("".join(f"@daily {command}\n" for command in commands)))
    told = [line.partition(": tab, ")[2].partition(". ")[0] for line in lines if "name: " in line]
    assert told == [expected] * bool(expected)


def test_names_are_compared_between_crontabs_of_one_user(places: Places) -> None:
    own, systems = tab("@daily a.sh 1\n"), tab(f"@daily {ME} a.sh 2\n", None, "/etc/x")
    (line,) = [line for line in found(places, own, systems) if "name: " in line]
    assert line == (
        "warning name: tab, line 1 and /etc/x, line 1: all runs are called a.sh."
        " to tell them apart, put `AUTOTASK_NAME=another` in front of a command"
    )
    another = tab("@daily daemon a.sh 2\n", None, "/etc/x")
    assert not any("name: " in line for line in found(places, own, another))
    everywhere = tab("AUTOTASK_NAME=x\n@daily true\n@daily false\n")
    assert any("lines 2 and 3: all runs are called x" in line for line in found(places, everywhere))


def test_a_home_that_the_user_cannot_write_loses_runs(places: Places, folder: Path) -> None:
    (folder / "file").touch()
    home = f"AUTOTASK_HOME={folder}/file\n"
    (line,) = found(places, tab(f"{home}@daily true\n@hourly true\n"))
    text = f"tab, line 2: {folder}/file: Not a directory (as {ME})"
    assert line == f"warning journal: {text}. let {ME} write there, or set AUTOTASK_HOME"
    assert found(places, tab(f"{home}@daily {ME} true\n", None)) == [
        "ok crontab: tab: 1 job, not watched"
    ]
    watched = f"PATH={folder}\n{home}@daily autotask-run {folder}/job\n"
    (line,) = found(places, tab(watched))
    assert line.startswith("problem journal: tab, line 3: ")


def test_settings_in_a_crontab_are_read(places: Places) -> None:
    (line,) = found(places, tab("# x\nAUTOTASK_SUPERVISE=maybe\n@daily true\n@daily true\n"))
    assert line == (
        "warning settings: tab, line 2: AUTOTASK_SUPERVISE: 'maybe' is neither 0 nor 1,"
        " so it counts as unset. correct it"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may check other users' jobs")
def test_root_checks_as_the_user_of_the_job(places: Places, folder: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    text = f"AUTOTASK_HOME={folder}/home\n@daily USER {folder}/autotask-run {folder}/job\n"
    assert found(places, tab(text.replace("USER", "root"), None)) == [
        "ok crontab: tab: 1 job, watched"
    ]
    command, *journal = found(places, tab(text.replace("USER", "daemon"), None))
    closed = "autotask-run is in a folder that is closed to this user"
    assert command.startswith(f"problem command: tab, line 2: {folder}/{closed}")
    assert [line.partition(": ")[0] for line in journal] == ["problem journal"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may check every user's jobs")
def test_another_users_jobs_are_left_to_root(places: Places) -> None:
    text = f"@daily root no-such-job\n@daily {ME} true\n"
    assert found(places, tab(text, None)) == [
        "ok crontab: tab: 2 jobs, none watched; only root can check the commands of root"
    ]


@pytest.mark.parametrize(
    ("crontab", "status"),
    [
        (tab("@daily true\n"), "problem"),
        (tab(f"@daily {ME} true\n", None), "warning"),
        (tab(f"@daily {ME} autotask-run true\n", None), "problem"),
        (tab("# nothing\n"), None),
        (tab("@daily true\n")._replace(path="/nowhere/tab"), None),
    ],
)
def test_without_a_daemon_no_job_is_started(
    places: Places, crontab: Crontab, status: str | None
) -> None:
    (Path(places.root) / "proc/1/comm").write_text("init\n")
    told = [line for line in found(places, crontab) if " cron: " in line]
    text = f"{status} cron: no cron is running, so no job is started. start it"
    assert told == [text] * bool(status)


def test_a_crontab_that_cron_ignores_is_a_problem(places: Places) -> None:
    folder = Path(places.cron_d)
    for name in ("backup.sh", "open", "fine"):
        (folder / name).write_text(f"@daily {ME} true\n")
    (folder / "open").chmod(0o666)
    lines = told(check.findings_of(None, places))
    mode = "others than root may write to it"
    assert f"problem crontab: cron ignores {folder}/open: {mode}" in lines
    assert f"ok crontab: {folder}/fine: 1 job, not watched" in lines
    for file, why in (("backup.sh", "its name has other characters"), ("open", mode)):
        first, second = told(check.findings_in(str(folder / file), places))
        assert first.startswith(f"problem crontab: cron ignores {folder}/{file}: {why}")
        assert second == f"ok crontab: {folder}/{file}: 1 job, not watched"


def test_a_users_crontab_is_found_by_their_name(places: Places) -> None:
    path = Path(f"{places.root}/var/spool/cron/crontabs/{ME}")
    path.write_text("@daily true\n")
    path.chmod(0o600)
    (Path(places.cron_d) / "fine").write_text(f"@daily {ME} true\n")
    own = f"ok crontab: crontab of {ME}: 1 job, not watched"
    systems = f"ok crontab: {places.cron_d}/fine: 1 job, not watched"
    assert told(check.findings_of([ME], places)) == [own]
    assert told(check.findings_of([ME, None], places)) == [own, systems]
    assert told(check.findings_of(None, places)) == [own, systems]
    path.chmod(0o644)
    ignored = f"problem crontab: cron ignores the crontab of {ME}: its mode is not 0600"
    assert told(check.findings_of([ME], places)) == [ignored]
    with pytest.raises(ToolError, match="no-such-user has no crontab that you may read"):
        check.findings_of(["no-such-user"], places)


def test_a_file_of_the_spool_is_its_users(places: Places) -> None:
    path = Path(f"{places.root}/var/spool/cron/crontabs/daemon")
    path.write_text("@daily no-such-job\n")
    line, *_ = told(check.findings_in(str(path), places))
    told_to_root = "line 1: no-such-job is not in cron's PATH, /usr/bin:/bin"
    assert (told_to_root if os.geteuid() == 0 else "commands of daemon") in line


def test_an_anacrontab_is_not_a_crontab(tmp_path: Path) -> None:
    (tmp_path / "anacrontab").touch()
    ended = autotask("cron", "check", str(tmp_path / "anacrontab"))
    assert ended.stderr == (
        f"autotask: {tmp_path}/anacrontab is anacron's: only crontabs are checked\n"
    )


def test_the_command_checks_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tab"
    path.write_text("@daily true\n")
    assert answer("cron", "check", str(path)) == f"ok       crontab  {path}: 1 job, not watched\n"
    path.write_text("@daily true")
    ended = autotask("cron", "check", str(path))
    assert (ended.status, ended.stderr) == (1, "")
    assert ended.stdout == (
        f"problem  crontab  {path}, line 1: it does not end with a newline, so cron ignores the"
        " whole crontab. Add one\n"
    )
    path.write_text("CRON_TZ=Asia/Tokyo\n")
    assert autotask("cron", "check", str(path)).status == 0


def test_a_file_in_cron_d_has_users(tmp_path: Path) -> None:
    path = tmp_path / "cron.d" / "tab"
    path.parent.mkdir()
    path.write_text(f"@daily {ME} true\n")
    assert "1 job, not watched" in answer("cron", "check", str(path))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    ended = autotask("cron", "check", str(tmp_path / "tab"))
    assert ended.status == 1
    assert ended.stderr == f"autotask: {tmp_path}/tab: No such file or directory\n"
    ended = autotask("cron", "check", "--all", str(tmp_path / "tab"))
    assert ended.status == 2


def test_the_doctor_checks_crontabs_as_well() -> None:
    # Other tests start crons and end them: whether one is running may change meanwhile.
    texts = [
        [line for line in autotask(*words).stdout.splitlines() if line.split()[1] != "cron"]
        for words in (("cron", "check"), ("doctor", "--cron"))
    ]
    assert texts[0] == texts[1]
    ended = autotask("doctor", "--cron", "--format", "json")
    printed = json.loads(ended.stdout)
    assert printed["ok"] is (ended.status == 0)
    assert len([one for one in printed["findings"] if one["check"] != "cron"]) == len(texts[0])
    assert "--cron takes no COMMAND" in autotask("doctor", "--cron", "--", "true").stderr
