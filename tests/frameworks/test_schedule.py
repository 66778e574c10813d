"""schedule: which of its jobs ran, under which names, and how they ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from frameworks._own import in_short, same
from support import run_program, runs, write

schedule = pytest.importorskip("schedule")

JOBS = """
import datetime, functools, sys, traceback
import schedule

def returns(*args): return args
def raises(): raise ValueError("boom")
def exits(code): sys.exit(code)
def is_interrupted(): raise KeyboardInterrupt
def cancels(): return schedule.CancelJob
def caught(function):
    @functools.wraps(function)
    def catching():
        try: return function()
        except ValueError: return schedule.CancelJob
    return catching
class Shop:
    def close(self): pass
    def __call__(self): pass
def due(function, *args, late=10):
    job = schedule.every(1).hours.do(function, *args)
    job.next_run = datetime.datetime.now() - datetime.timedelta(seconds=late)
    return job
def attempt(function, *args):
    schedule.clear()
    job = due(function, *args)
    try:
        schedule.run_pending()
    except BaseException as problem:
        traceback.print_exc()
        print(repr(problem))
    print(schedule.jobs == [job], job.last_run is None)
"""

# A line of the program, and the runs that it leads to.
ROWS = {
    "attempt(returns)": ["returns success"],
    "attempt(returns, 1, 2)": ["returns success"],
    "attempt(raises)": ["raises failure exception ValueError"],
    "attempt(exits, 3)": ["exits failure exit 3"],
    "attempt(exits, 0)": ["exits success"],
    "attempt(exits, 'no stock')": ["exits failure exit 1 SystemExit"],
    "attempt(is_interrupted)": ["is_interrupted failure interrupted"],
    "attempt(cancels)": ["cancels success"],
    "attempt(caught(raises))": ["raises success"],  # nobody sees what it has caught
    "attempt(Shop().close)": ["Shop.close success"],
    "attempt(Shop())": ["Shop success"],
    "attempt(lambda: None)": ["<lambda> success"],
    "attempt(functools.partial(returns, 1))": ["returns success"],
    "attempt(print)": ["print success"],
    "from unittest.mock import Mock; attempt(Mock(return_value=1))": ["Mock success"],
    # kinds of calls
    "schedule.every().day.do(returns); schedule.run_pending()": [],
    "schedule.every().day.do(returns); schedule.run_all()": ["returns success"],
    # an exception keeps the jobs behind it waiting
    """
first, second = due(raises, late=20), due(returns)
try: schedule.run_pending()
except ValueError: print(first.last_run, second.last_run)
""": ["raises failure exception ValueError"],
    "print(schedule.every().day.do(returns, 7).run())": ["returns success"],
    "print(due(returns).run())\nschedule.run_pending()": ["returns success"],
    # the job has run, but has no next time
    """
job = due(returns)
job.unit = "fortnights"
try: job.run()
except schedule.ScheduleValueError as problem: traceback.print_exc()
""": ["returns failure exception ScheduleValueError"],
}
# `until` and `repeat`
SINCE_1_1 = {
    "print(schedule.every().day.until('2100-01-01').do(returns).run())": ["returns success"],
    "schedule.repeat(schedule.every().day)(returns); schedule.run_all()": ["returns success"],
    # its deadline has passed: schedule drops it
    """
job = due(returns)
job.cancel_after = datetime.datetime.now() - datetime.timedelta(seconds=1)
schedule.run_pending()
print(schedule.jobs, job.last_run)
""": ["returns skipped expired"],
    # it passes with this run, which is the last one
    """
job = due(returns)
job.cancel_after = datetime.datetime.now() + datetime.timedelta(seconds=1000)
schedule.run_pending()
print(schedule.jobs, job.last_run is None)
""": ["returns success"],
}
if hasattr(schedule, "repeat"):
    ROWS.update(SINCE_1_1)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder in which only jobs are runs."""
    monkeypatch.setenv("AUTOTASK_PROCESS", "0")
    return tmp_path


@pytest.mark.parametrize("line", ROWS)
def test_a_job_ends_as_without_the_agent_and_its_run_is_recorded(
    line: str, project: Path, home: Path
) -> None:
    same(write(project / "jobs.py", JOBS + line), cwd=project)
    assert in_short(runs(home)) == ROWS[line]


def test_a_run_has_its_framework_its_place_and_how_late_it_was(project: Path, home: Path) -> None:
    early_one = "schedule.clear(); schedule.every().day.do(returns); schedule.run_all()"
    program = write(project / "jobs.py", f"{JOBS}attempt(raises)\n{early_one}\n")
    run_program(program, cwd=project)
    raised, early = runs(home)
    assert raised["framework"] == early["framework"] == "schedule"
    line = 1 + JOBS.splitlines().index('def raises(): raise ValueError("boom")')
    assert raised["error"]["where"] == f"{program}:{line}"
    assert raised["waited"] >= 10
    assert "waited" not in early  # before its time
    assert "attempt" not in raised


def test_a_module_of_the_users_that_has_the_same_name_is_left_alone(
    project: Path, home: Path
) -> None:
    write(
        project / "schedule.py",
        """
        import autotask
        class Job:
            def run(self): return "own"
        @autotask.task(name="job")
        def work(): raise ValueError("boom")
        """,
    )
    same(
        write(project / "main.py", "import schedule\nprint(schedule.Job().run())\nschedule.work()"),
        cwd=project,
    )
    (run,) = runs(home)
    assert run["framework"] == "function"
    assert run["error"]["where"] == f"{project / 'schedule.py'}:6"


def test_recording_of_schedule_can_be_turned_off(project: Path, home: Path) -> None:
    program = write(project / "jobs.py", JOBS + "attempt(raises)")
    same(program, cwd=project, env={"AUTOTASK_FRAMEWORKS": "-schedule"})
    same(program, cwd=project, env={"AUTOTASK_IGNORE": "rais*"})
    assert runs(home) == []
