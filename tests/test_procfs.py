"""Which process this is, its mark in the home, and what started it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import (
    LAUNCHER,
    PATIENCE,
    PYTHON,
    TEMPLATE,
    UNKNOWN,
    Ended,
    lines,
    only_run,
    run_program,
    runs,
    start_program,
    wait_until,
    write,
)

from autotask import procfs
from autotask.journal import Journal
from autotask.telling import leave_mark

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")

HOST = os.uname().nodename


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that lives until its standard input is closed."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as started:
        yield started


# --- identity ------------------------------------------------------------------------------------


def test_an_identity_consists_of_boot_namespace_and_start_time() -> None:
    boot, namespace, *started = procfs.identity().split("/")
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert f"pid:[{namespace}]" == os.readlink("/proc/self/ns/pid")
    assert started[0] == procfs.start_time(os.getpid())


def test_an_identity_is_the_same_for_every_reader(child: subprocess.Popen[bytes]) -> None:
    assert procfs.identity() == procfs.identity(os.getpid())
    script = f"from autotask.procfs import identity; print(identity({child.pid}))"
    asked = run_program("-c", script).stdout.strip()
    assert asked == procfs.identity(child.pid) != procfs.identity()


def test_an_identity_is_the_same_in_a_thread_and_different_in_a_fork() -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(procfs.identity()))
    thread.start()
    thread.join()
    assert found == [procfs.identity()]
    out, inside = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(inside, procfs.identity().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(out, 999).decode() != procfs.identity()
    for file in (out, inside):
        os.close(file)


NAMES = ["plain", "two words", "a) R (b", "))", "((", "ünïcode", "x" * 40, "a\nb"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_any_kind_does_not_confuse_the_fields(name: str, tmp_path: Path) -> None:
    program = shutil.copy(shutil.which("cat") or "/bin/cat", tmp_path / name)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as started:
        wait_until(lambda: procfs.name_of(started.pid) not in (None, "python", "pytest"))
        kernel = name.encode()[:15].decode("utf-8", "replace")
        wait_until(lambda: procfs.name_of(started.pid) == kernel)
        fields = procfs.stat_fields(started.pid)
        assert fields is not None
        assert fields[1] == str(os.getpid())
        assert procfs.start_time(started.pid) == fields[19]
        assert fields[19].isdigit()


@pytest.mark.parametrize("pid", [0, -1, 1 << 30, 999_999_999_999])
def test_nothing_is_known_about_a_process_that_does_not_exist(pid: int) -> None:
    assert procfs.stat_fields(pid) is None
    assert procfs.start_time(pid) is None
    assert procfs.name_of(pid) is None
    assert procfs.identity(pid).endswith("/?")


# --- whether it is dead --------------------------------------------------------------------------


def changed(identity: str, place: int, value: str) -> str:
    words = identity.split("/")
    words[place] = value
    return "/".join(words)


def test_a_living_process_is_not_dead(child: subprocess.Popen[bytes]) -> None:
    for pid in (os.getpid(), child.pid):
        assert procfs.is_dead(procfs.identity(pid), pid, HOST) is False


def test_an_ended_process_and_a_zombie_are_dead(child: subprocess.Popen[bytes]) -> None:
    identity = procfs.identity(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    fields = procfs.stat_fields(child.pid)
    assert fields is not None
    assert fields[0] == "Z"
    assert procfs.is_dead(identity, child.pid, HOST) is True
    child.wait()
    assert procfs.is_dead(identity, child.pid, HOST) is True


INITIAL = os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"  # tests may run in a container
DEATHS: list[tuple[int, str, str, bool | None]] = [
    (2, "12345", HOST, True),  # its id was given to another process
    (0, "another-boot", HOST, True if INITIAL else None),  # this machine was rebooted
    (0, "another-boot", "elsewhere", None),
    (1, "4026531836000", HOST, None),  # in another container
    (0, "?", HOST, None),
    (1, "?", HOST, None),
    (2, "?", HOST, None),
]


@pytest.mark.parametrize(("place", "value", "host", "dead"), DEATHS)
def test_what_can_be_seen_from_here_decides(
    place: int, value: str, host: str, dead: bool | None, child: subprocess.Popen[bytes]
) -> None:
    identity = changed(procfs.identity(child.pid), place, value)
    assert procfs.is_dead(identity, child.pid, host) is dead


def test_a_host_name_proves_no_reboot_for_a_process_of_a_container(
    child: subprocess.Popen[bytes],
) -> None:
    boot, _, started = procfs.identity(child.pid).split("/")
    for identity in (f"another-{boot}/1/{started}", f"another-{boot}/4026532000/{started}"):
        assert procfs.is_dead(identity, child.pid, HOST) is None


def test_the_host_does_not_matter_within_one_boot(child: subprocess.Popen[bytes]) -> None:
    assert procfs.is_dead(procfs.identity(child.pid), child.pid, "renamed") is False


@pytest.mark.parametrize("identity", ["", "/", "nonsense", "a/b", "?/?/?", "///"])
def test_an_invalid_identity_is_not_judged(identity: str) -> None:
    assert procfs.is_dead(identity, os.getpid(), "elsewhere") is not False


# --- marks ---------------------------------------------------------------------------------------

TASK = """
import click
@click.command()
def shop():
    {body}
shop()
"""


def the_mark(home: Path) -> Path:
    (found,) = (home / "open").iterdir()
    return found


def test_a_mark_names_its_process_and_where_its_runs_begin(home: Path) -> None:
    notes = Journal(str(home))
    notes.append("of somebody else")
    path = leave_mark(notes, "7-ab", 'b/"n"/1', 7, "vm\n", "root")
    assert path == str(home / "open" / "7-ab") == str(the_mark(home))
    segment, offset = notes.position()
    assert json.loads(the_mark(home).read_text()) == {
        "process": 'b/"n"/1',
        "pid": 7,
        "host": "vm\n",
        "root": "root",
        "segment": segment,
        "offset": offset,
    }
    assert offset == len("of somebody else\n")
    assert stat.S_IMODE(the_mark(home).stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "open").stat().st_mode) == 0o700


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null", "/dev/null/home"])
def test_an_unwritable_mark_is_not_left(place: str) -> None:
    assert leave_mark(Journal(place), "7-ab", "b/n/1", 7, "vm", "root") is None


def test_a_process_has_one_mark_from_its_first_run_to_its_end(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    source = """
        import click, os
        folder = os.environ["AUTOTASK_HOME"] + "/open"
        @click.command()
        def one(): print(len(os.listdir(folder)))
        @click.command()
        def two(): one.main([], standalone_mode=False)
        print(os.path.exists(folder))
        for _ in range(3): two.main([], standalone_mode=False)
        print(len(os.listdir(folder)))
    """
    ended = run_program(write(tmp_path / "shop.py", source), env={"AUTOTASK_PROCESS": "0"})
    assert ended == Ended(0, "False\n1\n1\n1\n1\n", "")
    assert list((home / "open").iterdir()) == []


ENDS = {
    "returns": ("pass", False),
    "raises": ("raise ValueError", False),
    "exits": ("raise SystemExit(3)", False),
    "is interrupted": ("raise KeyboardInterrupt", False),
    "is killed": ("import os; os.kill(os.getpid(), 9)", True),
    "ends at once": ("import os; os._exit(0)", False),
    "becomes another program": ("import os; os.execlp('true', 'true')", True),
}


@pytest.mark.parametrize(("body", "left"), ENDS.values(), ids=ENDS)
def test_a_mark_is_left_behind_if_runs_are_open(
    body: str, left: bool, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    Journal(str(home)).append('{"event":"of somebody else"}')
    run_program(write(tmp_path / "shop.py", TASK.format(body=body)))
    assert len(list((home / "open").iterdir())) == left
    if not left:
        return
    mark = json.loads(the_mark(home).read_text())
    data = (home / "journal" / mark["segment"]).read_bytes()[mark["offset"] :]
    first = json.loads(data.split(b"\n")[0])
    assert (first["event"], first["task"], first["root"]) == ("started", "shop.py", mark["root"])
    for name in ("pid", "process", "host"):
        assert mark[name] == first[name]
    assert the_mark(home).name.removeprefix("became-").startswith(f"{mark['pid']}-")
    assert procfs.is_dead(mark["process"], mark["pid"], mark["host"]) is True


def test_a_mark_of_a_working_process_shows_that_it_lives(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    body = "import sys; sys.stdin.read()"
    script = write(tmp_path / "shop.py", TASK.format(body=body))
    with start_program(script, stdin=subprocess.PIPE) as started:
        wait_until(lambda: (home / "open").exists() and len(lines(home)) == 2)
        mark = json.loads(the_mark(home).read_text())
        assert mark["pid"] == started.pid
        assert mark["process"] == procfs.identity(started.pid)
        assert procfs.is_dead(mark["process"], mark["pid"], mark["host"]) is False
        started.send_signal(signal.SIGKILL)
        started.wait()
        assert procfs.is_dead(mark["process"], mark["pid"], mark["host"]) is True


def test_a_fork_has_its_own_mark_and_leaves_its_parents_alone(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    source = """
        import click, os, sys
        folder = os.environ["AUTOTASK_HOME"] + "/open"
        @click.command()
        def task(): print(len(os.listdir(folder)), flush=True)
        task.main([], standalone_mode=False)
        if os.fork() == 0:
            task.main([], standalone_mode=False)
            sys.exit()
        os.wait()
        print(len(os.listdir(folder)))
    """
    ended = run_program(write(tmp_path / "shop.py", source), env={"AUTOTASK_PROCESS": "0"})
    assert ended == Ended(0, "1\n2\n1\n", "")
    assert list((home / "open").iterdir()) == []


# --- what started it -----------------------------------------------------------------------------

KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
SYSTEMD = {"INVOCATION_ID": "0123456789abcdef0123456789abcdef"}
FIND = "from autotask.trigger import find_trigger; print(find_trigger())"

ECS = {"ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/1f"}
OLD_ECS = {"ECS_CONTAINER_METADATA_URI": "http://169.254.170.2/v3/1f"}
NOMAD = {"NOMAD_ALLOC_ID": "5a1f"}
PODMAN = {"container": "podman"}

TRIGGERS: list[tuple[dict[str, str], str]] = [
    ({}, UNKNOWN),
    (ECS, "container"),
    (OLD_ECS, "container"),
    (NOMAD, "container"),
    (PODMAN, "container"),
    ({"container": "systemd-nspawn"}, "container"),
    ({**PODMAN, **KUBERNETES}, "kubernetes"),
    ({**PODMAN, **SYSTEMD}, "systemd"),
    ({**ECS, "CI": "1"}, "ci"),
    ({"CI": "true"}, "ci"),
    ({"CI": "1"}, "ci"),
    ({"CI": "false"}, UNKNOWN),
    ({"CI": "False"}, UNKNOWN),
    ({"CI": "0"}, UNKNOWN),
    ({"CI": ""}, UNKNOWN),
    ({"BUILD_ID": "77"}, "ci"),
    ({"TF_BUILD": "True"}, "ci"),
    ({"TEAMCITY_VERSION": "2026.1"}, "ci"),
    ({"JENKINS_URL": "https://ci"}, "ci"),
    (KUBERNETES, "kubernetes"),
    (SYSTEMD, "systemd"),
    ({**KUBERNETES, **SYSTEMD}, "kubernetes"),
    ({"CI": "true", **KUBERNETES}, "ci"),
    ({"CI": "true", **SYSTEMD}, "ci"),
]


@pytest.mark.parametrize(("environ", "trigger"), TRIGGERS)
def test_the_environment_shows_the_trigger(environ: dict[str, str], trigger: str) -> None:
    ended = run_program("-c", FIND, env=environ)
    assert ended == Ended(0, f"{trigger}\n", "")


STREAMS = ("stdin", "stdout", "stderr")


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(
    ("environ", "trigger"),
    [
        ({}, "terminal"),
        ({"CI": "1"}, "ci"),
        (KUBERNETES, "terminal"),  # kubectl exec -it: the session is not that of process 1
        (SYSTEMD, "terminal"),
        (PODMAN, "terminal"),
    ],
)
def test_a_terminal_on_any_stream_counts(
    stream: str, environ: dict[str, str], trigger: str, tmp_path: Path
) -> None:
    outer, inner = pty.openpty()
    said = tmp_path / "said"
    script = f"from autotask.trigger import find_trigger as f; open({str(said)!r}, 'w').write(f())"
    ends = [inner if name == stream else subprocess.DEVNULL for name in STREAMS]
    program = start_program(
        "-c", script, env=environ, stdin=ends[0], stdout=ends[1], stderr=ends[2]
    )
    assert program.wait(PATIENCE) == 0
    assert said.read_text() == trigger
    os.close(outer)
    os.close(inner)


# Process 1 leads the session, or the terminal is the console: containers may share process 1.
POD_TERMINALS = {
    "process 1": ["setsid"],
    "a console": ["sh", "-c", 'mount --bind "$(readlink /proc/self/fd/0)" /dev/console; "$0" "$@"'],
}


@pytest.mark.parametrize("words", POD_TERMINALS.values(), ids=POD_TERMINALS)
def test_the_terminal_of_a_pod_counts_as_kubernetes(
    words: list[str], as_process_1: list[str]
) -> None:
    """See the table above for `kubectl exec -it`."""
    outer, inner = pty.openpty()
    seen = []
    for environ in (KUBERNETES, PODMAN):
        with start_program(
            *(*as_process_1, *words, PYTHON, "-c", FIND),
            env=environ,
            stdin=inner,
            stdout=subprocess.PIPE,
        ) as pod:
            seen.append(pod.communicate()[0])
    assert seen == [b"kubernetes\n", b"terminal\n"]
    os.close(outer)
    os.close(inner)


def shell(folder: Path, name: str) -> str:
    """Copy the shell under the name of something that starts jobs."""
    source = os.path.realpath(shutil.which("sh") or "/bin/sh")
    return str(shutil.copy(source, folder / name))


PYTHON_UNDER_US = f'"{PYTHON}" -c "{FIND}"; true'  # `true`: the shell stays, as under cron


@pytest.mark.parametrize("name", ["cron", "crond", "CRON", "anacron", "fcron", "supercronic"])
@pytest.mark.parametrize(
    "environ", [{}, SYSTEMD, PODMAN], ids=["", "under systemd", "in a container"]
)
def test_a_job_of_cron_has_the_trigger_cron(
    name: str, environ: dict[str, str], tmp_path: Path
) -> None:
    env = {**environ, "PYTHONPATH": str(TEMPLATE)}
    command = (shell(tmp_path, name), "-c", PYTHON_UNDER_US)
    assert run_program(*command, under="bare", env=env) == Ended(0, "cron\n", "")


@pytest.mark.parametrize("name", ["sh", "cronjob", "notcron", "crontab", "x) S 1 (cron"])
def test_a_program_that_is_only_named_like_cron_is_not_cron(name: str, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(TEMPLATE)}
    command = (shell(tmp_path, name), "-c", PYTHON_UNDER_US)
    assert run_program(*command, under="bare", env=env) == Ended(0, f"{UNKNOWN}\n", "")


@pytest.mark.parametrize(
    ("between", "trigger"), [(1, "cron"), (3, "cron"), (4, "cron"), (5, UNKNOWN)]
)
def test_cron_is_found_behind_a_few_shells(between: int, trigger: str, tmp_path: Path) -> None:
    script = write(tmp_path / "last.sh", PYTHON_UNDER_US)
    for number in range(between):
        script = write(tmp_path / f"{number}.sh", f'sh "{script}"; true')
    env = {"PYTHONPATH": str(TEMPLATE)}
    command = (shell(tmp_path, "cron"), "-c", f'. "{script}"')
    assert run_program(*command, under="bare", env=env) == Ended(0, f"{trigger}\n", "")


def test_children_inherit_the_trigger_of_the_run_that_started_them(
    tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    inner = write(tmp_path / "inner.py", TASK.format(body="pass"))
    body = f"import subprocess, sys; subprocess.run([sys.executable, {str(inner)!r}], check=True)"
    outer = write(tmp_path / "outer.py", TASK.format(body=body))
    assert run_program(outer, env=KUBERNETES) == Ended(0, "", "")
    found = [line["trigger"] for line in lines(home) if line["event"] == "started"]
    assert found == ["kubernetes"] * 3
    assert sys.platform.startswith("linux")


# --- memory --------------------------------------------------------------------------------------

_FAT = """
    import os, subprocess, sys
    held = b"x" * (200 << 20)
    sys.exit(subprocess.call(sys.argv[1:]))
"""
_WAYS = {
    "from inside": ["env", f"PYTHONPATH={TEMPLATE}", PYTHON],
    "AUTOTASK_SUPERVISE": ["env", f"PYTHONPATH={TEMPLATE}", "AUTOTASK_SUPERVISE=1", PYTHON],
    "autotask-run": [str(LAUNCHER), PYTHON],
}


@pytest.mark.parametrize("words", _WAYS.values(), ids=_WAYS)
def test_a_run_does_not_count_the_memory_of_its_parent(
    words: list[str], tmp_path: Path, home: Path
) -> None:
    fat, job = write(tmp_path / "fat.py", _FAT), write(tmp_path / "job.py", "")
    assert run_program(PYTHON, fat, *words, job, under="bare").status == 0
    assert 4 << 20 < only_run(home)["max_rss"] < 100 << 20


def test_a_run_has_the_memory_that_it_used(tmp_path: Path, home: Path) -> None:
    source = """
        import click, time
        @click.command()
        @click.argument("size", type=int)
        def job(size):
            b"x" * (size << 20)
        for size in (1, 1, 200):
            time.sleep(0.002)
            job.main([str(size)], standalone_mode=False)
    """
    pytest.importorskip("click")
    run_program(write(tmp_path / "job.py", source), env={"AUTOTASK_PROCESS": "0"})
    small, again, large = (run["max_rss"] for run in runs(home))
    assert small <= again < 100 << 20
    assert large > 200 << 20
