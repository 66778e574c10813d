"""The guard: our errors go only to the debug log, and the application's own propagate."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Ended, lines, run_program, runs, write

from autotask.guard import debug, guarded, raised_here, swallow
from autotask.journal import Journal


class OddError(Exception):
    """An error whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@guarded
def carry_out(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Do what the caller asks for."""
    return work(*args, **kwargs)


def throw(problem: BaseException) -> Any:
    raise problem


# --- our own errors ------------------------------------------------------------------------------

ERRORS: list[Exception] = [
    *(ValueError("boom"), OSError(28, "No space left on device"), MemoryError(), RecursionError()),
    *(ImportError("gone"), UnicodeError("odd"), StopIteration(), AssertionError(), Exception()),
    *(OddError(), UnicodeEncodeError("ascii", "é", 0, 1, "odd"), ValueError("\udcff\n\N{ROCKET}")),
]


@pytest.mark.swallows
@pytest.mark.parametrize("problem", ERRORS, ids=lambda problem: type(problem).__name__)
def test_an_error_of_the_agent_is_contained(problem: Exception) -> None:
    assert carry_out(throw, problem) is None


@pytest.mark.swallows
def test_the_debug_log_has_the_error_with_its_place(swallowed: Path) -> None:
    carry_out(throw, ValueError("boom"))
    (line,) = swallowed.read_text().splitlines()
    assert line.startswith("autotask: swallowed ValueError: boom in carry_out (guard.py:")
    assert "test_guard.py:" in line


@pytest.mark.swallows
def test_an_error_without_a_text_is_logged_by_its_type(swallowed: Path) -> None:
    carry_out(throw, OddError())
    assert swallowed.read_text().startswith("autotask: swallowed OddError in carry_out (guard.py:")


@pytest.mark.swallows
def test_an_error_in_the_debug_log_is_masked_and_one_line(swallowed: Path) -> None:
    carry_out(throw, ValueError("password=hunter2\nautotask: forged\r\x1b[31m\0\u202e\u2028\udcff"))
    (line,) = swallowed.read_text().splitlines()
    told = r"password=***\nautotask: forged\r\x1b[31m\x00\u202e\u2028\udcff"
    assert line.startswith(f"autotask: swallowed ValueError: {told} in carry_out (")


@pytest.mark.swallows
def test_any_text_is_one_line_of_the_debug_log(swallowed: Path) -> None:
    debug("one\ntwo\x85three")
    assert swallowed.read_text() == "autotask: one\\ntwo\\x85three\n"


def test_a_guarded_function_that_succeeds_is_unchanged() -> None:
    assert carry_out(max, 1, 3, key=lambda number: -number) == 1
    assert carry_out(list) == []


def test_a_guarded_function_looks_unchanged() -> None:
    assert carry_out.__name__ == carry_out.__qualname__ == "carry_out"
    assert carry_out.__doc__ == "Do what the caller asks for."


LEAVING = [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()]


@pytest.mark.parametrize("problem", LEAVING, ids=lambda problem: type(problem).__name__)
def test_an_exit_passes_the_guard(problem: BaseException) -> None:
    with pytest.raises(type(problem)) as caught:
        carry_out(throw, problem)
    assert caught.value is problem


# --- the debug log -------------------------------------------------------------------------------

LOGS: dict[str, str] = {
    "a folder": "/",
    "nowhere": "/no/such/folder/log",
    "read-only": "/proc/version",
    "full": "/dev/full",
    "off": "0",
    "unset": "",
}


@pytest.mark.parametrize("place", LOGS.values(), ids=LOGS)
def test_an_unwritable_debug_log_is_ignored(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTASK_DEBUG", place)
    assert carry_out(throw, ValueError("boom")) is None
    swallow("here", ValueError("boom"))


def test_the_debug_log_is_private_and_any_text_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("AUTOTASK_DEBUG", str(log))
    debug("one é \udcff")
    debug("two")
    assert log.read_text() == "autotask: one é \\udcff\nautotask: two\n"
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("value", ["1", "true"])
def test_the_debug_log_can_be_standard_error(value: str, tmp_path: Path) -> None:
    program = "from autotask.guard import swallow; swallow('here', ValueError('boom'))"
    ended = run_program("-c", program, env={"AUTOTASK_DEBUG": value})
    assert ended == Ended(0, "", "autotask: swallowed ValueError: boom in here ()\n")


# --- signal handlers -----------------------------------------------------------------------------

HANDLERS = {
    "a function": "def handler(number, frame): raise Late('late')",
    "a lambda": "handler = lambda number, frame: throw()",
    "a function that calls another": "def handler(number, frame): throw()",
    "a method": "class Timer:\n    def stop(self, *args): throw()\nhandler = Timer().stop",
    "a class method": (
        "class Timer:\n    @classmethod\n    def stop(cls, *args): throw()\nhandler = Timer.stop"
    ),
    "a static method": (
        "class Timer:\n    @staticmethod\n    def stop(*args): throw()\nhandler = Timer.stop"
    ),
    "a builtin error": "def handler(number, frame): raise TimeoutError('late')",
}
UNKNOWN_HANDLERS = {
    "a partial": (
        "import functools\n"
        "def stop(text, number, frame): raise Late(text)\n"
        "handler = functools.partial(stop, 'late')"
    ),
    "an object that can be called": (
        "class Timer:\n    def __call__(self, number, frame): throw()\nhandler = Timer()"
    ),
    "one that has put another in its place": (
        "def handler(number, frame):\n"
        "    signal.signal(number, signal.SIG_DFL)\n"
        "    raise Late('late')"
    ),
}
PREFACE = """
import os, signal
class Late(Exception): pass
def throw(): raise Late("late")
{handler}
signal.signal(signal.SIGALRM, handler)
from autotask.guard import guarded
@guarded
def ours():
    os.kill(os.getpid(), signal.SIGALRM)
    return sum(range(100))
try:
    print("swallowed, and returned", ours())
except (Late, TimeoutError) as problem:
    print("raised", problem)
"""


@pytest.mark.swallows
@pytest.mark.parametrize(
    "handler",
    [
        *[pytest.param(source, id=name) for name, source in HANDLERS.items()],
        *[pytest.param(source, id=name) for name, source in UNKNOWN_HANDLERS.items()],
    ],
)
def test_what_a_signal_handler_raises_inside_the_agent_reaches_the_program(
    handler: str, tmp_path: Path
) -> None:
    script = write(tmp_path / "shop.py", PREFACE.format(handler=handler))
    assert run_program(script, env={"AUTOTASK_PROCESS": "0"}) == Ended(0, "raised late\n", "")


@pytest.mark.swallows
def test_an_error_of_the_agent_is_not_taken_for_a_handlers(tmp_path: Path) -> None:
    source = """
        import signal
        from autotask.guard import guarded
        def handler(number, frame): raise ValueError
        signal.signal(signal.SIGALRM, handler)
        @guarded
        def ours(): return {}["missing"]
        print(ours())
    """
    ended = run_program(write(tmp_path / "shop.py", source), env={"AUTOTASK_PROCESS": "0"})
    assert ended == Ended(0, "None\n", "")


@pytest.mark.swallows
def test_what_a_handler_raises_during_str_of_an_error_reaches_the_program(tmp_path: Path) -> None:
    _check_alarm_in_text(
        tmp_path, "task = click.command()(work)", "main([], standalone_mode=False)"
    )


@pytest.mark.swallows
def test_what_a_handler_raises_while_an_outcome_is_judged_reaches_the_program(
    tmp_path: Path,
) -> None:
    _check_alarm_in_text(tmp_path, "task = autotask.task(work)", "__call__()")


ALARM_IN_TEXT = """
import autotask, click, os, signal
class Late(Exception): pass
class Problem(Exception):
    def __str__(self):
        os.kill(os.getpid(), signal.SIGALRM)
        return "slow"
def handler(number, frame): raise Late("late")
signal.signal(signal.SIGALRM, handler)
def work(): raise Problem
{task}
try:
    task.{call}
except Exception as problem:
    print(type(problem).__name__)
"""


def _check_alarm_in_text(folder: Path, task: str, call: str) -> None:
    """Let an alarm ring while the text of a task's error is read."""
    for name in ("click", "wrapt"):
        pytest.importorskip(name)
    script = write(folder / "shop.py", ALARM_IN_TEXT.format(task=task, call=call))
    assert run_program(script, env={"AUTOTASK_PROCESS": "0"}) == Ended(0, "Late\n", "")


class Alarm:
    """A replacement of time.time that rings an alarm while it is read."""

    def __init__(self) -> None:
        self.time = time.time

    def __call__(self) -> float:
        os.kill(os.getpid(), signal.SIGALRM)
        return self.time()


def test_a_timeout_raised_by_a_handler_is_not_taken_for_a_disk_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(number: int, frame: object) -> None:
        raise TimeoutError("late")

    notes = Journal(str(home))
    assert notes.append("one")
    before = signal.signal(signal.SIGALRM, handler)
    monkeypatch.setattr(time, "time", Alarm())
    try:
        with pytest.raises(TimeoutError, match="late"):
            notes.append("two")
    finally:
        signal.signal(signal.SIGALRM, before)


def test_raised_here_catches_the_agents_errors_but_not_a_handlers() -> None:
    def late(number: int, frame: object) -> None:
        raise TimeoutError("late")

    def ring() -> None:
        os.kill(os.getpid(), signal.SIGALRM)

    def attempt(function: Callable[..., Any], *args: Any) -> str:
        try:
            function(*args)
        except raised_here(OSError) as problem:
            return f"caught {type(problem).__name__}"
        return "nothing was raised"

    assert attempt(os.stat, "/no/such/file") == "caught FileNotFoundError"
    assert attempt(throw, TimeoutError()) == "caught TimeoutError"
    assert attempt(os.getpid) == "nothing was raised"
    with pytest.raises(LookupError):
        attempt(throw, LookupError())
    before = signal.signal(signal.SIGALRM, late)
    try:
        with pytest.raises(TimeoutError, match="late"):
            attempt(ring)
    finally:
        signal.signal(signal.SIGALRM, before)


ALARMS = """
import click, itertools, os, signal
class Late({kind}): pass
raised = caught = 0
armed = False
def handler(number, frame):
    global armed, raised
    if armed:
        armed = False  # one at a time: a second one would replace the first
        raised += 1
        raise Late
signal.signal(signal.SIGALRM, handler)
@click.command()
@click.option("--fail", is_flag=True)
def task(fail):
    if fail: raise LookupError
# Import now what only a failure imports: importlib ignores some errors in an import.
task.main([], standalone_mode=False)
try:
    task.main(["--fail"], standalone_mode=False)
except LookupError:
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for turn in itertools.count():
    try:
        try:
            armed = True
            task.main(["--fail"] if turn % 2 else [], standalone_mode=False)
        finally:
            armed = False
    except Late:
        caught += 1
    except LookupError:
        pass
    if raised >= {alarms}:
        break
signal.setitimer(signal.ITIMER_REAL, 0)
print(raised == caught, raised)
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the loop alone loses some there")
@pytest.mark.parametrize("kind", ["Exception", "TimeoutError"])
def test_every_alarm_reaches_the_program_in_a_loop_of_tasks(
    kind: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", ALARMS.format(kind=kind, alarms=1000))
    ended = run_program(script, env={"AUTOTASK_PROCESS": "0"})
    assert ended == Ended(0, "True 1000\n", "")
    ids = [line["run"] for line in lines(home) if line["event"] == "finished"]
    assert len(ids) == len(set(ids))


ALARM_AT_START = """
import click, os, signal, time
class Late(Exception): pass
def handler(number, frame): raise Late
def alarm():
    time.time = real
    os.kill(os.getpid(), signal.SIGALRM)
    return real()
signal.signal(signal.SIGALRM, handler)
real, task = time.time, click.command()(lambda: None)
task.main([], standalone_mode=False)
time.time = alarm
try:
    task.main([], standalone_mode=False)
except Late:
    print("late")
task.main([], standalone_mode=False)
"""


def test_a_command_interrupted_by_an_alarm_at_its_start_has_failed(
    tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", ALARM_AT_START)
    assert run_program(script, env={"AUTOTASK_PROCESS": "0"}) == Ended(0, "late\n", "")
    found = runs(home)  # fails if one ended that never started
    assert [run["status"] for run in found] == ["success", "failure", "success"]
    assert {run["parent"] for run in found} == {None}


TOLD = [
    ({}, ["process .* journalled in .*/journal, sent to udp 127.0.0.1:9", "run .* 'shop' began"]),
    ({}, ["instruments click.core of .*core.py", "run [0-9a-f]{16} ended: success"]),
    ({"AUTOTASK_FRAMEWORKS": "-click,-typer"}, ["excluded: click.core"]),
    ({"AUTOTASK_IGNORE": "sh*"}, ["no run: click task 'shop' is excluded or ignored"]),
    ({"AUTOTASK_FRAMEWORKS": "cllick"}, ["counts as unset: .*'cllick' is not a framework"]),
    ({"AUTOTASK_HOME": "/dev/null"}, ["the journal does not take a line: .*Not a directory"]),
    ({"AUTOTASK_JOURNAL": "0", "AUTOTASK_DOGSTATSD": "0"}, ["journalled nowhere, sent nowhere"]),
]


@pytest.mark.parametrize(("env", "expected"), TOLD, ids=str)
def test_the_debug_log_says_where_the_runs_go(
    env: dict[str, str], expected: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("click")
    source = "import click\n@click.command()\ndef shop(): pass\nshop()\n"
    script = write(tmp_path / "shop.py", source)
    env = {"AUTOTASK_PROCESS": "0", "AUTOTASK_DEBUG": "1", **env}
    ended = run_program(script, env=env)
    assert (ended.status, ended.stdout) == (0, "")
    for line in expected:
        assert re.search(f"^autotask: .*{line}", ended.stderr, re.MULTILINE), ended.stderr
    assert ended.stderr.count("does not take") <= 1
