"""Django: which of its commands ran, under which names, and how they ended."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
from frameworks._django import make_project
from frameworks._own import heed_interrupts, in_short, same
from support import (
    PATIENCE,
    Record,
    run_bare,
    run_program,
    runs,
    start_program,
    wait_until,
    without_our_frames,
    write,
)

django = pytest.importorskip("django")
# Before 4.0 a parser of subcommands raises CommandError (ticket 32718).
REFUSED_INSIDE = 2 if django.VERSION >= (4,) else 1

COMMANDS = {
    "nightly": "print('nightly')",
    "text": "return 'some text'",
    "error": "raise CommandError('no stock')",
    "error4": "raise CommandError('no stock', returncode=4)",
    "error0": "raise CommandError('no stock', returncode=0)",
    "worse": """
        class Worse(CommandError): pass
        raise Worse('no stock', returncode=5)
        """,
    "boom": "raise ValueError('boom')",
    "leaves": """
        def add_arguments(self, parser):
            parser.add_argument("how")
        def handle(self, *args, **options):
            how = options["how"]
            if how == "exit": sys.exit()
            if how.startswith("exit "): sys.exit(int(how[5:]))
            if how == "text": sys.exit("a text")
            if how == "raise": raise SystemExit(4)
            if how == "interrupt": raise KeyboardInterrupt
            if how == "_exit":
                sys.stdout.flush()
                os._exit(9)
            print("ready", flush=True)
            if how == "term": os.kill(os.getpid(), signal.SIGTERM)
            if how == "kill": os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        """,
    "labels": """
        class Command(LabelCommand):
            requires_system_checks = []
            def handle_label(self, label, **options): print("label", label)
        """,
    "other": "from shop.management.commands.nightly import Command",
    "broken": "import nowhere_to_be_found",
    "fails": "1 / 0",
    "empty": "import sys",
    "checked": """
        requires_system_checks = ["broken"]
        def handle(self, *args, **options): print("never")
        """,
    "migrated": """
        requires_migrations_checks = True
        def handle(self, *args, **options): print("migrated")
        """,
    "arguments": """
        def add_arguments(self, parser):
            parser.add_argument("-n", type=int, required=True)
            parser.add_argument("--odd", type={}.__getitem__)
            parser.add_argument("--own", type=self.leave)
        def leave(self, code): sys.exit(int(code))
        def handle(self, *args, **options): print("n", options["n"])
        """,
    "subcommands": """
        def add_arguments(self, parser):
            inner = parser.add_subparsers(dest="what", required=True)
            inner.add_parser("stock").add_argument("-n", type=int)
        def handle(self, *args, **options): print(options["what"])
        """,
    "undeclared": """
        def add_arguments(self, parser): raise LookupError("no arguments")
        def handle(self, *args, **options): print("never")
        """,
    "hidden": """
        def create_parser(self, prog_name, subcommand, **kwargs):
            import argparse
            parser = argparse.ArgumentParser()
            for name in ("settings", "pythonpath"): parser.add_argument("--" + name)
            for name in ("traceback", "no_color", "force_color"): parser.set_defaults(**{name: 0})
            return parser
        def handle(self, *args, **options): print("hidden")
        """,
    "outer": "call_command('boom')",
    "outer_error": "call_command('error4')",
    "deep": "call_command('outer_error')",
    "careful": """
        try: call_command('error4')
        except CommandError as problem: print('caught', problem)
        """,
    "translates": """
        try: call_command('boom')
        except ValueError as problem: raise CommandError('no', returncode=7) from problem
        """,
    "several": """
        call_command('nightly')
        call_command('labels', 'x', 'y')
        """,
    "wrong": "call_command('arguments', '-n', 'x')",
    "unknown": "call_command('nope')",
    "options": "call_command('nightly', what=1)",
    "inner_exit": "call_command('leaves', 'exit 3')",
    "inner_help": "call_command('nightly', '--help')",
    "object": """
        from shop.management.commands import error, nightly
        call_command(nightly.Command())
        call_command(error.Command())
        """,
    "again": """
        def add_arguments(self, parser):
            parser.add_argument("times", type=int)
        def handle(self, *args, times, **options):
            if times: call_command("again", times - 1)
        """,
    "threaded": """
        thread = threading.Thread(target=call_command, args=["nightly"])
        thread.start()
        thread.join()
        """,
    "awaits": """
        async def work():
            from asgiref.sync import sync_to_async
            call = sync_to_async(call_command)
            await asyncio.gather(*[call(name) for name in ("nightly", "text")])
            await asyncio.sleep(0)
        asyncio.run(work())
        """,
    "awaits_boom": """
        async def work(): raise ValueError("boom")
        asyncio.run(work())
        """,
    "coroutine": """
        async def handle(self, *args, **options): print("never")
        """,
    "quiet": """
        def execute(self, *args, **options):
            try: return super().execute(*args, **options)
            except CommandError as problem: print("quiet:", problem)
        def handle(self, *args, **options): raise CommandError("no stock")
        """,
    "stubborn": """
        def execute(self, *args, **options):
            for _ in range(2):
                try: return super().execute(*args, **options)
                except ValueError: self.tried = True
        def handle(self, *args, **options):
            if not hasattr(self, "tried"): raise ValueError("once")
        """,
    "early": """
        def execute(self, *args, **options): raise CommandError("too early")
        def handle(self, *args, **options): print("never")
        """,
    "own_argv": """
        def run_from_argv(self, argv):
            print("own")
            super().run_from_argv(argv)
        def handle(self, *args, **options): raise CommandError("no stock", returncode=6)
        """,
}
CHECKS = """
from django.core import checks
@checks.register("broken")
def check(**_): return [checks.Error("the shop is closed", id="shop.E001")]
"""

# The words after `manage.py`, and the recorded runs. All are run in one process.
ROWS = {
    # names
    "nightly": ["nightly success"],
    "other": ["other success"],
    "check": ["check failure exit 1 SystemCheckError"],
    "check --tag models": ["check success"],
    "clearsessions --skip-checks": ["clearsessions success"],
    "labels a b": ["labels success"],
    "diffsettings --all": ["diffsettings success"],
    "subcommands stock -n 2": ["subcommands success"],
    # ways to end
    "text": ["text success"],
    "error": ["error failure exit 1 CommandError"],
    "error --traceback": ["error failure exit 1 CommandError"],
    "error4": ["error4 failure exit 4 CommandError"],
    "error0": ["error0 success"],
    "worse": ["worse failure exit 5 Worse"],
    "boom": ["boom failure exception ValueError"],
    "leaves exit": ["leaves success"],
    "leaves 'exit 0'": ["leaves success"],
    "leaves 'exit 4'": ["leaves failure exit 4"],
    "leaves 'exit 256'": ["leaves success"],
    "leaves text": ["leaves failure exit 1 SystemExit"],
    "leaves raise": ["leaves failure exit 4"],
    "leaves interrupt": ["leaves failure interrupted"],
    "checked": ["checked failure exit 1 SystemCheckError"],
    "checked --skip-checks": ["checked success"],
    "migrated": ["migrated success"],
    "nightly --force-color --no-color": ["nightly failure exit 1 CommandError"],
    "coroutine": ["coroutine failure exception AttributeError"],
    "awaits_boom": ["awaits_boom failure exception ValueError"],
    "hidden": ["hidden success"],
    # commands that cannot begin
    "broken": ["broken failure exception ModuleNotFoundError"],
    "fails": ["fails failure exception ZeroDivisionError"],
    "empty": ["empty failure exception AttributeError"],
    "undeclared": ["undeclared failure exception LookupError"],
    # commands that call others
    "outer": [
        "outer failure nested ValueError by boom",
        "boom failure exception ValueError in outer",
    ],
    "outer_error": [
        "outer_error failure nested 4 CommandError by error4",
        "error4 failure exit 4 CommandError in outer_error",
    ],
    "deep": [
        "deep failure nested 4 CommandError by error4",
        "outer_error failure nested 4 CommandError by error4 in deep",
        "error4 failure exit 4 CommandError in outer_error",
    ],
    "careful": ["careful success", "error4 failure exit 4 CommandError in careful"],
    "translates": [
        "translates failure nested 7 CommandError by boom",
        "boom failure exception ValueError in translates",
    ],
    "several": ["several success", "nightly success in several", "labels success in several"],
    "wrong": [
        "wrong failure nested 1 CommandError by arguments",
        "arguments failure usage 1 in wrong",
    ],
    "unknown": ["unknown failure exit 1 CommandError"],
    "options": ["options failure exception TypeError"],
    "inner_exit": ["inner_exit failure nested 3 by leaves", "leaves failure exit 3 in inner_exit"],
    "inner_help": ["inner_help success"],
    "object": [
        "object failure nested 1 CommandError by error",
        "nightly success in object",
        "error failure exit 1 CommandError in object",
    ],
    "again 2": ["again success", "again success in again", "again success in again"],
    "threaded": ["threaded success", "nightly success in threaded"],
    "awaits": ["awaits success", "nightly success in awaits", "text success in awaits"],
    # methods of the user's own
    "quiet": ["quiet success"],
    "stubborn": ["stubborn success"],
    "early": ["early failure exit 1 CommandError"],
    "own_argv": ["own_argv failure exit 6 CommandError"],
    # wrong arguments
    "nightly --bogus": ["nightly failure usage 2"],
    "nightly --settings": ["nightly failure usage 2"],
    "nightly more": ["nightly failure usage 2"],
    "nightly -v 9": ["nightly failure usage 2"],
    "arguments": ["arguments failure usage 2"],
    "arguments -n x": ["arguments failure usage 2"],
    "arguments -n 1 --odd x": ["arguments failure exception KeyError"],
    "arguments -n 1 --own 3": ["arguments failure exit 3"],
    "arguments -n 1 --own 0": [],
    "labels": ["labels failure usage 2"],
    "subcommands": ["subcommands failure usage 2"],
    "subcommands nope": ["subcommands failure usage 2"],
    "subcommands stock -n x": [f"subcommands failure usage {REFUSED_INSIDE}"],
    "hidden --bogus": ["hidden failure usage 2"],
    "nope": ["manage.py failure usage 1"],
    "nightli": ["manage.py failure usage 1"],
    "--bogus": ["manage.py failure usage 1"],
    # questions
    "": [],
    "help": [],
    "help --commands": [],
    "help nightly": [],
    "help nope": [],
    "help broken": [],
    "--help": [],
    "-h": [],
    "version": [],
    "--version": [],
    "nightly --help": [],
    "nightly -h": [],
    "nightly --version": [],
    "subcommands stock --help": [],
}
# Runs each row, and notes when it has ended.
DRIVER = """
import contextlib, datetime, io, json, os, re, shlex, sys, traceback
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
from django.core.management import ManagementUtility
ends = {}
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = shlex.split(words)
    print("##", words, flush=True)
    try:
        print("returned", ManagementUtility(["manage.py", *shlex.split(words)]).execute())
    except BaseException as problem:
        print("raised", repr(problem), file=sys.stderr)
        traceback.print_exc()
    sys.stdout.flush()
    ends[words] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
with open(os.environ["ENDS"], "w") as file: json.dump(ends, file)
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Record]]:
    """Run all rows in one process, bare and with the agent; return the runs of each row."""
    folder = tmp_path_factory.mktemp("django")
    project = make_project(folder / "project", COMMANDS)
    write(project / "shop" / "apps.py", APPS)
    write(project / "shop" / "checks.py", CHECKS)
    driver, home, log = write(project / "driver.py", DRIVER), folder / "home", folder / "log"
    env = {"AUTOTASK_PROCESS": "0", "AUTOTASK_HOME": str(home), "AUTOTASK_DEBUG": str(log)}
    env |= {"ENDS": str(folder / "ends"), "DD_DOGSTATSD_URL": "udp://127.0.0.1:9"}
    same(driver, json.dumps(list(ROWS)), cwd=project, env=env)
    assert "autotask: swallowed" not in log.read_text()
    ends = json.loads((folder / "ends").read_text())
    found: dict[str, list[Record]] = {words: [] for words in ROWS}
    for run in runs(home):
        words = next(words for words, end in ends.items() if run["started_at"] < end)
        found[words].append(run)
    return found


APPS = """
from django.apps import AppConfig
class Shop(AppConfig):
    name = "shop"
    default = True
    def ready(self): import shop.checks
"""


@pytest.mark.parametrize("words", ROWS)
def test_commands_end_as_without_the_agent_and_their_runs_are_recorded(
    words: str, recorded: dict[str, list[Record]]
) -> None:
    found = recorded[words]
    assert in_short(sorted(found, key=lambda run: run["started_at"])) == ROWS[words]
    assert {run["framework"] for run in found} <= {"django"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project that no test changes."""
    heed_interrupts()
    return make_project(tmp_path_factory.mktemp("shared") / "project", COMMANDS)


# The words after `manage.py`, and the recorded runs, without what only a parent can tell.
PROCESSES = {
    "nightly": ["manage.py nightly success", "nightly success in manage.py nightly"],
    "error4": [
        "manage.py error4 failure nested 4 by error4",
        "error4 failure exit 4 CommandError in manage.py error4",
    ],
    "error4 --traceback": [
        "manage.py error4 failure nested CommandError by error4",
        "error4 failure exit 4 CommandError in manage.py error4",
    ],
    "error0": ["manage.py error0 success", "error0 success in manage.py error0"],
    "boom": [
        "manage.py boom failure nested ValueError by boom",
        "boom failure exception ValueError in manage.py boom",
    ],
    "outer_error": [
        "manage.py outer_error failure nested 4 by error4",
        "outer_error failure nested 4 CommandError by error4 in manage.py outer_error",
        "error4 failure exit 4 CommandError in outer_error",
    ],
    "leaves 'exit 5'": [
        "manage.py leaves failure nested 5 by leaves",
        "leaves failure exit 5 in manage.py leaves",
    ],
    "leaves text": [
        "manage.py leaves failure nested 1 SystemExit by leaves",
        "leaves failure exit 1 SystemExit in manage.py leaves",
    ],
    "leaves interrupt": [
        "manage.py leaves failure nested by leaves",
        "leaves failure interrupted in manage.py leaves",
    ],
    "leaves _exit": [
        "manage.py leaves failure nested 9 by leaves",
        "leaves failure exit 9 in manage.py leaves",
    ],
    "nightly --bogus": [
        "manage.py nightly failure nested 2 by nightly",
        "nightly failure usage 2 in manage.py nightly",
    ],
    "nope": [
        "manage.py nope failure nested 1 by manage.py",
        "manage.py failure usage 1 in manage.py nope",
    ],
    "broken": [
        "manage.py broken failure nested ModuleNotFoundError by broken",
        "broken failure exception ModuleNotFoundError in manage.py broken",
    ],
    "help": ["manage.py help success"],
}


@pytest.mark.parametrize("words", PROCESSES)
def test_the_run_of_the_process_is_around_the_commands(
    words: str, shared: Path, home: Path
) -> None:
    same(shared / "manage.py", *shlex.split(words), cwd=shared)
    assert in_short(runs(home)) == PROCESSES[words]


# How the process ends whose parent sees it: in `path` nobody does.
LAUNCHED = {
    "nightly": ["manage.py nightly success", "nightly success in manage.py nightly"],
    "error4": [
        "manage.py error4 failure nested 4 by error4",
        "error4 failure exit 4 CommandError in manage.py error4",
    ],
    "boom": [
        "manage.py boom failure nested ValueError by boom",
        "boom failure exception ValueError in manage.py boom",
    ],
    "leaves term": [
        "manage.py leaves failure nested SIGTERM by leaves",
        "leaves failure signal SIGTERM in manage.py leaves",
    ],
    "leaves kill": [
        "manage.py leaves failure nested SIGKILL by leaves",
        "leaves failure signal SIGKILL in manage.py leaves",
    ],
    "nope": [
        "manage.py nope failure nested 1 by manage.py",
        "manage.py failure usage 1 in manage.py nope",
    ],
}


@pytest.mark.parametrize("words", LAUNCHED)
def test_under_autotask_run_it_ends_as_without(words: str, shared: Path, home: Path) -> None:
    script, arguments = shared / "manage.py", shlex.split(words)
    bare = run_bare(script, *arguments, cwd=shared)
    ended = run_program(script, *arguments, under="launcher", cwd=shared)
    assert (ended.status, ended.stdout) == (bare.status, bare.stdout)
    assert without_our_frames(ended.stderr) == bare.stderr
    assert in_short(runs(home)) == LAUNCHED[words]


@pytest.mark.parametrize(
    ("words", "settings", "expected"),
    [
        ("nightly", "import nowhere_to_be_found", "nightly failure exception ModuleNotFoundError"),
        ("nightly", "raise ValueError('no')", "nightly failure exception ValueError"),
        ("nightly", "import sys; sys.exit(3)", "nightly failure exit 3"),
        ("nightly", "INSTALLED_APPS += ['nope']", "nightly failure exception ModuleNotFoundError"),
        ("nightly", "SECRET_KEY = ''", "nightly success"),
        (
            "diffsettings",
            "import nowhere_to_be_found",
            "diffsettings failure exception ModuleNotFoundError",
        ),
        ("nope", "import nowhere_to_be_found", "nope failure exception ModuleNotFoundError"),
        ("help", "import nowhere_to_be_found", ""),
    ],
)
def test_a_broken_project_is_the_failure_of_the_command(
    words: str, settings: str, expected: str, tmp_path: Path, home: Path
) -> None:
    project = make_project(tmp_path, {"nightly": "print('nightly')"}, settings)
    same(project / "manage.py", *words.split(), cwd=project, env={"AUTOTASK_PROCESS": "0"})
    assert in_short(runs(home)) == ([expected] if expected else [])


SCRIPT = """
import os, sys
import django
from django.core.management import CommandError, call_command
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
django.setup()
"""
BY_HAND = """
from django.core.management.base import BaseCommand
class Tidy(BaseCommand):
    def handle(self, *args, **options): print("tidy")
"""


@pytest.mark.parametrize(
    ("source", "status", "expected"),
    [
        ("call_command('nightly')", 0, ["nightly success"]),
        ("call_command('boom')", 1, ["boom failure exception ValueError"]),
        ("call_command('error4')", 1, ["error4 failure exit 4 CommandError"]),
        ("call_command('leaves', 'exit 5')", 5, ["leaves failure exit 5"]),
        ("call_command('arguments')", 1, ["arguments failure usage 1"]),
        ("call_command('nope')", 1, []),
        (f"{BY_HAND}\ncall_command(Tidy(), skip_checks=True)", 0, ["__main__ success"]),
        (f"{BY_HAND}\nTidy().run_from_argv(['x', 'tidy', '--skip-checks'])", 0, ["tidy success"]),
        (
            f"{BY_HAND}\nTidy().execute(force_color=0, no_color=1, skip_checks=1)",
            0,
            ["__main__ success"],
        ),
    ],
)
def test_a_script_calls_commands(
    source: str, status: int, expected: list[str], shared: Path, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "script.py", SCRIPT + source)
    env = {"PYTHONPATH": str(shared), "AUTOTASK_PROCESS": "0"}
    assert same(script, cwd=tmp_path, env=env).status == status
    assert in_short(runs(home)) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nightly",), ["nightly success"]),
        (("nope",), ["django-admin failure usage 1"]),
        (("nightly", "--bogus"), ["nightly failure usage 2"]),
    ],
)
def test_django_admin_runs_commands(
    words: tuple[str, ...], expected: list[str], shared: Path, home: Path
) -> None:
    script = Path(sysconfig.get_path("scripts")) / "django-admin"
    if not script.exists():
        pytest.skip("no django-admin here")
    env = {"DJANGO_SETTINGS_MODULE": "site_settings", "PYTHONPATH": str(shared)}
    same(script, *words, cwd=shared, env={**env, "AUTOTASK_PROCESS": "0"})
    assert in_short(runs(home)) == expected


def test_python_m_django_runs_commands(shared: Path, home: Path) -> None:
    env = {"DJANGO_SETTINGS_MODULE": "site_settings", "AUTOTASK_PROCESS": "0"}
    same("-m", "django", "nightly", cwd=shared, env=env)
    same("-m", "django", "nope", cwd=shared, env=env)
    assert in_short(runs(home)) == ["nightly success", "django failure usage 1"]


def test_an_error_is_at_the_users_line(shared: Path, home: Path) -> None:
    env = {"AUTOTASK_PROCESS": "0"}
    run_program(shared / "manage.py", "outer_error", cwd=shared, env=env)
    run_program(shared / "manage.py", "broken", cwd=shared, env=env)
    outer, error, broken = runs(home)
    place = shared / "shop" / "management" / "commands"
    assert error["error"] == {
        "type": "CommandError",
        "message": "no stock",
        "where": f"{place / 'error4.py'}:9",
    }
    assert outer["error"]["where"] == error["error"]["where"]
    assert broken["error"]["where"] == f"{place / 'broken.py'}:1"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"AUTOTASK_IGNORE": "error*"}, ["outer_error failure exit 4 CommandError"]),
        ({"AUTOTASK_FRAMEWORKS": "-django"}, []),
        ({"AUTOTASK_IGNORE": "*"}, []),
    ],
)
def test_commands_can_be_left_out(
    env: dict[str, str], expected: list[str], shared: Path, home: Path
) -> None:
    same(shared / "manage.py", "outer_error", cwd=shared, env={"AUTOTASK_PROCESS": "0", **env})
    assert in_short(runs(home)) == expected


def test_completion_is_no_run(shared: Path, home: Path) -> None:
    for words, number in (("manage.py night", "1"), ("manage.py nope -", "2")):
        env = {"DJANGO_AUTO_COMPLETE": "1", "COMP_WORDS": words, "COMP_CWORD": number}
        same(shared / "manage.py", cwd=shared, env={**env, "AUTOTASK_PROCESS": "0"})
    assert in_short(runs(home)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_as_without_the_agent(
    number: signal.Signals, shared: Path, home: Path
) -> None:
    ends = [_signalled(shared, number, bare=True), _signalled(shared, number, bare=False)]
    assert ends[0] == ends[1]
    expected = "interrupted" if number == signal.SIGINT else "running"
    assert in_short(runs(home))[1] == f"leaves {expected} in manage.py leaves".replace(
        "leaves interrupted", "leaves failure interrupted"
    )


def _signalled(project: Path, number: signal.Signals, *, bare: bool) -> int:
    program = start_program(
        *(project / "manage.py", "leaves", "wait"),
        under="bare" if bare else "path",
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    program.send_signal(number)
    program.communicate(timeout=PATIENCE)
    return program.returncode


@pytest.mark.parametrize(
    ("number", "options", "status"),
    [
        (signal.SIGINT, [], 0),
        (signal.SIGTERM, [], 0),
        (signal.SIGINT, ["--noreload"], 0),
        (signal.SIGTERM, ["--noreload"], -signal.SIGTERM),
    ],
)
def test_the_development_server_has_one_run_however_often_it_starts_again(
    number: signal.Signals, options: list[str], status: int, tmp_path: Path, home: Path
) -> None:
    project = make_project(tmp_path / "project", {})
    port, log = _free_port(), tmp_path / "log"
    with log.open("wb") as file:
        server = start_program(
            project / "manage.py",
            "runserver",
            f"127.0.0.1:{port}",
            *options,
            under="launcher",
            cwd=project,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(lambda: _listens(port))
            if not options:
                wait_until(lambda: _changed(project, log))
                wait_until(lambda: _listens(port))
            server.send_signal(number)
            server.wait(PATIENCE)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
    assert server.returncode == status
    assert in_short(runs(home)) == [
        "manage.py runserver success",
        "runserver success in manage.py runserver",
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def _changed(project: Path, log: Path) -> bool:
    """Touch a source file, until the server has started again."""
    later = time.time() + 10
    os.utime(project / "shop" / "__init__.py", (later, later + time.monotonic() % 1000))
    time.sleep(0.1)
    return log.read_text().count("Watching for file changes") > 1
