"""The script behind SHELL: every job runs, whatever happened to autotask."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import like_cron
import pytest
from like_cron import JobEnd
from support import LAUNCHER, PRODUCTS, TEMPLATE, pythons, runs, write
from tool.cron.private_system import unpacked

from autotask.tool.cron import door
from autotask.tool.errors import ToolError

SH = "/bin/sh"
JOB = 'printf \'%s \' "$0" "$SHELL" a; cat; echo err >&2; exit 3'
UNRECORDED = b"autotask-run: the command runs unrecorded: "
PACKAGE = TEMPLATE.parent / "autotask"
# What executes the script itself: it is `#!/bin/sh`.
SHELLS = {
    "dash": shutil.which("dash"),
    "bash": shutil.which("bash"),
    "busybox": unpacked("busybox"),
}


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    return tmp_path / 'it\'s "etc" $x `y`' / "autotask"


@pytest.fixture
def users_home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    return place


def a_door(etc: Path, autotask_run: Path, shell: str = SH) -> Path:
    """Write a script that leads to any autotask-run."""
    path = write(Path(door.path_for(shell, str(etc))), door.text(shell, str(autotask_run)))
    path.chmod(0o755)
    return path


def is_recorded(users_home: Path) -> bool:
    """Tell whether a job since the last question is recorded, as it ended."""
    home = users_home / ".local" / "state" / "autotask"
    found = runs(home)
    shutil.rmtree(home, ignore_errors=True)
    assert [run["exit_code"] for run in found] in ([], [3])
    return bool(found)


def site(copied: Path) -> Path:
    return next(copied.glob("lib/*/site-packages"))


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def put(path: Path, text: str = "", mode: int = 0o644) -> None:
    """Put a file in the place of a file, a link or a folder."""
    remove(path)
    write(path, text).chmod(mode)


def to_folder(path: Path) -> None:
    remove(path)
    path.mkdir()


def dangle(path: Path) -> None:
    remove(path)
    path.symlink_to("/no/such/file")


def to_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


SILENT: dict[str, Callable[[Path], object]] = {
    "all is gone": shutil.rmtree,
    "autotask-run is missing": lambda copied: (copied / "bin/autotask-run").unlink(),
    "autotask-run is empty": lambda copied: put(copied / "bin/autotask-run", mode=0o755),
    "autotask-run is a folder": lambda copied: to_folder(copied / "bin/autotask-run"),
    "autotask-run is a link to nothing": lambda copied: dangle(copied / "bin/autotask-run"),
    "autotask-run is not executable": lambda copied: (copied / "bin/autotask-run").chmod(0o644),
    "autotask-run is all zeros": lambda copied: to_zeros(copied / "bin/autotask-run"),
    "autotask-run lacks its end": lambda copied: os.truncate(copied / "bin/autotask-run", 3000),
    "its folder is a file": put,
}
# autotask-run itself has to find out, and says so in a line.
TOLD: dict[str, Callable[[Path], object]] = {
    "Python is missing": lambda copied: remove(copied / "bin/python3"),
    "Python is a link to nothing": lambda copied: dangle(copied / "bin/python3"),
    "Python is not executable": lambda copied: put(copied / "bin/python3"),
    "Python does not start": lambda copied: put(copied / "bin/python3", "#!/no/such\n", 0o755),
    "the package is missing": lambda copied: remove(site(copied) / "autotask"),
    "the package is empty": lambda copied: to_folder(site(copied) / "autotask"),
    "the package is a file": lambda copied: put(site(copied) / "autotask"),
    "its modules are empty": lambda copied: all_modules(copied, put),
    "its modules are all zeros": lambda copied: all_modules(copied, to_zeros),
    "its modules are folders": lambda copied: all_modules(copied, to_folder),
    "its modules are links to nothing": lambda copied: all_modules(copied, dangle),
}


def modules(copied: Path) -> list[Path]:
    return sorted((site(copied) / "autotask").rglob("*.py"))


def all_modules(copied: Path, damage: Callable[[Path], object]) -> None:
    for module in modules(copied):
        damage(module)


def run_by(interpreter: str, script: Path, users_home: Path, **env: str) -> JobEnd:
    """Run the job through the script, which a certain shell executes."""
    job = subprocess.Popen(
        [*executed_by(interpreter), str(script), "-c", JOB],
        env=like_cron.environment(script, users_home, env),
        cwd=users_home,
        **like_cron.PIPES,
    )
    return like_cron.end_of(job, b"in\n")


def executed_by(interpreter: str) -> list[str]:
    return [interpreter, "sh"] if "busybox" in interpreter else [interpreter]


@pytest.fixture(params=SHELLS)
def interpreter(request: pytest.FixtureRequest) -> str:
    found = SHELLS[request.param]
    if found is None:
        pytest.skip(f"no {request.param} on this machine")
    return found


AS_BARE = JobEnd(3, b"/bin/sh /bin/sh a in\n", b"err\n")


def test_the_job_of_these_tests_is_that(users_home: Path) -> None:
    assert like_cron.run(SH, JOB, users_home, b"in\n") == AS_BARE


@pytest.mark.checkout
@pytest.mark.parametrize("damage", SILENT)
def test_without_a_whole_autotask_run_the_job_runs_in_silence(
    damage: str, interpreter: str, etc: Path, copied: Path, users_home: Path
) -> None:
    script = a_door(etc, copied / "bin" / "autotask-run")
    assert run_by(interpreter, script, users_home) == AS_BARE
    assert is_recorded(users_home)
    SILENT[damage](copied)
    assert run_by(interpreter, script, users_home) == AS_BARE
    assert not is_recorded(users_home)


def test_if_autotask_run_cannot_be_started_the_job_runs(
    interpreter: str, etc: Path, users_home: Path, tmp_path: Path
) -> None:
    launcher = write(tmp_path / "autotask-run", f"#!/no/such/interpreter\n{door.END}\n")
    launcher.chmod(0o755)
    ended = run_by(interpreter, a_door(etc, launcher), users_home)
    assert ended[:2] == AS_BARE[:2]
    assert ended.stderr.endswith(b"err\n")  # a shell says what it could not start


@pytest.mark.parametrize("interpreter", ["dash", "bash"], indirect=True)
def test_without_a_tail_a_folder_is_still_not_started(
    interpreter: str, etc: Path, users_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "cat").symlink_to("/bin/cat")
    script = a_door(etc, tmp_path)
    assert run_by(interpreter, script, users_home, PATH=str(tmp_path / "path")) == AS_BARE


@pytest.mark.checkout
@pytest.mark.swallows
@pytest.mark.parametrize("damage", TOLD)
def test_without_the_rest_of_autotask_the_job_runs(
    damage: str, interpreter: str, etc: Path, copied: Path, users_home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "path"  # without Python
    path.mkdir()
    for name in ("cat", "tail"):
        (path / name).symlink_to(f"/usr/bin/{name}")
    script = a_door(etc, copied / "bin" / "autotask-run")
    TOLD[damage](copied)
    ended = run_by(interpreter, script, users_home, PATH=str(path))
    assert ended[:2] == AS_BARE[:2]
    *notices, last = ended.stderr.splitlines(keepends=True)
    assert (last, notices[-1][: len(UNRECORDED)]) == (b"err\n", UNRECORDED)
    assert len(notices) == 1 + (damage == "Python does not start")  # a shell says so, too
    assert not is_recorded(users_home)


@pytest.mark.checkout
@pytest.mark.swallows
@pytest.mark.parametrize("how", ["missing", "empty", "cut short", "of another version"])
@pytest.mark.parametrize("half", range(4))
def test_with_half_of_the_modules_broken_the_job_runs_once(
    half: int, how: str, etc: Path, copied: Path, users_home: Path
) -> None:
    script = a_door(etc, copied / "bin" / "autotask-run")
    for number, module in enumerate(modules(copied)):
        if number >> half & 1 or (half == 3 and number % 3):
            source = module.read_text()
            if how == "missing":
                module.unlink()
            elif how == "of another version":
                module.write_text(source.replace("def ", "def old_"))
            else:
                module.write_text(source[: len(source) // 2] if how == "cut short" else "")
    ended = like_cron.run(script, JOB, users_home, b"in\n")
    assert ended[:2] == AS_BARE[:2]
    *notices, last = ended.stderr.splitlines(keepends=True)
    assert last == b"err\n"
    assert [notice[: len(UNRECORDED)] for notice in notices] in ([], [UNRECORDED])


@pytest.mark.checkout
@pytest.mark.parametrize("version", ["3.6", "3.8"])
def test_with_a_python_that_is_too_old_the_job_runs(
    version: str, etc: Path, copied: Path, users_home: Path
) -> None:
    (copied / "bin" / "python3").unlink()
    (copied / "bin" / "python3").symlink_to(pythons(version))
    script = a_door(etc, copied / "bin" / "autotask-run")
    ended = like_cron.run(script, JOB, users_home, b"in\n")
    assert ended[:2] == AS_BARE[:2]
    assert ended.stderr.startswith(UNRECORDED)


@pytest.mark.checkout
def test_wherever_autotask_run_is_cut_off_the_job_runs(
    etc: Path, copied: Path, users_home: Path
) -> None:
    launcher = copied / "bin" / "autotask-run"
    content = launcher.read_bytes()
    size, steps = len(content), 1 if PRODUCTS == "all" else 61
    borders = {index + 1 for index in range(size) if content[index : index + 1] == b"\n"}
    sizes = borders.union(range(0, size, steps), range(size - len(door.END) - 2, size))
    script = a_door(etc, launcher)
    for left in sorted(sizes - {size - 1, size}, reverse=True):
        os.truncate(launcher, left)
        assert like_cron.run(script, JOB, users_home, b"in\n") == AS_BARE, left
    assert not is_recorded(users_home)


def test_the_end_of_autotask_run_is_what_the_scripts_look_for() -> None:
    assert LAUNCHER.read_text().splitlines()[-1] == door.END == "# end of autotask-run"


def test_without_a_tail_on_the_path_the_job_is_recorded(
    etc: Path, interpreter: str, users_home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "path"
    path.mkdir()
    (path / "cat").symlink_to("/bin/cat")
    script = a_door(etc, LAUNCHER)
    assert run_by(interpreter, script, users_home, PATH=str(path)) == AS_BARE
    if "busybox" not in interpreter:  # which may have a tail of its own
        assert is_recorded(users_home)
    write(path / "tail", "#!/no/such/interpreter\n").chmod(0o755)
    assert run_by(interpreter, script, users_home, PATH=str(path)) == AS_BARE


@pytest.mark.checkout
def test_an_autotask_run_that_another_user_may_not_read_is_passed_by(
    copied: Path, users_home: Path
) -> None:
    if os.geteuid():
        pytest.skip("needs root, to become another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for place, mode in ((Path(folder), 0o755), (copied, 0o755)):
            place.chmod(mode)
        shutil.move(copied, folder)
        script = a_door(Path(folder) / "autotask", Path(folder) / "copied/bin/autotask-run")
        home = Path(folder) / "home"
        home.mkdir()
        os.chown(home, 65534, 65534)
        (Path(folder) / "path").mkdir()
        (Path(folder) / "path" / "cat").symlink_to("/bin/cat")
        for path, mode, commands in (
            ("copied/bin/autotask-run", 0o711, like_cron.CRONS_PATH),
            ("copied/bin/autotask-run", 0o711, f"{folder}/path"),  # where no tail is
            ("copied/bin/autotask-run", 0o744, like_cron.CRONS_PATH),
            ("copied/bin", 0o700, like_cron.CRONS_PATH),
            ("copied", 0o000, like_cron.CRONS_PATH),
        ):
            (Path(folder) / path).chmod(mode)
            more = {"AUTOTASK_DEBUG": "", "PATH": commands}
            job = subprocess.Popen(
                [str(script), "-c", JOB],
                env=like_cron.environment(script, home, more),
                cwd=home,
                **like_cron.PIPES,
                user=65534,
                group=65534,
                extra_groups=[],
            )
            assert like_cron.end_of(job, b"in\n") == AS_BARE
            assert not is_recorded(home)
            (Path(folder) / path).chmod(0o755)


WITHOUT_FORKS = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
os.setgroups([]); os.setgid(61234); os.setuid(61234)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_job_runs_if_no_process_can_be_forked(interpreter: str, users_home: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root, to become a user without other processes")
    if interpreter == SHELLS["bash"]:
        pytest.skip("a bash tries for 15 s")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        script = a_door(Path(folder), LAUNCHER)
        words = [*executed_by(interpreter), str(script), "-c", 'echo "$0"; exit 3']
        job = subprocess.Popen(
            [sys.executable, "-c", WITHOUT_FORKS, *words],
            env=like_cron.environment(script, users_home, {"AUTOTASK_DEBUG": ""}),
            **like_cron.PIPES,
        )
        assert like_cron.end_of(job)[:2] == (3, b"/bin/sh\n")


ODD_WAYS = [
    [],
    ["-c"],
    ["-c", ""],
    ["-c", 'echo "$0" $#', "name", "one", "two"],
    ["-e", "-c", "false; echo on"],
    ["-ec", "false; echo on"],
    ["-"],
    ["--"],
    ["-x"],
    ["{folder}/a script", "one", "two three"],
    ["/no/such/script"],
]


@pytest.mark.parametrize("words", ODD_WAYS, ids=" ".join)
def test_called_in_another_way_it_is_the_real_shell(
    words: list[str], interpreter: str, etc: Path, users_home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "a script", 'echo "$SHELL $0" "$@"; exit 4')
    words = [word.replace("{folder}", str(tmp_path)) for word in words]
    script = a_door(etc, LAUNCHER)
    ends = []
    for start in ([SH], [*executed_by(interpreter), str(script)]):
        done = subprocess.run(
            [*start, *words],
            env=like_cron.environment(SH, users_home, {}),
            input=b'echo "$0" $#; exit 5\n',
            capture_output=True,
            check=False,
        )
        ends.append((done.returncode, done.stdout, done.stderr))
    assert ends[0] == ends[1]
    assert not is_recorded(users_home)


def test_a_real_shell_that_is_missing_is_told(
    interpreter: str, etc: Path, users_home: Path
) -> None:
    for launcher in (LAUNCHER, Path("/no/autotask-run")):
        script = a_door(etc, launcher, "/usr/no-shell")
        ended = run_by(interpreter, script, users_home)
        assert (ended.status, ended.stdout) == (127, b"")
        assert (ended.stderr.count(b"/usr/no-shell: "), ended.stderr.count(b"\n")) == (1, 1)


def test_the_real_shell_is_given_back(etc: Path, users_home: Path) -> None:
    script = a_door(etc, Path("/no/autotask-run"), "/bin/sh")
    line = "exec env -0"
    bare = like_cron.run(SH, line, users_home)
    assert set(like_cron.run(script, line, users_home).stdout.split(b"\0")) == set(
        bare.stdout.split(b"\0")
    )


# --- writing it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "name"),
    [
        ("/bin/sh", "shell"),
        ("/bin/bash", "shell.bin.bash"),
        ("/usr/bin/zsh", "shell.usr.bin.zsh"),
        ("/opt/zsh-5.9/zsh", "shell.opt.zsh-5%2E9.zsh"),
        ("/opt/zsh-5/9/zsh", "shell.opt.zsh-5.9.zsh"),
        ("/home/ann/a shell", "shell.home.ann.a%20shell"),
    ],
)
def test_each_shell_has_a_script(shell: str, name: str, tmp_path: Path) -> None:
    assert door.path_for(shell, "/etc/autotask") == f"/etc/autotask/{name}"
    assert door.shell_of(f"/etc/autotask/{name}") == shell
    path = door.write(str(tmp_path), shell)
    assert path == str(tmp_path / name)
    assert Path(path).read_text() == door.text(shell, door.launcher())


@pytest.fixture
def tight_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("tight_umask")
def test_everybody_may_execute_it(etc: Path) -> None:
    path = Path(door.write(str(etc), SH))
    assert (path.stat().st_mode & 0o7777, etc.stat().st_mode & 0o7777) == (0o755, 0o755)
    assert [entry.name for entry in etc.iterdir()] == ["shell"]


def test_writing_it_again_replaces_it(etc: Path) -> None:
    path = Path(door.write(str(etc), SH))
    text = path.read_text()
    path.write_text("echo old")
    assert door.write(str(etc), SH) == str(path)
    assert path.read_text() == text
    assert door.problem(str(path)) is None


def test_a_failure_leaves_nothing_behind(etc: Path) -> None:
    (etc / "shell").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        door.write(str(etc), SH)
    assert [entry.name for entry in etc.iterdir()] == ["shell"]


def test_it_leads_to_the_autotask_run_of_this_installation() -> None:
    assert os.path.samefile(door.launcher(), LAUNCHER)


def test_a_user_has_a_folder_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for base in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", base)
        assert door.users_folder() == str(tmp_path / ".config" / "autotask")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/srv/config")
    assert door.users_folder() == "/srv/config/autotask"


PROBLEMS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "is missing": (lambda script, _: remove(script), "cannot be read (No such file or directory)"),
    "is a folder": (lambda script, _: to_folder(script), "is not a file that everybody may"),
    "is not executable": (
        lambda script, _: script.chmod(0o644),
        "is not a file that everybody may",
    ),
    "is for one user": (lambda script, _: script.chmod(0o700), "is not a file that everybody may"),
    "is empty": (lambda script, _: put(script, mode=0o755), "was not written by this version"),
    "is cut short": (lambda script, _: os.truncate(script, 900), "was not written by this version"),
    "is another script": (
        lambda script, _: script.write_text("#!/bin/sh\n"),
        "was not written by this version",
    ),
    "leads nowhere": (lambda _, launcher: remove(launcher), "which is missing or damaged"),
    "leads to a part": (lambda _, launcher: os.truncate(launcher, 900), "missing or damaged"),
    "leads to no program": (lambda _, launcher: launcher.chmod(0o644), "missing or damaged"),
}


@pytest.mark.checkout
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problem_is_named(problem: str, etc: Path, copied: Path) -> None:
    launcher = copied / "bin" / "autotask-run"
    script = a_door(etc, launcher)
    assert door.problem(str(script)) is None
    damage, said = PROBLEMS[problem]
    damage(script, launcher)
    assert said in str(door.problem(str(script)))


def test_a_real_shell_that_is_missing_is_a_problem(etc: Path) -> None:
    said = str(door.problem(str(a_door(etc, LAUNCHER, "/no/shell"))))
    assert said == "leads to /no/shell, which cannot be executed: no job runs"


@pytest.mark.checkout
def test_an_autotask_run_of_another_user_is_a_problem(etc: Path, copied: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root, to give files away")
    launcher = copied / "bin" / "autotask-run"
    script = a_door(etc, launcher)
    os.chown(launcher, 65534, 65534)
    assert "whose owner is another user" in str(door.problem(str(script)))
    os.chown(script, 65534, 65534)
    assert door.problem(str(script)) is None
    os.chown(launcher, 0, 0)
    assert door.problem(str(script)) is None


@pytest.mark.checkout
def test_without_an_autotask_run_none_is_written(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "END", "# not the end")
    with pytest.raises(ToolError):
        door.write(str(etc), SH)
    assert not etc.exists()


def test_a_signal_ends_the_job(etc: Path, users_home: Path) -> None:
    with like_cron.start(a_door(etc, LAUNCHER), "echo; exec sleep 60", users_home) as job:
        assert job.stdout is not None
        job.stdout.readline()
        job.terminate()
        assert like_cron.end_of(job).status == -signal.SIGTERM
