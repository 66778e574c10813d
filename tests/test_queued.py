"""What queues and schedulers tell: attempts, waiting, links; children that died; servers."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

import pytest
from support import (
    PYTHON,
    TEMPLATE,
    Datagrams,
    Under,
    lines,
    only_run,
    run_program,
    runs,
    start_program,
    write,
)

from autotask import naming
from autotask.command_name import innermost_name

# A queue of one worker: a plugin's program is the shortest way to what the frameworks' modules use.
QUEUE = """
from autotask import recorder
from autotask.queued import Queued, retried, skipped
from autotask.run import failure
def work(outcome, **known):
    run = recorder.start("mail", "shop", queued=Queued(**known))
    recorder.end(run, outcome)
"""


def test_what_a_queue_knows_is_in_the_journal_and_on_the_wire(
    tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    program = write(
        tmp_path / "shop.py",
        QUEUE + 'work(failure("timeout"), attempt=3, waited=2.5, enqueued_by="0123456789abcdef")',
    )
    assert run_program(program, env={"AUTOTASK_PROCESS": "0"}).stderr == ""
    run = only_run(home)
    assert (run["attempt"], run["waited"]) == (3, 2.5)
    assert run["enqueued_by"] == "0123456789abcdef"
    assert (run["status"], run["reason"]) == ("failure", "timeout")
    assert datagrams.lines("autotask.task.waited") == [
        "autotask.task.waited:2.500000|d|#task:mail,framework:shop"
    ]


UNKNOWN = {
    "nothing": ("", set()),
    "an attempt alone": ("attempt=1", {"attempt"}),
    "a clock that is behind": ("waited=-3.0", {"waited"}),
    "what is no run": ('enqueued_by="no run"', set()),
}


@pytest.mark.parametrize(("known", "fields"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_a_queue_does_not_know_is_left_out(
    known: str, fields: set[str], tmp_path: Path, home: Path
) -> None:
    program = write(tmp_path / "shop.py", QUEUE + f"work(skipped('expired'), {known})")
    assert run_program(program, env={"AUTOTASK_PROCESS": "0"}).stderr == ""
    run = only_run(home)
    assert {"attempt", "waited", "enqueued_by"} & run.keys() == fields
    assert run.get("waited", 0.0) == 0.0


ENDS = {
    "retried": ('retried(failure("exit", exit_code=3))', "retried", "exit", True),
    "skipped": ('skipped("overlap")', "skipped", "overlap", False),
}


@pytest.mark.parametrize(("outcome", "status", "reason", "takes_time"), ENDS.values(), ids=ENDS)
def test_what_will_be_tried_again_or_was_not_done_wakes_nobody(
    outcome: str,
    status: str,
    reason: str,
    takes_time: bool,
    tmp_path: Path,
    home: Path,
    datagrams: Datagrams,
) -> None:
    program = write(tmp_path / "shop.py", QUEUE + f"work({outcome})")
    assert run_program(program, env={"AUTOTASK_PROCESS": "0"}).stderr == ""
    run = only_run(home)
    assert (run["status"], run["reason"]) == (status, reason)
    sent = datagrams.lines()
    (count,) = [line for line in sent if line.startswith("autotask.task.runs")]
    assert f"status:{status},reason:{reason}" in count
    assert any(line.startswith("autotask.task.duration") for line in sent) is takes_time
    assert not [line for line in sent if line.startswith("_")]  # no service check, no event


# A parent that knows why its child died; the child runs a task inside another one.
PARENT = """
import os, signal, sys, time
from autotask import recorder
from autotask.run import failure
def child():
    outer = recorder.start("outer", "shop")
    inner = recorder.start("inner", "shop")
    os.write(writing, b"x")
    time.sleep(600)
root = recorder.start("worker", "shop")
reading, writing = os.pipe()
pid = os.fork()
if not pid:
    child()
os.read(reading, 1)
def kill():
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
{body}
recorder.succeed(root)
"""
KNOWN = 'recorder.end_child(pid, failure("signal", signal="SIGKILL"))'
TIMED_OUT = 'recorder.end_child(pid, failure("timeout"))'
DEATHS = {
    "told after the death": (f"kill(); {KNOWN}", "signal"),
    "told twice": (f"kill(); {KNOWN}; {TIMED_OUT}", "signal"),
    "told before the death": (f"{TIMED_OUT}; kill(); recorder.end_child(pid)", "timeout"),
    "told before and otherwise after": (f"{TIMED_OUT}; kill(); {KNOWN}", "timeout"),
    "told without a reason": (f"kill(); recorder.end_child(pid); {KNOWN}", "signal"),
}


@pytest.mark.parametrize("under", ["path", "launcher"])
@pytest.mark.parametrize(("body", "reason"), DEATHS.values(), ids=DEATHS)
def test_a_parent_ends_the_runs_of_its_dead_child(
    body: str, reason: str, under: Under, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    program = write(tmp_path / "shop.py", PARENT.format(body=body))
    assert run_program(program, under=under).stderr == ""
    by_name = {run["task"]: run for run in runs(home)}
    inner, outer = by_name["inner"], by_name["outer"]
    assert (inner["status"], inner["reason"]) == ("failure", reason)
    assert (outer["reason"], outer["caused_by"]) == ("nested", inner["run"])
    assert by_name["worker"]["status"] == "success"
    assert len(datagrams.lines("autotask.task.runs:1|c|#task:inner")) == 1
    assert list((home / "open").iterdir()) == []


def test_a_child_that_was_told_dead_and_goes_on_ends_its_runs_itself(
    tmp_path: Path, home: Path
) -> None:
    body = f"{TIMED_OUT}"
    text = PARENT.format(body=body).replace(
        "time.sleep(600)", "recorder.succeed(inner); os._exit(0)"
    )
    text = text.replace("os.read(reading, 1)", "os.waitpid(pid, 0)")
    assert run_program(write(tmp_path / "shop.py", text)).stderr == ""
    by_name = {run["task"]: run["status"] for run in runs(home)}
    assert by_name["inner"] == "success"


def test_a_launcher_leaves_the_dead_to_their_parent_for_a_while(tmp_path: Path, home: Path) -> None:
    looks = tmp_path / "looks"  # a byte for each of the launcher's looks
    looks.touch()
    body = f"""
kill()
first = os.stat({str(looks)!r}).st_size
while os.stat({str(looks)!r}).st_size < first + {{looks}}: time.sleep(0.01)
{KNOWN}
"""
    change = (
        "import sys; sys.path.append(sys.argv.pop(1));"
        "from autotask.around import launch, supervise, tail;"
        "supervise.TICK = supervise.LOOK = float(sys.argv.pop(1));"
        "look = tail.Tail.close_long_lost;"
        "tail.Tail.close_long_lost = "
        f"lambda self: (look(self), open({str(looks)!r}, 'a').write('.'));"
        "launch.main()"
    )
    # The parent needs some time, on a busy machine more than between two quick looks.
    for wait, tick, reason in ((0, "5", "signal"), (3, "0.05", "lost")):
        program = write(tmp_path / f"shop{wait}.py", PARENT.format(body=body.format(looks=wait)))
        words: list[str | Path] = [
            PYTHON,
            "-I",
            "-S",
            "-c",
            change,
            str(TEMPLATE.parent),
            tick,
            "px",
            PYTHON,
            program,
        ]
        assert run_program(*words, under="bare").stderr == ""
        (inner,) = [run for run in runs(home)[-4:] if run["task"] == "inner"]
        assert inner["reason"] == reason


def test_a_worker_that_runs_for_long_has_one_mark_which_is_young(
    tmp_path: Path, home: Path
) -> None:
    program = write(
        tmp_path / "shop.py",
        QUEUE
        + """
import os
recorder._RENEWED = -1.0
for _ in range(3):
    work(skipped())
    print(os.listdir(os.environ["AUTOTASK_HOME"] + "/open"), flush=True)
run = recorder.start("mail", "shop")
os.kill(os.getpid(), 9)
""",
    )
    done = run_program(program, env={"AUTOTASK_PROCESS": "0"})
    assert done.stderr == ""
    seen = done.stdout.splitlines()
    assert len(seen) == len(set(seen)) == 3
    assert all(text.count("-") == 1 for text in seen)  # one mark at a time
    (mark,) = (home / "open").iterdir()
    last = [line for line in lines(home) if line["event"] == "started"][-1]
    assert mark.name.endswith(last["run"])
    offset = int(mark.read_text().partition('"offset":')[2].partition("}")[0].partition(",")[0])
    (segment,) = (home / "journal").iterdir()
    assert last["run"] in segment.read_text()[offset:].splitlines()[0]


def test_a_worker_whose_mark_somebody_removes_records_its_next_run(
    tmp_path: Path, home: Path
) -> None:
    program = write(
        tmp_path / "shop.py",
        QUEUE
        + """
import os, shutil
recorder._RENEWED = -1.0
work(skipped())
shutil.rmtree(os.environ["AUTOTASK_HOME"] + "/open")
work(skipped())
""",
    )
    done = run_program(program, env={"AUTOTASK_PROCESS": "0"})
    assert done.stderr == ""
    assert len(runs(home)) == 2


SERVING = """
import signal, sys, time, click
@click.group()
def cli(): pass
@cli.command()
def run():
    {body}
    print("serving", flush=True)
    time.sleep(600)
cli()
"""
STOPS = {
    "SIGTERM": ("pass", signal.SIGTERM),
    "SIGINT": ("pass", signal.SIGINT),
    "an orderly end": ("signal.signal(15, lambda *_: sys.exit(0))", signal.SIGTERM),
    "exit 143": ("signal.signal(15, lambda *_: sys.exit(143))", signal.SIGTERM),
}


@pytest.mark.parametrize("under", ["path", "launcher"])
@pytest.mark.parametrize(("body", "number"), STOPS.values(), ids=STOPS)
def test_a_server_that_is_stopped_has_succeeded(
    body: str, number: int, under: Under, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    program = write(tmp_path / "flask", "#!/bin/sh\n")
    program.write_text(f"#!{PYTHON}\n" + SERVING.format(body=body))
    program.chmod(0o755)
    with start_program(program, "run", under=under, stdout=-1, stderr=-3) as server:
        assert server.stdout is not None
        assert server.stdout.readline()
        server.send_signal(number)
        server.wait()
    if under == "path" and number == signal.SIGTERM and body == "pass":
        return  # nobody sees a death by SIGTERM from inside
    process, task = runs(home)
    assert (process["server"], task["server"]) == (True, True)
    assert (process["task"], task["task"]) == ("flask", "flask.run")
    assert (process["status"], task["status"]) == ("success", "success")
    assert not [
        line for line in datagrams.lines("_") if not line.startswith("_sc|autotask.task.status|0")
    ]


@pytest.mark.parametrize("under", ["path", "launcher"])
def test_a_server_that_is_stopped_while_a_task_runs_has_succeeded(
    under: Under, tmp_path: Path, home: Path
) -> None:
    program = write(
        tmp_path / "uvicorn.py",
        "import autotask, os\nautotask.task(name='inner')(os.kill)(os.getpid(), 2)\n",
    )
    run_program(program, under=under)
    process, inner = runs(home)
    assert (process["task"], process["status"]) == ("uvicorn.py", "success")
    assert (inner["status"], inner["reason"]) == ("failure", "interrupted")


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGHUP, "failure"), (signal.SIGQUIT, "failure"), (signal.SIGTERM, "success")],
)
def test_a_server_that_crashes_after_it_was_to_reload_has_failed(
    number: int, status: str, tmp_path: Path, home: Path
) -> None:
    program = write(
        tmp_path / "uvicorn.py",
        f"""
import os, signal, sys
signal.signal({number}, signal.SIG_IGN)
os.kill(os.getppid(), {number})
sys.exit(1)
""",
    )
    run_program(program, under="launcher")
    (process,) = runs(home)
    assert process["status"] == status


COMMANDS = {
    "uvicorn shop:app": True,
    "flask --app shop run -p 8000": True,
    "flask --app shop db-upgrade": False,
    "python -m http.server": True,
    "python manage.py migrate": False,
    "nice -n 5 gunicorn shop:app": True,
    "sh -c 'exec uvicorn shop:app'": True,
    "python uvicorn.py": True,
    "echo uvicorn": False,
    "bundle exec puma -C config/puma.rb": True,
    "bin/rails server -p 3000": True,
    "bin/rails db:migrate": False,
    "bundle exec rake -s jobs:work": True,
    "cap production puma": False,
}


@pytest.mark.parametrize(("command", "expected"), COMMANDS.items(), ids=COMMANDS)
def test_a_server_is_known_by_its_command(command: str, expected: bool) -> None:
    words = shlex.split(command)
    assert naming.serves(naming.name_of(words, innermost_name), words) is expected
