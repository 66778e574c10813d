"""Which process this is and what started it, as the Python half would say of the same process."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruby.half import LOADER, RUBY, Half, without_ruby
from support import PATIENCE, PYTHON, UNKNOWN, write

from autotask import boot_id, procfs

pytestmark = [
    without_ruby,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc"),
]

PROGRAM = """
%w[procfs boot_id].each { |name| AutotaskAgent.load(name) }
def ask(function, *arguments)
  AutotaskAgent::Procfs.public_send(function, *arguments)
end

def guess
  AutotaskAgent::BootId.guess
end
"""


@pytest.fixture(scope="module")
def ruby() -> Iterator[Half]:
    process = Half(PROGRAM)
    yield process
    process.close()


# --- identity ------------------------------------------------------------------------------------


def test_an_identity_is_what_the_python_half_reads_of_the_same_process(ruby: Half) -> None:
    assert ruby("ask", "identity") == procfs.identity(ruby.pid)
    assert ruby("ask", "identity", os.getpid()) == procfs.identity()
    assert ruby("ask", "identity", 2**22 + 1) == procfs.identity(2**22 + 1)


@pytest.mark.parametrize("name", ["sleep", "a) S 1 (b", "caf\u00e9", "a b\nc", "(", ")"])
def test_a_process_is_read_whatever_its_name(ruby: Half, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.symlink_to(shutil.which("sleep") or "/bin/sleep")
    with subprocess.Popen([program, "1000"]) as child:
        try:
            fields = procfs.stat_fields(child.pid)
            assert fields
            told = ruby("ask", "stat_fields", child.pid)
            assert [told[at] for at in (1, 19)] == [fields[at] for at in (1, 19)]
            assert ruby("ask", "start_time", child.pid) == procfs.start_time(child.pid)
        finally:
            child.kill()


def test_a_zombie_has_no_start_time(ruby: Half) -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert ruby("ask", "start_time", child.pid) is None
    assert ruby("ask", "stat_fields", child.pid)[0] == "Z"
    child.wait()
    assert ruby("ask", "start_time", child.pid) is None
    assert ruby("ask", "stat_fields", child.pid) is None


def test_the_largest_memory_is_the_kernels(ruby: Half) -> None:
    largest = ruby("ask", "largest_memory")
    status = Path(f"/proc/{ruby.pid}/status").read_text()
    assert 1 << 20 < largest <= int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize(
    ("hidden", "start"),
    [
        (["/proc/sys/kernel/random"], "?"),
        (["/proc/sys"], "?"),
        (["/proc/sys", "/proc/1"], "?/"),
        (["/proc"], "?/?/?"),
    ],
    ids=" ".join,
)
def test_what_the_system_hides_is_guessed_or_unknown_as_in_python(
    tmp_path: Path, hidden: list[str], start: str
) -> None:
    if os.getuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root, and unshare")
    mounts = " && ".join(f"mount -t tmpfs none {place}" for place in hidden)
    python = f"{PYTHON} -c 'from autotask import procfs; print(procfs.identity({os.getpid()}))'"
    program = write(
        tmp_path / "identity.rb",
        f"{LOADER}AutotaskAgent.load('procfs')\nputs AutotaskAgent::Procfs.identity({os.getpid()})",
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"({mounts}) || exit 77; {python}; {RUBY} {program}"],
        cwd=Path(procfs.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode == 77 or (not done.stdout and done.returncode == 1):
        pytest.skip(f"may not mount: {done.stderr}")
    of_python, of_ruby = done.stdout.splitlines()
    assert of_ruby == of_python
    assert of_ruby.startswith(start)


def test_a_guess_is_the_python_halfs(ruby: Half) -> None:
    assert ruby("guess") == boot_id.guess()


# --- what started it -----------------------------------------------------------------------------

FIND = f"""{LOADER}
%w[procfs trigger].each {{ |name| AutotaskAgent.load(name) }}
puts AutotaskAgent::Trigger.find
"""
ENVIRONMENTS: list[tuple[dict[str, str], str]] = [
    ({}, UNKNOWN),
    *(({name: "1"}, "ci") for name in ("CI", "BUILD_ID", "TF_BUILD")),
    *(({name: "1"}, "ci") for name in ("TEAMCITY_VERSION", "JENKINS_URL")),
    *(({"CI": value}, UNKNOWN) for value in ("0", "", "false", "FALSE")),
    *(({"CI": value}, "ci") for value in ("no", "True", "caf\udce9")),
    ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
    ({"KUBERNETES_SERVICE_HOST": ""}, UNKNOWN),
    ({"INVOCATION_ID": "1"}, "systemd"),
    ({"INVOCATION_ID": ""}, UNKNOWN),
    ({"CI": "1", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "ci"),
    *(({name: ""}, "container") for name in ("container", "NOMAD_ALLOC_ID")),
    ({"ECS_CONTAINER_METADATA_URI_V4": "http://x"}, "container"),
    ({"ECS_CONTAINER_METADATA_URI": "http://x"}, "container"),
    ({"INVOCATION_ID": "1", "container": "lxc"}, "systemd"),
]


@pytest.fixture(scope="module")
def find(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A command that prints what the Python half says, and then what the Ruby half says."""
    program = write(tmp_path_factory.mktemp("trigger") / "find.rb", FIND)
    folder = Path(procfs.__file__).parents[1]
    python = f"{PYTHON} -c 'from autotask import trigger; print(trigger.find_trigger())'"
    return f"cd {folder}; {python}; {RUBY} {program}"


def both(done: bytes) -> str:
    """Return what both halves say."""
    of_python, of_ruby = done.decode().split()
    assert of_ruby == of_python
    return of_ruby


@pytest.mark.parametrize(("environ", "word"), ENVIRONMENTS, ids=ascii)
def test_the_environment_tells_what_started_a_process(
    find: str, environ: dict[str, str], word: str
) -> None:
    assert both(run(["sh", "-c", find], environ)) == word


def run(words: list[str], environ: dict[str, str], **files: int) -> bytes:
    return subprocess.run(
        words,
        env={**os.environ, **environ},
        stdin=files.get("stdin", subprocess.DEVNULL),
        stderr=files.get("stderr", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
    ).stdout


@pytest.mark.parametrize(
    "environ", [{}, {"CI": "1"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}], ids=ascii
)
@pytest.mark.parametrize("file", ["stdin", "stderr"])
def test_a_terminal_is_told_by_any_of_the_three_files(
    find: str, file: str, environ: dict[str, str]
) -> None:
    ours, theirs = pty.openpty()
    try:
        told = both(run(["sh", "-c", find], environ, **{file: theirs}))
    finally:
        os.close(ours)
        os.close(theirs)
    assert told == ("ci" if environ.get("CI") else "terminal")


def test_a_stream_that_the_program_has_closed_is_no_terminal() -> None:
    ours, theirs = pty.openpty()
    load = "%w[procfs trigger].each { |name| AutotaskAgent.load(name) }"
    program = f"{LOADER}{load}\nSTDIN.close\nputs AutotaskAgent::Trigger.find"
    told = run([RUBY, "-e", program], {"container": "lxc"}, stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert told == b"container\n"


@pytest.mark.parametrize("cron", ["cron", "crond", "CRON", "anacron", "supercronic", "cronus"])
def test_cron_is_an_ancestor(find: str, tmp_path: Path, cron: str) -> None:
    program = tmp_path / cron
    program.symlink_to(shutil.which("sh") or "/bin/sh")
    told = both(run([str(program), "-c", f'sh -c "{find}"; true'], {}))
    assert told == (UNKNOWN if cron == "cronus" else "cron")
