"""autotask-run: its command line, and that the command gets everything as without it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import (
    LAUNCHER,
    PYTHON,
    RUBY,
    TEMPLATE,
    UNKNOWN,
    Datagrams,
    Ended,
    environment,
    only_run,
    pythons,
    run_program,
    runs,
    write,
)

import autotask

pytestmark = pytest.mark.installed

ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"
OURS = {"PYTHONPATH", "RUBYLIB", "AUTOTASK_PARENT", "AUTOTASK_PROCESS_RUN"}


@pytest.mark.parametrize("status", [0, 1, 3, 125, 126, 127, 128, 137, 255])
def test_it_ends_with_the_commands_status(status: int, home: Path) -> None:
    done = run_program("sh", "-c", f"exit {status}", under="launcher")
    assert (done.status, done.stdout, done.stderr) == (status, "", "")
    run = only_run(home)
    assert (run["task"], run["framework"]) == ("sh", "process")
    assert run["status"] == ("failure" if status else "success")
    assert run.get("reason") == ("exit" if status else None)
    assert run.get("exit_code") == (status or None)
    assert run["duration"] >= 0
    assert run["cpu"] > 0
    assert run["max_rss"] > 100_000


NAMES = [
    (["{python}", "nightly.py", "--name", "x"], "nightly.py"),
    (["{python}", "-u", "-W", "ignore", "-Xdev", "./nightly.py"], "nightly.py"),
    (["{python}", "-um", "pkg.jobs"], "pkg.jobs"),
    (["{python}", "-mpkg.jobs", "secret"], "pkg.jobs"),
    (["{python}", "-c", "pass", "nightly.py"], Path(PYTHON).name),
    (["sh", "./backup.sh"], "backup.sh"),
    (["sh", "-c", "exit 0", "backup.sh"], "sh"),
    (["./backup.sh", "secret"], "backup.sh"),
    (["./python_backup.sh", "secret"], "python_backup.sh"),
    (["env", "-u", "X", "KEY=secret", "nice", "-n", "5", "./backup.sh"], "backup.sh"),
    (["sh", "-c", "cd . && KEY=secret ./backup.sh secret > /dev/null"], "backup.sh"),
    (["{python}", "-m", "cProfile", "-o", "secret", "nightly.py"], "nightly.py"),
    (["{python}", "manage.py", "tidy", "secret"], "manage.py tidy"),
    (["{python}", "-m", "trace", "-t", "--module", "pkg.jobs", "secret"], "pkg.jobs"),
]


@pytest.mark.parametrize(("command", "name"), NAMES, ids=[name for _, name in NAMES])
def test_a_run_is_named_by_its_script_module_or_command(
    command: list[str], name: str, tmp_path: Path, home: Path
) -> None:
    for file in ("nightly.py", "manage.py", "pkg/__init__.py", "pkg/jobs.py"):
        write(tmp_path / file, "")
    for file in ("backup.sh", "python_backup.sh"):
        write(tmp_path / file, "#!/bin/sh\n").chmod(0o755)
    words = [word.replace("{python}", PYTHON) for word in command]
    assert run_program(*words, under="launcher", cwd=tmp_path).status == 0
    assert only_run(home)["task"] == name
    assert "secret" not in "".join(path.read_text() for path in home.glob("journal/*"))


# A whole line in one word: the name of its run, and the message about it.
ONE_WORD = [
    (["mysqldump --password=hunter2 db"], "mysqldump", "; write it without the quotes, or sh -c"),
    (["echo hunter2 && exit 3"], "echo", "; write it without the quotes, or sh -c '...'"),
    (["./backup --key hunter2"], "backup", "; write it without the quotes, or sh -c '...'"),
    ([f"./backup {'hunter2 ' * 60}"], "backup", "; write it without the quotes, or sh -c '...'"),
    (["PGPASSWORD=hunter2", "pg_dump", "db"], "pg_dump", "; write `env` in front of it"),
]


@pytest.mark.parametrize(("command", "name", "advice"), ONE_WORD)
def test_a_command_line_in_one_word_is_printed_but_not_recorded(
    command: list[str],
    name: str,
    advice: str,
    tmp_path: Path,
    home: Path,
    datagrams: Datagrams,
) -> None:
    log = tmp_path / "debug"
    ended = run_program(*command, under="launcher", cwd=tmp_path, env={"AUTOTASK_DEBUG": str(log)})
    assert (ended.status, ended.stdout) == (127, "")
    assert ended.stderr.startswith(f'autotask-run: "{command[0]}": no such command{advice}')
    run = only_run(home)
    assert (run["task"], run["reason"], run["exit_code"]) == (name, "exit", 127)
    assert run["error"]["message"] == "no such command"
    sent = datagrams.lines("", wait=5)
    kept = [path.read_text() for path in (log, *home.glob("journal/*")) if path.exists()]
    assert "hunter2" not in "".join([*sent, *kept])
    assert any(line.startswith("_e") for line in sent)


@pytest.mark.parametrize(
    ("options", "variable", "name"),
    [
        (("--name", "backup"), None, "backup"),
        (("--name=backup",), "other", "backup"),
        ((), "other", "other"),
        (("--",), None, "true"),
    ],
)
def test_a_given_name_wins(
    options: tuple[str, ...], variable: str | None, name: str, home: Path
) -> None:
    run_program("true", under="launcher", options=options, env={"AUTOTASK_NAME": variable})
    assert only_run(home)["task"] == name


def test_tags_are_on_its_run_and_on_all_runs_inside(home: Path, datagrams: Datagrams) -> None:
    done = run_program(
        *("-c", "import os; print(os.environ['AUTOTASK_TAGS'])"),
        under="launcher",
        options=("--tag", "team:data", "--tag=region:eu:1"),
        env={"AUTOTASK_TAGS": "team:x,shop:1"},
    )
    assert done.stdout == "team:x,shop:1,team:data,region:eu:1\n"
    assert only_run(home)["tags"] == {"team": "data", "shop": "1", "region": "eu:1"}
    lines = datagrams.lines("autotask.", wait=5)
    assert lines
    assert all("team:data,shop:1,region:eu:1" in line for line in lines)


MISTAKES = [
    ((), "no command given"),
    (("--", ""), "no command given"),
    (("--nmae", "x", "true"), "no such option: --nmae"),
    (("--nmae=secret", "true"), "no such option: --nmae"),
    (("-x", "true"), "no such option: -x"),
    (("--exec=1", "true"), "no such option: --exec"),
    (("--name",), "--name needs a value"),
    (("--name=", "true"), "--name needs a value"),
    (("--tag", "team", "true"), "--tag team: a tag is key:value, without a comma"),
    (("--tag", "a:1,b:2", "true"), "--tag a:1,b:2: a tag is key:value, without a comma"),
    (("--tag", "a\nb", "true"), "--tag a\\nb: a tag is key:value, without a comma"),
    (("--shell",), "--shell needs a value"),
    (("--shell", ""), "--shell needs a value"),
    (("--shell=",), "--shell needs a value"),
    (("--shell", "rsync", "-a", "secret"), "--shell takes one text: put it in quotes"),
    (("--shell=true", "--exec"), "--shell takes one text: put it in quotes"),
]


@pytest.mark.parametrize(
    ("words", "said"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES]
)
def test_a_usage_error_is_one_line_and_status_125(
    words: tuple[str, ...], said: str, home: Path
) -> None:
    done = run_program(LAUNCHER, *words, under="bare")
    assert done.stderr == f"autotask-run: {said} (see `autotask-run --help`)\n"
    assert (done.status, done.stdout) == (125, "")
    assert not home.exists()


def test_help_shows_the_usage_and_examples() -> None:
    done = run_program(LAUNCHER, "--help", under="bare")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: autotask-run [OPTION]... COMMAND")
    assert "examples:\n  autotask-run inv db.migrate\n" in done.stdout


def test_version_is_printed() -> None:
    done = run_program(LAUNCHER, "--version", under="bare")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout == f"autotask-run {autotask.__version__}\n"


def test_help_says_what_is_not_recorded_without_a_parent() -> None:
    said = " ".join(run_program(LAUNCHER, "--help", under="bare").stdout.split())
    assert "Only Python programs are recorded then" in said


FAILED_STARTS = [
    ("no-such-command", 127, "no-such-command: command not found"),
    ("./no-such-file", 127, "./no-such-file: No such file or directory"),
    ("./plain", 126, "./plain: Permission denied"),
    ("plain", 126, "plain: Permission denied"),
    ("./folder", 126, "./folder: Is a directory"),
    ("./orphan", 126, "./orphan: its interpreter is missing"),
    ("./foreign", 126, "./foreign: Exec format error"),
]


@pytest.mark.parametrize("options", [(), ("--exec",)], ids=["beside", "exec"])
@pytest.mark.parametrize(
    ("command", "status", "said"), FAILED_STARTS, ids=[row[0] for row in FAILED_STARTS]
)
def test_a_command_that_cannot_start_is_one_line_and_a_failed_run(
    command: str, status: int, said: str, options: tuple[str, ...], tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "plain", "#!/bin/sh\n")
    (tmp_path / "folder").mkdir()
    write(tmp_path / "orphan", "#!/no/such/interpreter\n").chmod(0o755)
    (tmp_path / "foreign").write_bytes(b"\x7fELX\0\0\0\0")
    (tmp_path / "foreign").chmod(0o755)
    done = run_program(
        command,
        under="launcher",
        options=options,
        cwd=tmp_path,
        env={"PATH": f"{os.environ['PATH']}:{tmp_path}"},
    )
    assert (done.status, done.stdout, done.stderr) == (status, "", f"autotask-run: {said}\n")
    if not options:
        run = only_run(home)
        assert (run["status"], run["reason"], run["exit_code"]) == ("failure", "exit", status)
        assert run["error"]["message"] == said


def test_a_script_without_an_interpreter_line_runs_as_in_a_shell(tmp_path: Path) -> None:
    write(tmp_path / "script", "echo $0 $1\nexit 4\n").chmod(0o755)
    done = run_program("./script", "one", under="launcher", cwd=tmp_path)
    assert (done.status, done.stdout) == (4, "./script one\n")


def test_the_command_is_found_on_the_path_as_it_is_now(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder / "job", f"#!/bin/sh\necho {folder}\n").chmod(0o755)
    path = f"{tmp_path}/none:{tmp_path}/b:{tmp_path}/a:{os.environ['PATH']}"
    assert run_program("job", under="launcher", env={"PATH": path}).stdout == "b\n"
    done = run_program("job", under="launcher", cwd=tmp_path / "a", env={"PATH": f":{path}"})
    assert done.stdout == "a\n"


PATHS = [
    (None, "{ours}"),
    ("", "{ours}"),
    ("/x", "{ours}:/x"),
    ("/x:", "{ours}:/x:"),
    (":/x", "{ours}::/x"),
    ("{ours}:/x", "{ours}:/x"),
    ("/x:{ours}:/y", "{ours}:/x:/y"),  # `bundle exec` puts its own in front
]


FOLDERS = {"PYTHONPATH": TEMPLATE, "RUBYLIB": RUBY}


@pytest.mark.parametrize("options", [(), ("--exec",)], ids=["beside", "exec"])
@pytest.mark.parametrize(("before", "after"), PATHS, ids=[str(before) for before, _ in PATHS])
@pytest.mark.parametrize("variable", FOLDERS)
def test_only_the_agents_folder_is_prepended_to_a_path(
    variable: str, before: str | None, after: str, options: tuple[str, ...]
) -> None:
    ours = str(FOLDERS[variable])
    done = run_program(
        *("sh", "-c", f'echo "${variable}"'),
        under="launcher",
        options=options,
        env={variable: before and before.replace("{ours}", ours)},
    )
    assert done.stdout == after.replace("{ours}", ours) + "\n"


def test_a_launcher_below_another_one_prepends_nothing_more() -> None:
    words = (LAUNCHER, "sh", "-c", 'echo "$PYTHONPATH|$RUBYLIB"')
    assert run_program(*words, under="launcher").stdout == f"{TEMPLATE}|{RUBY}\n"


@pytest.mark.parametrize("before", [None, "", "/x:"], ids=str)
def test_nothing_is_prepended_if_autotask_is_off(before: str | None) -> None:
    script = 'echo "${PYTHONPATH-unset}|${RUBYLIB-unset}"'
    env = {"AUTOTASK_ENABLED": "0", **dict.fromkeys(FOLDERS, before)}
    shown = "unset" if before is None else before
    done = run_program("sh", "-c", script, under="launcher", env=env)
    assert done.stdout == f"{shown}|{shown}\n"


LOCALES: list[dict[str, str | None]] = [
    {"LC_CTYPE": None, "LC_ALL": None, "LANG": None},
    {"LC_CTYPE": "C", "LC_ALL": None, "LANG": None},
    {"LC_CTYPE": None, "LC_ALL": None, "LANG": "POSIX"},
    {"LC_CTYPE": "C.UTF-8", "LC_ALL": None, "LANG": "C"},
]


@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_the_environment_is_otherwise_unchanged(locale: dict[str, str | None]) -> None:
    # Awk, unlike Python and a shell, changes nothing in it.
    words = ("awk", 'BEGIN { for (name in ENVIRON) print name "=" ENVIRON[name] }')
    more = {**locale, "ODD": "a b\xe9\udcff", "AUTOTASK_NAME": None}
    bare, ours = (
        dict(line.split("=", 1) for line in done.stdout.splitlines())
        for done in (run_program(*words, under=under, env=more) for under in ("bare", "launcher"))
    )
    assert ours.keys() >= OURS
    for name in ("PWD", "_"):  # a shell's own
        ours.pop(name, None)
        bare.pop(name, None)
    assert {name: ours[name] for name in ours if name not in OURS} == bare


def test_arguments_pass_byte_by_byte() -> None:
    words = [b"a b", b"", b"\xff\xfe", "é".encode(), b"*", b"--name"]
    script = 'for word in "$@"; do printf "%s|" "$word"; done'
    command: list[str | bytes] = [str(LAUNCHER), "sh", "-c", script, "sh", *words]
    done = subprocess.run(command, capture_output=True, check=True, env={**environment()})
    assert done.stdout == b"".join(word + b"|" for word in words)


def test_the_name_is_not_handed_on_to_what_the_command_starts(home: Path) -> None:
    script = f"'{LAUNCHER}' true; echo ${{AUTOTASK_NAME-unset}}"
    done = run_program("sh", "-c", script, under="launcher", options=("--name", "outer"))
    assert done.stdout == "unset\n"
    outer, inner = runs(home)
    assert (outer["task"], inner["task"]) == ("outer", "true")
    assert (inner["parent"], inner["root"]) == (outer["run"], outer["run"])
    assert inner["trigger"] == outer["trigger"]


@pytest.mark.parametrize("value", ["0", "false"])
def test_when_disabled_it_only_execs_the_command(
    value: str, home: Path, datagrams: Datagrams
) -> None:
    done = run_program("-c", ENVIRONMENT, under="launcher", env={"AUTOTASK_ENABLED": value})
    assert done.status == 0
    assert not OURS & json.loads(done.stdout).keys()
    assert not home.exists()
    assert datagrams.received() == []


@pytest.mark.parametrize(
    "variables", [{"AUTOTASK_IGNORE": "sle*,tr?e"}, {"AUTOTASK_FRAMEWORKS": "-process"}], ids=str
)
def test_an_unwanted_process_run_is_not_recorded(variables: dict[str, str], home: Path) -> None:
    assert run_program("true", under="launcher", env=variables).status == 0
    assert not home.exists()


def test_exec_replaces_itself_and_leaves_the_run_to_the_agent(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "job.py", "import os; print(os.getpid())")
    with subprocess.Popen(
        [str(LAUNCHER), "--exec", "--name", "job", PYTHON, str(script)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as launcher:
        out, _ = launcher.communicate()
    assert int(out) == launcher.pid
    run = only_run(home)
    assert (run["task"], run["status"], run["pid"]) == ("job", "success", launcher.pid)


@pytest.mark.parametrize("options", [(), ("--exec",)], ids=["beside", "exec"])
def test_the_command_inherits_no_setting_of_its_own_run(options: tuple[str, ...]) -> None:
    of_the_run = {f"AUTOTASK_{name}": "0" for name in ("QUIET", "NO_OVERLAP", "KEEP_OUTPUT")}
    of_the_run["AUTOTASK_TIMEOUT"] = "1h"
    of_all = {} if not options else {"AUTOTASK_ON_FAILURE": "exit"}  # nobody else tells then
    env = {**of_the_run, **of_all}
    done = run_program("env", under="launcher", options=options, env=env)
    inside = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert {name: inside[name] for name in env if name in inside} == of_all


def test_without_exec_the_command_is_a_child(home: Path) -> None:
    done = run_program("sh", "-c", "echo $$ $PPID; ps -o pgid= -p $$,$PPID", under="launcher")
    pid, parent, *groups = done.stdout.split()
    assert only_run(home)["pid"] == int(pid) != int(parent)
    assert groups[0] == groups[1]


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_closed_streams_stay_closed(closed: tuple[int, ...], tmp_path: Path, home: Path) -> None:
    seen = tmp_path / "seen"
    probe = write(
        tmp_path / "probe.py",
        f"""
        import os
        open_ones = []
        for number in range(64):
            try:
                os.fstat(number)
            except OSError:
                continue
            open_ones.append(number)
        with open({str(seen)!r}, "w") as file:
            file.write(repr(open_ones))
        """,
    )
    redirections = " ".join(f"{number}>&-" for number in closed)
    for command in ("", str(LAUNCHER)):
        line = f"{command} {PYTHON} -I -S {probe} {redirections}"
        done = subprocess.run(["sh", "-c", line], env=environment(), check=False)
        assert done.returncode == 0
        assert seen.read_text() == repr([number for number in (0, 1, 2) if number not in closed])
    assert only_run(home)["status"] == "success"


def test_a_home_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "home", "/proc/autotask"):
        done = run_program(
            "sh", "-c", "echo a; exit 3", under="launcher", env={"AUTOTASK_HOME": str(place)}
        )
        assert (done.status, done.stdout, done.stderr) == (3, "a\n", "")


def test_a_full_disk_stops_nothing(datagrams: Datagrams, home: Path) -> None:
    # A file size limit of 0 bytes replaces it: writes fail in the same way.
    done = run_program(
        "sh",
        "-c",
        'ulimit -f 0; exec "$@"',
        "sh",
        LAUNCHER,
        "sh",
        "-c",
        "echo a; exit 3",
        under="bare",
        env={"AUTOTASK_DEBUG": None},
    )
    assert (done.status, done.stdout, done.stderr) == (3, "a\n", "")
    assert datagrams.lines("_sc|autotask.task.status|2", wait=5)


def test_a_home_is_not_needed_to_send(datagrams: Datagrams) -> None:
    run_program("true", under="launcher", env={"AUTOTASK_JOURNAL": "0"})
    started, ended = datagrams.lines("autotask.task.started", 5), datagrams.lines("_sc|", 5)
    assert len(started) == len(ended) == 1


def test_the_start_and_the_end_are_sent(datagrams: Datagrams) -> None:
    run_program("sh", "-c", "exit 3", under="launcher", env={"DD_ENV": "prod"})
    tags = "task:sh,framework:process"
    rest = "env:prod"
    assert datagrams.lines("autotask.task.started", 5) == [
        f"autotask.task.started:1|c|#{tags},trigger:{UNKNOWN},{rest}"
    ]
    assert datagrams.lines("autotask.task.runs", 5) == [
        f"autotask.task.runs:1|c|#{tags},status:failure,reason:exit,trigger:{UNKNOWN},{rest}"
    ]
    assert datagrams.lines("_sc") == [
        f"_sc|autotask.task.status|2|#{tags},trigger:{UNKNOWN},{rest}|m:exit 3"
    ]
    assert len(datagrams.lines("_e{")) == len(datagrams.lines("autotask.task.duration")) == 1


@pytest.mark.checkout
@pytest.mark.parametrize("link", ["absolute", "relative", "twice"])
def test_it_is_found_through_links(link: str, tmp_path: Path, home: Path) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    if link == "absolute":
        (place / "autotask-run").symlink_to(LAUNCHER)
    else:
        (place / "next").symlink_to(os.path.relpath(LAUNCHER, place))
        (place / "autotask-run").symlink_to("next")
    for command, cwd in ((place / "autotask-run", None), ("bin/autotask-run", tmp_path)):
        assert run_program(command, "true", under="bare", cwd=cwd).status == 0
    done = run_program(
        "autotask-run", "true", under="bare", env={"PATH": f"{place}:{os.environ['PATH']}"}
    )
    assert done.status == 0
    assert len(runs(home)) == 3


@pytest.mark.checkout
@pytest.mark.parametrize("site", ["lib/{version}/site-packages", "lib/python3/dist-packages"])
def test_it_finds_an_installed_package_beside_it(site: str, tmp_path: Path, home: Path) -> None:
    version = f"python3.{sys.version_info.minor}"
    prefix = tmp_path / "pre fix"
    folder = prefix / site.replace("{version}", version)
    source = TEMPLATE.parent
    shutil.copytree(source / "autotask", folder / "autotask")
    shutil.copytree(TEMPLATE, folder / TEMPLATE.name)
    (prefix / "bin").mkdir()
    shutil.copy(source / "bin" / "autotask-run", prefix / "bin")
    (prefix / "bin" / "python3").symlink_to(PYTHON)
    done = run_program(
        prefix / "bin" / "autotask-run", "sh", "-c", "echo $PYTHONPATH", under="bare"
    )
    assert (done.status, done.stdout) == (0, f"{folder / TEMPLATE.name}\n")
    assert only_run(home)["status"] == "success"


# --- with a broken installation the command runs all the same ------------------------------------

# What keeps us from doing our part, and a part of the one line that says so.
NOTHING_LEFT = {
    "no Python": ("no python3 beside it and none on the PATH", None),
    "no package": ("the package autotask is not installed beside it", "#!/bin/sh\nexit 1\n"),
    "a Python that does not start": ("cannot be executed", "#!/no/such/interpreter\n"),
}


@pytest.fixture
def unaided(tmp_path: Path) -> Path:
    """Copy the launcher to a folder without the rest of autotask and without Python."""
    folder = tmp_path / "alone" / "bin"
    folder.mkdir(parents=True)
    return Path(shutil.copy(TEMPLATE.parent / "bin" / "autotask-run", folder))


def package_of(prefix: Path) -> Path:
    (found,) = prefix.glob("lib/*/site-packages/autotask")
    return found


def one_line(text: str, said: str) -> bool:
    """Tell whether a text is the one line of a launcher that cannot do its part."""
    start = "autotask-run: the command runs unrecorded: "
    return text.count("\n") == 1 and text.startswith(start) and said in text


WAYS_TO_ASK = [
    (),
    ("--name", "x y", "--tag", "a:b"),
    ("--name=--exec", "--tag=a:b", "--exec"),
    ("--",),
    ("--exec", "--"),
]


@pytest.mark.checkout
@pytest.mark.parametrize("options", WAYS_TO_ASK, ids=" ".join)
@pytest.mark.parametrize(("said", "python"), NOTHING_LEFT.values(), ids=NOTHING_LEFT)
def test_the_command_runs_if_the_package_is_missing(
    said: str, python: str | None, options: tuple[str, ...], unaided: Path
) -> None:
    if python is not None:
        write(unaided.parent / "python3", python).chmod(0o755)
    if said == "cannot be executed":
        write(unaided.parent.parent / "autotask" / "around" / "launch.py", "")
    script = 'for word in "$@"; do printf "%s|" "$word"; done; exit 3'
    for shell in ("/bin/sh", shutil.which("bash") or "/bin/sh"):
        words = (*options, "/bin/sh", "-c", script, "sh", "a b", "", "--name", "*")
        path = {"PATH": str(unaided.parent)}
        done = run_program(shell, unaided, *words, under="bare", env=path)
        assert (done.status, done.stdout) == (3, "a b||--name|*|")
        last = done.stderr.splitlines(keepends=True)[-1]  # a shell also says what it cannot start
        assert one_line(last if said == "cannot be executed" else done.stderr, said), done.stderr


@pytest.mark.checkout
@pytest.mark.parametrize("shell", [None, "", "/bin/sh", shutil.which("bash") or "/bin/sh"], ids=str)
@pytest.mark.parametrize(("said", "python"), NOTHING_LEFT.values(), ids=NOTHING_LEFT)
def test_a_line_runs_if_the_package_is_missing(
    said: str, python: str | None, shell: str | None, unaided: Path
) -> None:
    if python is not None:
        write(unaided.parent / "python3", python).chmod(0o755)
    if said == "cannot be executed":
        write(unaided.parent.parent / "autotask" / "around" / "launch.py", "")
    line = 'for word in "$0" "$@"; do printf "%s|" "$word"; done; exit 3'
    env = {"PATH": str(unaided.parent), "SHELL": shell}
    for interpreter in ("/bin/sh", shutil.which("bash") or "/bin/sh"):
        for words in (("--name", "x y", "--shell", line), ("--exec", f"--shell={line}")):
            done = run_program(interpreter, unaided, *words, under="bare", env=env)
            assert (done.status, done.stdout) == (3, f"{shell or '/bin/sh'}|")
            last = done.stderr.splitlines(keepends=True)[-1]
            assert one_line(last if said == "cannot be executed" else done.stderr, said)


@pytest.mark.checkout
@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8"])
def test_the_command_runs_if_python_is_too_old(version: str, copied: Path) -> None:
    (copied / "bin" / "python3").unlink()
    (copied / "bin" / "python3").symlink_to(pythons(version))
    launcher = copied / "bin" / "autotask-run"
    for command in (("sh", "-c"), ("--shell",)):
        words = ("--name", "x", *command, "echo ran; exit 3")
        done = run_program(launcher, *words, under="bare")
        assert (done.status, done.stdout) == (3, "ran\n")
        assert one_line(done.stderr, "needs Python 3.9 or newer"), done.stderr


# Options are checked even if the rest of the package is missing.
@pytest.mark.checkout
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no command given"),
        (("--", ""), "no command given"),
        (("--exec",), "no command given"),
        (("--name",), "--name needs a value"),
        (("--nmae=secret", "true"), "no such option: --nmae"),
        (("--shell",), "--shell needs a value"),
        (("--shell=",), "--shell needs a value"),
        (("--shell", "rsync", "-a", "secret"), "--shell takes one text: put it in quotes"),
        (("--shell=true", "--exec"), "--shell takes one text: put it in quotes"),
    ],
)
def test_a_usage_error_is_one_even_if_the_package_is_broken(
    words: tuple[str, ...], said: str, unaided: Path
) -> None:
    done = run_program("/bin/sh", unaided, *words, under="bare", env={"PATH": ""})
    expected = f"autotask-run: {said} (see `autotask-run --help`)\n"
    assert (done.status, done.stdout, done.stderr) == (125, "", expected)


@pytest.mark.checkout
def test_a_command_that_does_not_exist_is_still_not_found(unaided: Path) -> None:
    done = run_program("/bin/sh", unaided, "no-such-command", under="bare", env={"PATH": ""})
    assert (done.status, "no-such-command" in done.stderr) == (127, True)


BREAKS = {
    "is cut short": "def main(:",
    "is gone": None,
    "raises": "raise RuntimeError('of\\ntwo lines')",
    "is empty": "",
}
ALWAYS_USED = "around/execute around/launch guard settings naming stdlib".split()
USED_TO_STAY = "around/supervise journal procfs run telling trigger".split()
TO_NAME_A_LINE = "command_name shell_line wrapper_commands".split()
WAYS_TO_RUN = [("sh", "-c"), ("--exec", "sh", "-c"), ("--shell",), ("--exec", "--shell")]
PACKAGE = TEMPLATE.parent / "autotask"
MAYBE_USED = sorted(
    str(path.relative_to(PACKAGE).with_suffix(""))
    for path in (*PACKAGE.glob("*.py"), *PACKAGE.glob("around/*.py"))
)


@pytest.mark.checkout
@pytest.mark.swallows
@pytest.mark.parametrize("how", BREAKS)
def test_the_command_runs_once_whichever_of_its_modules_is_broken(how: str, copied: Path) -> None:
    script = 'echo ran "${LC_CTYPE-unset}"; kill -s PIPE $$'
    locale = {"LC_CTYPE": None, "LC_ALL": None, "LANG": None}
    bare = run_program("sh", "-c", script, under="bare", env=locale)
    assert (bare.status, bare.stdout) == (-signal.SIGPIPE, "ran unset\n")
    for name in MAYBE_USED if how == "is cut short" else ALWAYS_USED + TO_NAME_A_LINE:
        module = package_of(copied) / f"{name}.py"
        source = module.read_text()
        module.unlink()
        if BREAKS[how] is not None:
            module.write_text(BREAKS[how] or "")
        is_sure = name in ALWAYS_USED + TO_NAME_A_LINE
        for command in WAYS_TO_RUN if is_sure else WAYS_TO_RUN[:1]:
            words = ("--name", "x", *command, script)
            done = run_program(copied / "bin" / "autotask-run", *words, under="bare", env=locale)
            assert (name, done.status, done.stdout) == (name, bare.status, bare.stdout)
            assert not done.stderr or one_line(done.stderr, ""), (name, done.stderr)
            assert done.stderr or name not in ALWAYS_USED + USED_TO_STAY, name
        module.write_text(source)


def cuts(source: str, last: str) -> Iterator[str]:
    """Cut a module off, to valid Python: before each third function, and inside the last one.

    Its importers import that one, so that they notice any cut before it.
    """
    body = ast.parse(source).body
    definitions = [node for node in body if isinstance(node, ast.FunctionDef)]
    assert (body[-1], definitions[-1].name) == (definitions[-1], last)
    rows = [node.lineno - 1 for node in definitions[::-3]]
    for row in (*rows, definitions[-1].body[1].lineno - 1):
        yield "".join(source.splitlines(keepends=True)[:row])


@pytest.mark.checkout
@pytest.mark.swallows
@pytest.mark.parametrize(
    ("name", "last"),
    [("around/launch", "main"), ("around/supervise", "is_wanted"), ("shell_line", "commands")],
)
def test_the_command_runs_once_if_a_module_is_cut_between_functions(
    name: str, last: str, copied: Path, tmp_path: Path
) -> None:
    module = package_of(copied) / f"{name}.py"
    for number, text in enumerate(cuts(module.read_text(), last)):
        module.write_text(text)
        line = f"echo ran >> {number}; exit 3"
        done = run_program(
            copied / "bin" / "autotask-run", "--shell", line, under="bare", cwd=tmp_path
        )
        assert (done.status, done.stdout) == (3, ""), text[-200:]
        assert not done.stderr or one_line(done.stderr, ""), done.stderr
        assert (tmp_path / str(number)).read_text() == "ran\n", text[-200:]


@pytest.mark.checkout
@pytest.mark.swallows
def test_a_half_upgraded_package_counts_as_broken(copied: Path) -> None:
    for module, old, new in (
        ("around/supervise", "def supervise(", "def supervised("),
        ("run", "def failure(", "def failed("),
        ("settings", "self.process = ", "self.processes = "),
        ("journal", "def above_stdio(", "def above("),
        ("around/execute", "def execute(", "def executed("),
    ):
        file = package_of(copied) / f"{module}.py"
        source = file.read_text()
        assert source.count(old) == 1
        file.write_text(source.replace(old, new))
        for options in ((), ("--exec",)):
            words = (*options, "sh", "-c", "echo ran; exit 3")
            done = run_program(copied / "bin" / "autotask-run", *words, under="bare")
            assert (module, done.status, done.stdout) == (module, 3, "ran\n")
            assert not done.stderr or one_line(done.stderr, "Error: "), done.stderr
        file.write_text(source)


@pytest.mark.checkout
@pytest.mark.swallows
def test_a_command_is_recorded_whatever_fails_in_what_is_beside_the_record(
    copied: Path, home: Path
) -> None:
    file = package_of(copied) / "around/command_settings.py"
    source = file.read_text()
    file.write_text("raise KeyError")
    env = {"AUTOTASK_QUIET": "1"}
    words = (copied / "bin" / "autotask-run", "sh", "-c", "echo ran; exit 3")
    done = run_program(*words, under="bare", env=env)
    file.write_text(source)
    assert (done, only_run(home)["exit_code"]) == (Ended(3, "ran\n", ""), 3)
