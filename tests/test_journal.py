"""The journal: whole lines, whatever is in them and whatever else writes; no other file."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest
from support import (
    PATIENCE,
    PYTHON,
    Ended,
    Tags,
    a_run,
    lines,
    run_program,
    runs,
    small_disk,
    start_program,
    wait_until,
    write,
)

from autotask import journal
from autotask.around import story, undelivered
from autotask.journal import Journal
from autotask.run import SUCCESS, End, Outcome, Run, failure

CLICK = """
import click
@click.command()
def hello():
    click.echo("hello")
hello()
"""
NOON = 1_764_072_000.0  # 2025-11-25 12:00 UTC


def written(home: Path) -> list[str]:
    """Return the lines of all segments."""
    segments = sorted((home / "journal").iterdir())
    return [line for segment in segments for line in segment.read_text("ascii").splitlines()]


# --- what is written -----------------------------------------------------------------------------

TEXTS = {
    "nothing": "",
    "a word": "nightly",
    "quotes": "say \"it\" and 'that'",
    "backslashes": "C:\\new\\table \\u0041 \\",
    "line ends": "one\ntwo\r\nthree\r",
    "other line ends": "a\u0085b\u2028c\u2029d\x0b\x0ce",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "NUL": "\0",
    "accents": "tâche de nuit: ça coûte",
    "other alphabets": "задача 作業 مهمة",
    "emoji": "\N{ROCKET} \N{FAMILY}\u200d\N{GIRL}",
    "the ends of the planes": "\ud7ff\ue000\uffff\U00010000\U0010ffff",
    "a lone surrogate": "\udcff and \ud800",
    "what JSON or HTML could trip over": "</script>{}[]:,&<>",
    "long": "x" * 100_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_becomes_an_ascii_json_string_without_line_ends(text: str) -> None:
    found = journal.quoted(text)
    assert json.loads(found) == text
    assert found.isascii()
    assert found.isprintable()


def test_each_character_becomes_ascii_json() -> None:
    for code in [*range(0x3000), *range(0x3000, 0x110000, 97)]:
        text = f"a{chr(code)}"
        assert json.loads(journal.quoted(text)) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_name_makes_one_line_of_json(text: str) -> None:
    run = Run(text, "click")
    place = journal.process_fields(7, text, text, text, Tags(text, text, text, {text: text}))
    started = json.loads(journal.started_line(run, place))
    assert (started["task"], started["process"], started["host"]) == (text, text, text)
    assert started["tags"] == {text: text}
    outcome = failure("exception", error={"type": text, "message": text}, signal=text)
    for line in (
        journal.finished_line(run, End(outcome, 0.0, 1.0, 1.0, 1)),
        journal.raised_line("1", "2", 0.0, outcome),
    ):
        assert "\n" not in line
        assert json.loads(line)["error"] == {"type": text, "message": text}


def test_a_started_line_says_all_that_is_known_at_the_start() -> None:
    run = Run("nightly", "click")
    run.started, run.trigger = NOON + 0.000001, "cron"
    place = journal.process_fields(
        7, "b/n/1", "vm", "3.12.1", Tags("shop", "prod", "7", {"a": "1"})
    )
    assert json.loads(journal.started_line(run, place)) == {
        "event": "started",
        "run": run.id,
        "root": run.id,
        "parent": None,
        "at": "2025-11-25T12:00:00.000001Z",
        "task": "nightly",
        "framework": "click",
        "trigger": "cron",
        "pid": 7,
        "process": "b/n/1",
        "host": "vm",
        "python": "3.12.1",
        "service": "shop",
        "env": "prod",
        "version": "7",
        "tags": {"a": "1"},
    }


def test_a_started_line_names_the_pod_if_it_is_known() -> None:
    place = journal.process_fields(7, "b/n/1", "vm", None, Tags(entity_id="5a1f"))
    assert json.loads(journal.started_line(Run("nightly", "click"), place))["entity"] == "5a1f"


def test_unknown_fields_are_left_out_except_the_parent() -> None:
    place = journal.process_fields(7, "?", "vm")
    fields = json.loads(journal.started_line(Run("nightly", "click"), place))
    assert set(fields) == {
        *("event", "run", "root", "parent", "at", "task", "framework", "trigger"),
        *("pid", "process", "host"),
    }
    line = journal.finished_line(a_run(run_id="1", root="2"), End(SUCCESS, NOON))
    assert json.loads(line) == {
        "event": "finished",
        "run": "1",
        "root": "2",
        "status": "success",
        "at": "2025-11-25T12:00:00.000000Z",
    }


OUTCOMES: list[tuple[Outcome, dict[str, object]]] = [
    (failure("exit", exit_code=0), {"reason": "exit", "exit_code": 0}),
    (failure("exit", exit_code=3), {"reason": "exit", "exit_code": 3}),
    (failure("signal", signal="SIGTERM"), {"reason": "signal", "signal": "SIGTERM"}),
    (failure("nested", caused_by="ab"), {"reason": "nested", "caused_by": "ab"}),
    (failure("lost"), {"reason": "lost"}),
]


@pytest.mark.parametrize(("outcome", "fields"), OUTCOMES)
def test_a_finished_line_says_how_it_ended(outcome: Outcome, fields: dict[str, object]) -> None:
    line = journal.finished_line(a_run(run_id="1", root="2"), End(outcome, NOON, 0.5, 0.25, 4096))
    usual = {"event": "finished", "run": "1", "root": "2", "at": "2025-11-25T12:00:00.000000Z"}
    cost = {"duration": 0.5, "cpu": 0.25, "max_rss": 4096}
    assert json.loads(line) == {**usual, "status": "failure", **fields, **cost}
    line = journal.raised_line("1", "2", NOON, outcome)
    assert json.loads(line) == {**usual, "event": "raised", **fields}


MOMENTS = [
    (0.0, "1970-01-01T00:00:00.000000Z"),
    (NOON, "2025-11-25T12:00:00.000000Z"),
    (NOON + 0.999999, "2025-11-25T12:00:00.999999Z"),
    (NOON + 1 - 2**-22, "2025-11-25T12:00:01.000000Z"),  # the last one before it
    (NOON - 0.5, "2025-11-25T11:59:59.500000Z"),
    (253402300799.0, "9999-12-31T23:59:59.000000Z"),
]


@pytest.mark.parametrize(("timestamp", "text"), MOMENTS)
def test_a_time_is_rfc_3339_in_utc_with_microseconds(timestamp: float, text: str) -> None:
    assert journal.moment(timestamp) == text


def test_times_are_in_utc_in_every_time_zone(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", CLICK)
    before = journal.segment(time.time())
    assert run_program(script, env={"TZ": "Asia/Kathmandu"}).status == 0
    names = {path.name for path in (home / "journal").iterdir()}
    assert names <= {before, journal.segment(time.time())}
    assert runs(home)[0]["started_at"][:13] in {name[:13] for name in names}


# --- appending -----------------------------------------------------------------------------------


def test_a_line_is_one_write(tmp_path: Path) -> None:
    strace = next((p for p in ("/usr/bin/strace", "/bin/strace") if os.path.exists(p)), None)
    if strace is None:
        pytest.skip("no strace")
    trace, home = tmp_path / "trace", tmp_path / "home"
    program = write(
        tmp_path / "append.py",
        f"""
        import sys; sys.path.insert(0, {str(Path(journal.__file__).parent.parent)!r})
        from autotask.journal import Journal
        notes = Journal({str(home)!r})
        for size in (1, 100, 10_000, 1_000_000):
            notes.append("x" * size)
        """,
    )
    ended = run_program(
        *(strace, "-y", "-e", "trace=write,writev,pwrite64", "-o", trace, PYTHON, program),
        under="bare",
    )
    if not trace.exists() or "ptrace" in ended.stderr.lower():
        pytest.skip("may not trace")
    writes = [line for line in trace.read_text().splitlines() if "/journal/" in line]
    assert [int(line.rpartition("= ")[2]) for line in writes] == [2, 101, 10_001, 1_000_001]


THOUSAND = """
import os, sys
sys.path.insert(0, {path!r})
from autotask.journal import Journal
gate, hold = os.pipe()
for number in range(1000):
    if os.fork() == 0:
        os.close(hold)
        notes = Journal({home!r})
        os.read(gate, 1)  # until all have started
        for turn in range(3):
            filler = "x" * (number * 5)
            notes.append('{{"writer":%d,"turn":%d,"filler":"%s"}}' % (number, turn, filler))
        os._exit(0)
os.close(hold)
print({{os.wait()[1] for _ in range(1000)}})
"""


def test_a_thousand_writers_at_once_lose_and_mix_no_lines(tmp_path: Path, home: Path) -> None:
    place = str(Path(journal.__file__).parent.parent)
    script = write(tmp_path / "many.py", THOUSAND.format(path=place, home=str(home)))
    assert run_program(script, under="bare") == Ended(0, "{0}\n", "")
    found = [json.loads(line) for line in written(home)]
    assert sorted((line["writer"], line["turn"]) for line in found) == [
        (writer, turn) for writer in range(1000) for turn in range(3)
    ]
    assert all(len(line["filler"]) == line["writer"] * 5 for line in found)


class Clock:
    """A replacement of time.time that is set by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(NOON)
    monkeypatch.setattr(time, "time", found)
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_each_hour_has_a_segment(home: Path, clock: Clock) -> None:
    notes = Journal(str(home))
    notes.append("before")
    before = descriptors()
    for seconds in (0, 1, 3599.999, 3600, 3601, 48 * 3600, 3600):  # also back: clocks are set
        clock.now = NOON + seconds
        assert notes.append(str(seconds))
    assert descriptors() == before
    assert {path.name: path.read_text() for path in (home / "journal").iterdir()} == {
        "2025-11-25T12.jsonl": "before\n0\n1\n3599.999\n",
        "2025-11-25T13.jsonl": "3600\n3601\n3600\n",
        "2025-11-27T12.jsonl": f"{48 * 3600}\n",
    }


def test_the_position_is_where_the_next_line_goes(home: Path, clock: Clock) -> None:
    notes = Journal(str(home))
    assert notes.position() == ("2025-11-25T12.jsonl", 0)
    notes.append("a line")
    assert notes.position() == ("2025-11-25T12.jsonl", len("a line\n"))
    clock.now += 3600
    assert notes.position() == ("2025-11-25T13.jsonl", 0)


# --- the program's descriptors are the program's -------------------------------------------------


def test_a_descriptor_that_was_closed_is_opened_again(home: Path) -> None:
    notes = Journal(str(home))
    notes.append("one")
    mine = [int(name) for name in os.listdir("/proc/self/fd") if _leads_to(name, home)]
    for file in mine:
        os.close(file)
    assert notes.append("two")
    assert written(home) == ["one", "two"]


def _leads_to(descriptor: str, home: Path) -> bool:
    try:
        return str(home) in os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return False


CLOSING = """
import click, os, socket
@click.command()
def work(): pass
def run(): work.main([], standalone_mode=False)
run()
for turn in range(3):
    os.closerange(3, 64)
    {taken}
    run()
    print(open("mine").read() if os.path.exists("mine") else "")
"""
TAKEN = {
    "nothing": "pass",
    "a file": "mine = [os.open('mine', os.O_CREAT | os.O_WRONLY) for _ in range(20)]",
    "a file for appending": "mine = [os.open('mine', os.O_CREAT | os.O_APPEND | os.O_RDWR)] * 9",
    "pipes": "mine = [os.pipe() for _ in range(10)]",
    "sockets": "mine = [end.detach() for _ in range(10) for end in socket.socketpair()]",
    "a folder": "mine = [os.open('.', os.O_RDONLY) for _ in range(20)]",
}


@pytest.mark.parametrize("taken", TAKEN.values(), ids=TAKEN)
def test_a_program_that_reuses_all_descriptors_gets_no_line_of_the_journal(
    taken: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", CLOSING.format(taken=taken))
    ended = run_program(script, cwd=tmp_path, env={"AUTOTASK_PROCESS": "0"})
    assert ended == Ended(0, "\n\n\n", "")
    assert [run["status"] for run in runs(home)] == ["success"] * 4


DAEMON = """
import click, os
@click.command()
def work(): os.write(1, b"working\\n")
work.main([], standalone_mode=False)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.chdir("/")
os.umask(0)
os.closerange(0, 256)
null = os.open({out!r}, os.O_RDWR | os.O_CREAT)
os.dup2(null, 1)
os.dup2(null, 2)
mine = [open({mine!r}, "w") for _ in range(9)]
work.main([], standalone_mode=False)
open({mine!r} + ".done", "w").close()
"""


def test_a_daemon_is_recorded_and_its_files_are_its_own(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    out, mine = tmp_path / "out", tmp_path / "mine"
    script = write(tmp_path / "daemon.py", DAEMON.format(out=str(out), mine=str(mine)))
    env: dict[str, str | None] = {"AUTOTASK_PROCESS": "0"}
    process = start_program(script, env=env, stdout=-3, stderr=-3)  # its children get no pipe
    assert process.wait(PATIENCE) == 0
    wait_until(Path(f"{mine}.done").exists)
    assert (out.read_text(), mine.read_text()) == ("working\n", "")
    assert [(run["task"], run["status"]) for run in runs(home)] == [("daemon", "success")] * 2


STDIO = """
import os
{before}
import click
@click.command()
def work(): pass
work.main([], standalone_mode=False)
names = []
for file in (0, 1, 2):
    try: names.append(os.readlink("/proc/self/fd/%d" % file))
    except OSError: names.append("closed")
taken = [os.open("mine", os.O_CREAT | os.O_RDWR) for _ in range(3)]
work.main([], standalone_mode=False)
open("seen", "w").write(repr([name for name in names if "autotask" in name or "socket" in name]))
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("process", ["0", "1"])
def test_closed_standard_streams_are_not_reused(
    closed: str, process: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    write(tmp_path / "shop.py", STDIO.format(before=""))
    command = f'exec "{PYTHON}" shop.py {closed}'
    env = {"AUTOTASK_PROCESS": process}
    assert run_program("sh", "-c", command, cwd=tmp_path, env=env) == Ended(0, "", "")
    assert (tmp_path / "seen").read_text() == "[]"
    assert (tmp_path / "mine").read_text() == ""
    tasks = [run for run in runs(home) if run["framework"] == "click"]
    assert [run["status"] for run in tasks] == ["success"] * 2


def test_children_do_not_inherit_our_descriptors(tmp_path: Path) -> None:
    pytest.importorskip("click")
    source = CLICK.replace(
        'click.echo("hello")',
        "import os, subprocess; subprocess.run(['ls', '/proc/self/fd'], close_fds=False)",
    )
    script = write(tmp_path / "shop.py", source)
    bare, ours = (run_program(script, under=u) for u in ("bare", "path"))
    assert ours == bare


# --- disks that are full, homes that cannot be written -------------------------------------------

FULL = """
import resource, sys
sys.path.insert(0, {path!r})
from autotask.journal import Journal
notes = Journal({home!r})
line = '{{"event":"%s","filler":"' + "x" * 100 + '"}}'
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
print(notes.append(line % "first"))
limit({limit})
print(notes.append(line % "second"), notes.append(line % "third"))
limit(resource.RLIM_INFINITY)
print(notes.append(line % "fourth"), notes.append(line % "fifth"))
"""


@pytest.mark.parametrize("limit", [125, 128, 200, 254, 259, 260], ids=str)
def test_lines_that_a_full_disk_refused_or_cut_are_written_with_the_next(
    limit: int, tmp_path: Path, home: Path
) -> None:
    place = str(Path(journal.__file__).parent.parent)
    source = FULL.format(path=place, home=str(home), limit=limit)
    ended = run_program(write(tmp_path / "full.py", source), under="bare")
    only_its_end_was_refused = limit == 260
    assert ended == Ended(0, f"True\n{only_its_end_was_refused} False\nTrue True\n", "")
    whole = []
    for line in written(home):
        try:
            whole.append(json.loads(line)["event"])
        except ValueError:
            assert '{"event":"second"'.startswith(line[:17]), line
            assert not only_its_end_was_refused
    assert whole == ["first", "second", "third", "fourth", "fifth"]


MANY = """
import resource, sys
sys.path.insert(0, {path!r})
from autotask.journal import Journal
notes = Journal({home!r})
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
limit(0)
for number in range({count}): notes.append('{{"number":%d,"filler":"' % number + "x" * 100 + '"}}')
print(notes.settle())
limit(resource.RLIM_INFINITY)
print(notes.settle())
"""


@pytest.mark.parametrize(("count", "settled"), [(1, True), (1000, True), (5000, False)])
def test_lines_are_kept_for_a_full_disk_as_far_as_memory_is_bounded(
    count: int, settled: bool, tmp_path: Path, home: Path
) -> None:
    place = str(Path(journal.__file__).parent.parent)
    source = MANY.format(path=place, home=str(home), count=count)
    ended = run_program(write(tmp_path / "many.py", source), under="bare")
    assert ended == Ended(0, f"False\n{settled}\n", "")
    found = [line["number"] for line in lines(home)]
    assert found == list(range(len(found)))
    assert (len(found) == count) is settled
    assert len(found) >= min(count, 1000)


@pytest.mark.parametrize("kept", ["all", "all but the last", "none"])
def test_if_several_lines_are_cut_anywhere_each_kept_one_is_whole_once(kept: str) -> None:
    lines = [b"a", b"bb", b"ccc", b"bb"]
    data = b"".join(line + b"\n" for line in lines)
    count = {"all": len(lines), "all but the last": len(lines) - 1, "none": 0}[kept]
    end = sum(len(line) + 1 for line in lines[:count])
    for written in range(len(data)):
        rest = journal._rest(data, written, end)
        *found, nothing = (data[:written] + rest + b"next\n").split(b"\n")
        *whole, torn = data[:written].split(b"\n")
        if torn in lines[len(whole) : len(whole) + 1]:  # only its line end was cut off
            whole, torn = [*whole, torn], b""
        missing = lines[len(whole) : count]
        assert found == [*whole, *([torn] if torn else []), *missing, b"next"], written
        assert nothing == b""


def test_a_line_that_must_not_be_kept_is_dropped(home: Path) -> None:
    home.mkdir()
    (home / "journal").write_text("a file for now")
    notes = Journal(str(home))
    assert notes.append('{"kept":true}') is False
    assert notes.append('{"kept":false}', keep=False) is False
    (home / "journal").unlink()
    assert notes.append('{"kept":"after"}') is True
    assert [line["kept"] for line in lines(home)] == [True, "after"]
    notes.close()


@pytest.mark.parametrize("limit", [0, 1, 100, 300, 700])
def test_a_task_on_a_full_disk_runs_as_usual(limit: int, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    source = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, -1))\n" + CLICK
    ended = run_program(write(tmp_path / "shop.py", source))
    assert ended == Ended(0, "hello\n", "")
    for segment in (home / "journal").iterdir():
        assert segment.stat().st_size <= max(limit, 600)


def test_a_task_on_a_full_file_system_runs_as_usual(tmp_path: Path) -> None:
    pytest.importorskip("click")
    with small_disk(tmp_path / "tiny", "size=4k,nr_inodes=5") as tiny:
        script = write(tmp_path / "shop.py", CLICK)
        for _ in range(20):
            ended = run_program(script, env={"AUTOTASK_HOME": str(tiny / "home")})
            assert ended == Ended(0, "hello\n", "")


def _homes(folder: Path) -> dict[str, dict[str, str | None]]:
    """Make homes in which no journal can be written."""
    (folder / "file").write_text("mine")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "half").mkdir()
    (folder / "half" / "journal").write_text("mine")
    (folder / "dangling").symlink_to(folder / "nowhere" / "at" / "all")
    places = ["file", "file/home", "loop", "half", "dangling"]
    return {
        **{place: {"AUTOTASK_HOME": str(folder / place)} for place in places},
        "read-only": {"AUTOTASK_HOME": "/proc/autotask"},
        "too long": {"AUTOTASK_HOME": "/tmp/" + "x" * 300},
        "the root of all": {"AUTOTASK_HOME": "/dev/null"},
        "HOME is a file": {"AUTOTASK_HOME": None, "HOME": str(folder / "file")},
        "HOME is nowhere": {"AUTOTASK_HOME": None, "HOME": "/proc/nowhere"},
    }


HOMES = [
    *("file", "file/home", "loop", "half", "dangling", "read-only", "too long"),
    *("the root of all", "HOME is a file", "HOME is nowhere"),
]


@pytest.mark.parametrize("case", HOMES)
def test_an_unwritable_home_does_not_disturb_the_task(case: str, tmp_path: Path) -> None:
    pytest.importorskip("click")
    env = _homes(tmp_path)[case]
    ended = run_program(write(tmp_path / "shop.py", CLICK), env=env)
    assert ended == Ended(0, "hello\n", "")
    assert (tmp_path / "file").read_text() == "mine"
    assert Journal(env["AUTOTASK_HOME"] or f"{env['HOME']}/x").append("a line") is (
        case == "dangling" and (tmp_path / "nowhere").exists()
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_users_home_is_left_alone(tmp_path: Path, home: Path) -> None:
    home.mkdir()
    child = os.fork()
    if child == 0:
        os.setuid(54321)
        os._exit(bool(Journal(str(home)).append("a line")))
    assert os.waitpid(child, 0)[1] == 0
    assert list(home.iterdir()) == []


# --- whose it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077, 0o002])
def test_the_home_and_its_files_are_private_whatever_the_umask(
    umask: int, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    source = f"import os; os.umask({umask})\n" + CLICK.replace(
        'click.echo("hello")', "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    run_program(write(tmp_path / "shop.py", source), env={"AUTOTASK_PROCESS": "0"})
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in [home, *home.rglob("*")]}
    assert len(found) == 5  # with the mark of the killed process
    assert {mode for path, mode in found.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in found.items() if path.is_file()} == {0o600}


def test_the_folders_made_above_the_home_are_private_too(tmp_path: Path) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", "import os; os.umask(0)\n" + CLICK)
    env = {"AUTOTASK_HOME": None, "HOME": str(tmp_path), "AUTOTASK_PROCESS": "0"}
    assert run_program(script, env=env).status == 0
    for folder in (".local", ".local/state", ".local/state/autotask"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


def test_an_existing_home_keeps_its_mode(tmp_path: Path, home: Path) -> None:
    home.mkdir()
    home.chmod(0o750)
    assert Journal(str(home)).append("a line")
    assert stat.S_IMODE(home.stat().st_mode) == 0o750
    assert stat.S_IMODE((home / "journal").stat().st_mode) == 0o700


GONE = """
import click, os, shutil
@click.command()
def work(): pass
work.main([], standalone_mode=False)
{gone}
work.main([], standalone_mode=False)
work.main([], standalone_mode=False)
print("done")
"""
WAYS_TO_GO = {
    "the home": "shutil.rmtree(os.environ['AUTOTASK_HOME'])",
    "the journal": "shutil.rmtree(os.environ['AUTOTASK_HOME'] + '/journal')",
    "the segments": (
        "place = os.environ['AUTOTASK_HOME'] + '/journal/'\n"
        "for name in os.listdir(place): os.unlink(place + name)"
    ),
    "the home, moved away": "os.rename(os.environ['AUTOTASK_HOME'], 'elsewhere')",
}


@pytest.mark.swallows  # the mark to be taken back is gone too
@pytest.mark.parametrize("gone", WAYS_TO_GO.values(), ids=WAYS_TO_GO)
def test_a_removed_journal_does_not_disturb_the_task(gone: str, tmp_path: Path) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", GONE.format(gone=gone))
    ended = run_program(script, cwd=tmp_path, env={"AUTOTASK_PROCESS": "0"})
    assert ended == Ended(0, "done\n", "")


def test_a_removed_file_is_not_kept_open(home: Path) -> None:
    notes = Journal(str(home))
    notes.append("one")
    before = descriptors()
    for _ in range(3):
        shutil.rmtree(home)
        notes.append("more")
    assert descriptors() == before


@pytest.mark.swallows
@pytest.mark.parametrize("gone", ["the home", "the journal", "the segments"])
def test_runs_after_a_removal_are_in_a_new_journal(gone: str, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", GONE.format(gone=WAYS_TO_GO[gone]))
    run_program(script, cwd=tmp_path, env={"AUTOTASK_PROCESS": "0"})
    assert [run["status"] for run in runs(home)] == ["success"] * 2


def test_a_line_without_its_end_counts_and_so_does_the_next(home: Path) -> None:
    """Whatever part of the next line follows it at the time of reading."""
    started, run = Run("nightly", "click"), Run("later", "click")
    started.started = run.started = time.time()
    place = journal.process_fields(7, "1-2/3", "here", None, Tags(tags={"team": "north"}))
    text = "".join(
        [
            journal.started_line(started, place, unsent=True),
            journal.finished_line(started, End(SUCCESS, time.time(), 1, 1, 1), True),
            journal.started_line(run, place, unsent=True),
        ]
    )
    own = {"run": started.id, "root": started.root, "process": "1-2/3", "pid": 7}
    path = home / "journal" / journal.segment(time.time())
    path.parent.mkdir(parents=True)
    for cut in range(0, len(text) + 1, 3):
        path.write_text(text[:cut])
        known = story.Story({started.root}, str(path.parent), ("", 0))
        known.know(story.Open(own))
        owing = undelivered.Undelivered(str(path.parent), ("", 0))
        stories = [known, story.Story({started.root}, str(path.parent), ("", 0))]
        owing.catch_up()
        for one in stories:
            one.catch_up()
        path.write_text(text + "\n")
        assert len(owing.catch_up()) == 3, cut
        for one in stories:
            one.catch_up()
            assert not one.open, cut
