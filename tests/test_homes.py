"""Who owns a home: another user's is never trusted, never touched, and one can be shared."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import LAUNCHER, PYTHON, Ended, a_run, run_program, runs, write
from tool.journals import COMMAND, HOST, Book, dead_process

from autotask import homes, journal, procfs
from autotask.around.launch import known_plugins
from autotask.journal import Journal
from autotask.run import SUCCESS, End, Run, failure
from autotask.settings import Settings
from autotask.telling import leave_mark
from autotask.tool import cli
from autotask.tool.command_line import SUBCOMMANDS

for _name in SUBCOMMANDS:  # now, because another user may be unable to read the file
    importlib.import_module(f"autotask.tool.commands.{_name.replace('-', '_')}")

root = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.getuid() != 0, reason="only root has two sides"
)
ANN, EVE = 54321, 54322  # users unknown to the machine
SECRET = "root's own\n"
ID = "0123456789abcdef"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that each user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def as_user(user: int, do: Callable[[], Any], groups: Sequence[int] = ()) -> Any:
    """Call a function in a process of another user; return its result."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(user)
            os.setuid(user)
            os.umask(0o022)
            os.write(writing, json.dumps(do()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def tool(*words: str) -> tuple[int, str, str]:
    """Run the `autotask` command in this process, because other users cannot start this Python."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(words)
    return status, out.getvalue(), err.getvalue()


def as_root(place: Path, *command: str | Path, **env: str | None) -> Ended:
    """Run a command as root with a folder of the test as home."""
    users = f"root:x:0:0::{place}/root:/bin/sh\neve:x:{EVE}:{EVE}::{place}/eve:\n"
    passwd = write(place / "passwd", users)
    bind = 'mount --bind "$0" /etc/passwd && exec "$@"'
    words = ("unshare", "-m", "sh", "-c", bind, passwd)
    if run_program(*words, "true", under="bare").status:
        pytest.skip("may not mount")
    return run_program(*words, *command, under="bare", env=env)


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Read everything in a folder, with modes and owners."""
    return {str(path): _state(path) for path in [folder, *sorted(folder.rglob("*"))]}


def _state(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    content: object = None
    if path.is_symlink():
        content = os.readlink(path)
    elif path.is_file():
        content = path.read_bytes()
    return status.st_mode, status.st_uid, status.st_gid, content


def give(folder: Path, user: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.lchown(path, user, user)


# --- traps in a home of another user's -----------------------------------------------------------


def _links_as_files(home: Path, secret: Path) -> None:
    for hour in (0, 3600):
        segment = home / "journal" / journal.segment(time.time() + hour)
        segment.unlink(missing_ok=True)
        segment.symlink_to(secret)
    _leave_dead_run(home, ago=90 * 86400)
    (home / "journal" / ".prune").symlink_to(secret)
    for name in ("index.sqlite3", "index.sqlite3-journal", "index.sqlite3-wal", "pruned"):
        (home / name).symlink_to(secret)


def _links_as_folders(home: Path, secret: Path) -> None:
    (home / "journal").rmdir()
    for name in ("journal", "open"):
        (home / name).symlink_to(secret.parent)


def _forged(home: Path, secret: Path) -> None:
    """Leave an id of several lines, a plugin, and world-writable folders."""
    forged = {"event": "finished", "run": ID, "root": ID, "at": "", "status": "success"}
    _leave_dead_run(home, '","root":"x"}\n' + json.dumps(forged) + '\n{"x":"')
    write(home / "trap.py", f"open({str(secret)!r}, 'w')")
    (home / "plugins").write_text(f"{Path(PYTHON).parent}\tjson=trap:instrument\n")
    for folder in (home, home / "journal", home / "open"):
        folder.chmod(0o777)


def _leave_dead_run(home: Path, run: str = ID, ago: float = 0) -> None:
    pid, identity = dead_process()
    started = journal.started_line(Run("nightly", "click"), f'"pid":{pid}')
    fields = {"run": run, "root": run, "process": identity, "host": HOST}
    Book(home).line(json.dumps({**json.loads(started), **fields}), ago)
    (home / "open").mkdir(exist_ok=True)
    mark = {"process": identity, "pid": pid, "host": HOST, "root": run, "segment": "", "offset": 0}
    (home / "open" / f"{pid}-{ID}").write_text(json.dumps(mark) + "\n")


TRAPS = (_links_as_files, _links_as_folders, _forged)
COMMANDS = ("runs", "prune --keep 1d", "ship", "doctor", "frameworks")


@root
@pytest.mark.parametrize("command", [*COMMANDS, "launcher"])
@pytest.mark.parametrize("trap", TRAPS)
def test_another_users_home_cannot_be_a_trap(
    trap: Callable[[Path, Path], None], command: str, place: Path
) -> None:
    (place / "secrets").mkdir()
    secret = place / "secrets" / "2020-01-01T00.jsonl"
    secret.write_text(SECRET)
    secret.chmod(0o440)
    home = place / "eves"
    (home / "journal").mkdir(parents=True)
    trap(home, secret)
    give(home, EVE)
    before = snapshot(home), snapshot(secret.parent)
    words: list[str | Path] = [*COMMAND, *command.split()]
    if command == "launcher":
        words = [LAUNCHER, PYTHON, "-c", "import json"]
    done = as_root(place, *words, AUTOTASK_HOME=str(home), PYTHONPATH=str(home))
    assert "Traceback" not in done.stderr
    assert (snapshot(home), snapshot(secret.parent)) == before
    if command == "runs" and trap is not _links_as_folders:
        first, *rest = done.stderr.splitlines()
        assert first == f"autotask: {home} belongs to eve: read-only"
        linked = (
            ["autotask: cannot read 2 segments of the journal"] if trap is _links_as_files else []
        )
        assert [line.partition(",")[0] for line in rest] == linked


@root
def test_no_folder_is_made_beyond_another_users_link_or_folder(place: Path) -> None:
    (place / "logs").mkdir()
    (place / "link").symlink_to(place / "logs")
    (place / "eves").mkdir()
    for name in ("link", "eves"):
        os.lchown(place / name, EVE, EVE)
        with pytest.raises(PermissionError):
            homes.make_folder(str(place / name / "home" / "journal"))
    assert [*place.glob("*/*")] == []
    (place / "own").symlink_to("logs/../logs/deep")
    homes.make_folder(str(place / "own" / "home"))
    assert [*(place / "logs").rglob("*")] == [place / "logs" / "deep", place / "logs/deep/home"]
    (place / "round").symlink_to("round")
    with pytest.raises(PermissionError):
        homes.make_folder(str(place / "round" / "home"))


@root
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("maker", [EVE, 0])
def test_a_home_that_is_another_users_link_is_not_followed(
    maker: int, shared: bool, place: Path
) -> None:
    logs = place / "logs"  # root's, as /var/log is with the journal of systemd
    (logs / "journal").mkdir(parents=True)
    home = place / "eves" / "home"
    home.parent.mkdir()
    if shared:
        assert tool("init-home", str(home))[0] == 0
    link = home / "0" if shared else home
    link.symlink_to(logs)
    os.lchown(link, maker, maker)
    if not shared:
        os.chown(home.parent, maker, maker)
    before = snapshot(logs)
    own = place / "root" / ".local" / "state" / "autotask"
    for command in ([LAUNCHER, PYTHON, "-c", "import json"], [*COMMAND, "doctor"]):
        said = as_root(place, *command, AUTOTASK_HOME=str(home)).stdout
    assert (str(own) in said) is (maker == EVE)
    assert (snapshot(logs) == before) is (maker == EVE)
    assert len(runs(own if maker == EVE else logs)) == 1


# --- a home that several users share -------------------------------------------------------------


@pytest.fixture
def shared(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = place / "shared"
    monkeypatch.setenv("AUTOTASK_HOME", str(home))
    assert tool("init-home", str(home)) == (
        *(0, f"all users can record in {home} if they set:\nAUTOTASK_HOME={home}\n", ""),
    )
    return home


def record(task: str, ended: bool = True, by: tuple[int, str] | None = None) -> str:
    """Record a run as the agent does, by default for the process of the tests."""
    notes = Journal(os.environ["AUTOTASK_HOME"])
    run = Run(task, "click")
    run.started = time.time()
    pid, identity = by or LIVING
    leave_mark(notes, f"{pid}-{run.id}", identity, pid, HOST, run.id)
    fields = journal.process_fields(pid, identity, HOST)
    assert notes.append(journal.started_line(run, fields))
    if ended:
        assert notes.append(_end(run.id))
    return run.id


LIVING = os.getpid(), procfs.identity()


def _end(run: str) -> str:
    return journal.finished_line(a_run(run_id=run), End(SUCCESS, time.time(), 1.0))


def seen() -> dict[str, str]:
    """Return the status of each task as the tool shows it to a user."""
    status, out, err = tool("runs", "--all", "--format", "jsonl")
    assert (status, err) == (0, "")
    return {line["task"]: line["status"] for line in map(json.loads, out.splitlines())}


@root
def test_users_of_a_shared_home_see_each_others_runs(shared: Path) -> None:
    for user in (ANN, EVE, 0):
        as_user(user, lambda user=user: record(f"of {user}"))  # type: ignore[misc]
    all_of_them = {f"of {user}": "success" for user in (ANN, EVE, 0)}
    for user in (ANN, EVE, 0, 54323):
        for _ in range(2):
            assert as_user(user, seen) == all_of_them
    owners = {path.name: path.stat().st_uid for path in shared.iterdir() if path.is_dir()}
    assert owners == {str(user): user for user in (ANN, EVE, 0)}


def record_failure(task: str) -> None:
    notes = Journal(os.environ["AUTOTASK_HOME"])
    run = Run(task, "click")
    run.started, run.trigger = time.time() - 5, "cron"
    assert notes.append(journal.started_line(run, journal.process_fields(*LIVING, HOST)))
    assert notes.append(journal.finished_line(run, End(failure("exit"), time.time(), 1.0)))


@root
def test_each_user_of_a_shared_home_is_told_of_all_failures_once(shared: Path) -> None:
    for user in (ANN, EVE):
        as_user(user, lambda: record_failure("same"))
    for user in (EVE, 54323):  # the second one has no runs
        status, out, err = as_user(user, lambda: tool("check"))
        assert (status, err) == (1, "")
        lines = sorted(out.splitlines())
        assert [line.partition(" failed at ")[0] for line in lines] == [
            f"{ANN}: same",
            f"{EVE}: same",
        ]
        assert as_user(user, lambda: tool("check")) == [0, "", ""]
        assert (shared / str(user) / "checked.json").stat().st_uid == user
    as_user(ANN, lambda: record_failure("same"))
    for user in (EVE, 54323):
        assert as_user(user, lambda: tool("check"))[1].count(f"{ANN}: same failed at ") == 1


@root
def test_a_check_of_another_users_home_is_remembered_in_ones_own(place: Path) -> None:
    home = place / "ann"
    Book(home).run("anns", ago=60, outcome=failure("exit"))
    give(home, ANN)
    before = snapshot(home)
    for status, printed in ((1, "anns failed at"), (0, "")):
        done = as_root(place, *COMMAND, "check", AUTOTASK_HOME=str(home))
        assert done.status == status
        assert done.stdout[: len("anns failed at")] == printed
    own = place / "root" / ".local" / "state" / "autotask"
    assert str(home) in (own / "checked.json").read_text()
    assert snapshot(home) == before


@root
def test_a_user_cannot_end_or_hide_another_users_runs(shared: Path) -> None:
    run = as_user(ANN, lambda: record("anns", ended=False))
    (segment,) = shared.glob(f"{ANN}/journal/*.jsonl")

    def forge() -> list[str]:
        record("eves")
        notes = Journal(str(shared))
        notes.append(_end(run))
        refused = []
        for deed in (
            lambda: segment.open("a"),
            segment.unlink,
            lambda: (shared / str(ANN)).rename(shared / "gone"),
            lambda: (shared / "shared").unlink(),
            lambda: (shared / "shared").open("w"),
        ):
            try:
                deed()
            except OSError as problem:
                refused.append(type(problem).__name__)
        return refused

    assert as_user(EVE, forge) == ["PermissionError"] * 5
    # A folder named like another user's, and one with another user's files.
    as_user(EVE, lambda: str(shutil.copytree(shared / str(EVE), shared / "54323")))
    for user in (ANN, EVE, 0):
        assert as_user(user, seen) == {"anns": "running", "eves": "success"}


@root
def test_a_run_copied_by_another_user_is_told_apart(shared: Path) -> None:
    run = as_user(ANN, lambda: record("anns"))
    (segment,) = shared.glob(f"{ANN}/journal/*.jsonl")
    copied = segment.read_text()

    def forge() -> None:
        record("eves")
        notes = Journal(str(shared))
        for line in copied.replace("anns", "forged").splitlines():
            notes.append(line)
        below = Run("below", "click")
        below.parent = below.root = run
        notes.append(journal.started_line(below, '"pid":1'))

    as_user(EVE, forge)

    def shown(*words: str) -> str:
        status, out, err = tool("show", *words)
        return err if status else re.findall(r"task +(\w+)", out)[0] + " below" * ("below" in out)

    assert (shown(f"{run[:8]}@{ANN}"), shown(f"{run}@{EVE}")) == ("anns", "forged below")
    for user, task in ((ANN, "anns"), (EVE, "forged below")):
        assert as_user(user, lambda: shown(run)) == task
    assert shown(run) == f"autotask: {run} is ambiguous: {run}@{ANN}, {run}@{EVE}\n"
    assert shown(f"{run}@root") == f"autotask: no run of root begins with {run}\n"
    assert (shown("anns"), shown(f"forged@{EVE}")) == ("anns", "forged below")
    assert shown(f"anns@{EVE}").startswith(f"autotask: 'anns@{EVE}' is neither a task that ran nor")
    heads, *rows = (line.split() for line in tool("runs")[1].splitlines())
    users = {(row[heads.index("TASK")], row[1]) for row in rows}
    assert (heads[1], users) == (
        "USER",
        {("anns", str(ANN)), *((task, str(EVE)) for task in ("eves", "forged", "below"))},
    )
    lines = map(json.loads, tool("runs", "--format", "jsonl")[1].splitlines())
    assert {(line["task"], line["user"]) for line in lines} == users
    assert tool("runs", "--format", "csv")[1].split()[0].endswith(",trigger,output,user")


@root
def test_only_its_user_ends_a_lost_run_in_the_journal(shared: Path) -> None:
    as_user(EVE, lambda: record("eves"))
    dead = dead_process()
    as_user(ANN, lambda: record("anns", ended=False, by=dead))
    for user, ends in ((EVE, 0), (0, 0), (ANN, 1)):
        assert as_user(user, seen)["anns"] == "failure"
        (segment,) = shared.glob(f"{ANN}/journal/*.jsonl")
        assert segment.read_text().count('"event":"finished"') == ends


@root
@pytest.mark.parametrize("for_whom", ["all", "a group"])
def test_other_users_do_not_report_an_execed_run_as_lost(
    for_whom: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grp

    home, group = place / "shared", grp.getgrall()[-1]
    monkeypatch.setenv("AUTOTASK_HOME", str(home))
    options = ["--group", group.gr_name] if for_whom == "a group" else []
    assert tool("init-home", *options, str(home))[0] == 0
    dead, groups = dead_process(), [group.gr_gid] if options else []

    def become() -> None:
        run = record("anns", ended=False, by=dead)
        mark = home / str(ANN) / "open" / f"{dead[0]}-{run}"
        mark.rename(mark.with_name(f"became-{mark.name}"))

    as_user(ANN, become, groups)
    as_user(EVE, lambda: record("eves", ended=False, by=dead) and None, groups)
    for user in (EVE, 0, ANN):
        assert as_user(user, seen, groups) == {"anns": "success", "eves": "failure"}


@root
def test_a_user_whose_folder_was_taken_records_in_their_usual_home(shared: Path) -> None:
    (shared / "0").mkdir()
    os.chown(shared / "0", EVE, EVE)
    done = as_root(shared.parent, LAUNCHER, "true", AUTOTASK_HOME=str(shared))
    assert done == Ended(0, "", "")
    (run,) = runs(shared.parent / "root" / ".local" / "state" / "autotask")
    assert run["task"] == "true"
    assert list((shared / "0").iterdir()) == []


@root
def test_a_home_for_a_group_is_closed_to_others(place: Path, monkeypatch: Any) -> None:
    import grp

    home = place / "shared"
    monkeypatch.setenv("AUTOTASK_HOME", str(home))
    group = grp.getgrall()[-1]
    assert tool("init-home", "--group", group.gr_name, str(home))[0] == 0
    as_user(0, lambda: record("roots"))
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (home, *home.glob("0/*/*.jsonl"))}
    assert sorted(modes.values()) == [0o640, 0o3770]
    assert {path.stat().st_gid for path in home.glob("0/journal/*")} == {group.gr_gid}
    assert as_user(ANN, lambda: tool("runs"))[0] == 1


REFUSED = {
    "a folder that holds something": (lambda place: (place / "x").mkdir(), "is not empty"),
    "a folder of another user's": (lambda place: os.chown(place, EVE, EVE), "other users"),
    "a link": (lambda place: (place.rmdir(), place.symlink_to("/tmp")), "/tmp"),
}


@root
@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
def test_a_shared_home_is_made_in_an_empty_folder_of_roots(
    make: Callable[[Path], object], why: str, place: Path
) -> None:
    folder = place / "folder"
    folder.mkdir()
    make(folder)
    before = snapshot(place)
    status, _, err = tool("init-home", str(folder))
    assert (status, err.count("\n")) == (1, 1)
    assert snapshot(place) == before


@root
def test_an_error_of_init_home_names_the_whole_path(place: Path) -> None:
    (place / "file").write_text("")
    home = place / "file" / "shared"
    status, _, err = tool("init-home", str(home))
    assert (status, err) == (1, f"autotask: cannot create {home}: Not a directory\n")


@root
def test_only_root_makes_a_shared_home(place: Path) -> None:
    status, _, err = as_user(ANN, lambda: tool("init-home", str(place / "shared")))
    assert (status, err) == (
        *(1, "autotask: only root can create a home for several users: use sudo\n"),
    )


# --- sudo ----------------------------------------------------------------------------------------


SUDO = {
    "sudo -E": {"AUTOTASK_HOME": None, "HOME": "{eve}"},
    "su without -, with a variable of the user's": {"XDG_STATE_HOME": "{eve}/state"},
    "a home that is named": {"AUTOTASK_HOME": "{eve}/tasks"},
}


@root
@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("env", SUDO.values(), ids=SUDO)
def test_root_writes_nothing_into_a_users_home(
    env: dict[str, str | None], made: bool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = place / "eve"
    eve.mkdir()
    os.chown(eve, EVE, EVE)
    for name, value in {"AUTOTASK_HOME": None, **env}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value.format(eve=eve))
    home = Path(Settings(os.environ).home or "")
    monkeypatch.setenv("EVES", str(home))

    def record_as_eve() -> bool:
        monkeypatch.setenv("AUTOTASK_HOME", str(home))
        return bool(record("eves"))

    if made:
        as_user(EVE, record_as_eve)
    before = snapshot(eve)
    for words in ([LAUNCHER, "true"], [*COMMAND, "doctor"], [*COMMAND, "frameworks"]):
        as_root(place, *words)
    seen_by_root = as_root(place, *COMMAND, "runs", "--format", "csv").stdout
    assert seen_by_root.count("\n") == (2 if made else 1)
    assert snapshot(eve) == before
    own = place / "root" / ".local" / "state" / "autotask"
    assert [run["task"] for run in runs(own)] == ["true"]
    assert as_user(EVE, record_as_eve)


@root
def test_a_program_that_becomes_another_user_does_not_change_its_home(place: Path) -> None:
    home, eve = place / "tasks", place / "eve"
    eve.mkdir()
    os.chown(eve, EVE, EVE)
    home.mkdir(0o755)
    source = f"""
        import os, pwd
        from autotask import homes
        from autotask.journal import Journal
        notes = Journal({str(home)!r})
        print(notes.append("as root"))
        notes.close()  # as at the end of the hour
        os.setgid({EVE}), os.setuid({EVE})
        print(notes.append("as eve"), Journal({str(home)!r}).append("a new process"))
    """
    done = as_root(place, PYTHON, write(place / "becomes.py", source))
    assert (done.stdout.split(), done.stderr) == (["True", "False", "True"], "")
    (segment,) = home.glob("journal/*")
    (other,) = eve.glob(".local/state/autotask/journal/*")
    assert (segment.read_text(), other.read_text()) == ("as root\n", "a new process\n")


@root
def test_the_doctor_names_the_owner_of_a_home(place: Path, home: Path) -> None:
    home = place / "home"
    Book(home).run()
    give(home, EVE)
    said = as_root(place, *COMMAND, "doctor", AUTOTASK_HOME=str(home)).stdout
    own = place / "root" / ".local" / "state" / "autotask"
    assert f"{home} does not belong to root, so runs of root are recorded in {own}" in said
    os.chown(home / "journal", 0, 0)
    said = as_root(place, *COMMAND, "doctor", AUTOTASK_HOME=str(home)).stdout
    assert f"{home}/journal belongs to root, so no run of eve is recorded" in said


# --- what is this user's own ---------------------------------------------------------------------


def test_a_home_that_is_a_link_or_below_one_works(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "tasks").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    home.symlink_to(tmp_path / "link" / "tasks")
    record("linked")
    assert seen() == {"linked": "success"}
    assert (tmp_path / "data" / "tasks" / "index.sqlite3").exists()


def test_a_linked_home_is_delivered_and_may_have_plugins(
    tmp_path: Path, home: Path, datagrams: Any
) -> None:
    (tmp_path / "real").mkdir(0o700)
    home.symlink_to("real")
    Book(home).run(unsent=True)
    assert tool("ship") == (0, "delivered 2 starts and ends\n", "")
    (home / "plugins").write_text("/venv/bin\tcmd=module:function\n")
    (home / "plugins").chmod(0o600)
    assert known_plugins(str(home)) == {"/venv/bin": "cmd=module:function"}


def test_an_unwritable_home_is_not_tried_again_for_each_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    settle = homes.settle

    def counted(home: str, **how: Any) -> tuple[str, int]:
        calls.append(home)
        return settle(home, **how)

    monkeypatch.setattr(homes, "settle", counted)
    notes = Journal("/proc/nowhere")
    assert [notes.append("a line") for _ in range(20)] == [False] * 20
    assert calls == ["/proc/nowhere"]


def test_a_journal_that_is_a_link_is_refused_with_a_message(tmp_path: Path, home: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    home.mkdir(0o700)
    (home / "journal").symlink_to(tmp_path / "elsewhere")
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    words = (PYTHON, "-c", program)
    log = tmp_path / "log"
    env = {"AUTOTASK_DEBUG": str(log), "AUTOTASK_PROCESS": "1"}
    run_program(*words, under="path", env=env)
    run_program(*words, under="launcher", env=env)
    assert "runs are journalled nowhere, sent " in log.read_text()
    assert f"is a link: '{home}/journal'" in log.read_text()
    assert [path.name for path in home.iterdir()] == [
        "journal"
    ]  # no mark of what cannot be found again
    status, out, err = tool("runs")
    assert (status, out) == (1, "")
    assert err == (
        f"autotask: no run is recorded while {home}/journal is a link: "
        f"replace it with a folder, or make {home} itself the link\n"
    )


def test_a_segment_that_is_a_link_is_not_written(home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o440)
    (home / "journal").mkdir(parents=True)
    for hour in (0, 3600):
        (home / "journal" / journal.segment(time.time() + hour)).symlink_to(secret)
    assert Journal(str(home)).append("a line") is False
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == (SECRET, 0o440)


def test_a_segment_keeps_the_mode_that_its_user_gave_it(home: Path) -> None:
    notes = Journal(str(home))
    assert notes.append("one")
    (segment,) = (home / "journal").iterdir()
    segment.chmod(0o640)
    notes.close()
    assert notes.append("two")
    assert segment.stat().st_mode & 0o777 == 0o640


def test_a_group_may_write_above_the_home(tmp_path: Path, home: Path) -> None:
    tmp_path.chmod(0o775)  # as a umask of 002 has made it
    record("mine")
    assert seen() == {"mine": "success"}


def test_the_tool_only_reads_a_home_that_others_may_write(home: Path) -> None:
    record("mine", ended=False, by=dead_process())
    home.chmod(0o775)
    before = snapshot(home)
    status, out, err = tool("runs", "--format", "jsonl")
    assert (status, json.loads(out)["reason"]) == (0, "lost")
    assert err == f"autotask: {home} can be written by other users (`chmod go-w` it): read-only\n"
    for words in (("prune", "--keep", "1d"), ("ship",)):
        assert tool(*words)[0] == 1
    assert snapshot(home) == before


def test_a_relative_home_is_the_same_wherever_the_command_goes(tmp_path: Path) -> None:
    program = "import os, sys, subprocess; os.chdir('sub'); subprocess.run(sys.argv[1:])"
    (tmp_path / "sub").mkdir()
    words = (PYTHON, "-c", program, LAUNCHER, "true")
    done = run_program(*words, under="launcher", cwd=tmp_path, env={"AUTOTASK_HOME": "tasks"})
    assert done == Ended(0, "", "")
    assert len(runs(tmp_path / "tasks")) == 2
