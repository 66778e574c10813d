"""A SIGKILL at any moment leaves the old crontab or the new one, and a door where one is named."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import INSTALLED, write
from tool.cron.machines import Machine, isolated, stand_in

# Changes a crontab again and again, killed at each line of ours from the first write on, or at some
# of them; says what was there after each time. It forks, so that Python starts once.
KILLER = """
import os, shutil, subprocess, sys
from autotask.tool import command_line
from autotask.tool.cron import changes, door, install, replacing, run_parts_door, unwatch, watch

action, file, old, listing, doors, step = sys.argv[1:]
OURS = {module.__file__ for module in (changes, door, install, replacing, run_parts_door)}
OURS |= {sys.modules["autotask.tool.cron." + name].__file__ for name in ("tables", "watch")}

def reset():
    shutil.rmtree(os.environ["AUTOTASK_HOME"], ignore_errors=True)
    shutil.rmtree(doors, ignore_errors=True)
    if action == "unwatch":
        door.write(doors, "/bin/sh")
    if listing:
        subprocess.run(["crontab", old], check=True)
    else:
        with open(old, "rb") as source, open(file, "wb") as target:
            target.write(source.read())

def text():
    words = ["crontab", "-l"] if listing else ["cat", file]
    return subprocess.run(words, stdout=subprocess.PIPE).stdout

def killed_at(number):
    lines, writing = 0, False
    def trace(frame, event, arg):
        nonlocal lines, writing
        if frame.f_code.co_filename not in OURS:
            return None
        writing = writing or frame.f_code.co_name in ("_write_doors", "carry_out")
        if event == "line" and writing:
            lines += 1
            if lines == number:
                os.kill(os.getpid(), 9)
        return trace
    sys.settrace(trace)

number = 1 - int(step)
while True:
    number += int(step)
    reset()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        killed_at(number)
        status = command_line.run(["cron", action, "--yes", *([file] if not listing else [])])
        os._exit(status)
    _, status = os.waitpid(child, 0)
    left = text()
    assert b"SHELL" not in left or door.problem(f"{doors}/shell") is None
    print(status, left.hex(), flush=True)
    if status != 9:
        break
"""
STEP = "1" if os.environ.get("FAULTS") == "all" else "5"
JOBS = b"# mine\n5 * * * * job\n"
SYSTEM = b"# mine\n5 * * * * root job\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with isolated(tmp_path) as machine:
        yield machine


def changed(text: bytes, machine: Machine) -> bytes:
    return f"SHELL={machine.doors}/shell\n".encode() + text


def states(machine: Machine, action: str, old: bytes, file: str = "") -> list[bytes]:
    """Kill the command at each line; return what was there, at last what it leaves if it ends."""
    killer = write(machine.folder / "killer.py", KILLER)
    start = machine.folder / "old"
    start.write_bytes(old)
    env = {"PYTHONPATH": str(INSTALLED)}
    words = (
        sys.executable,
        killer,
        action,
        file,
        start,
        "" if file else "list",
        machine.doors,
        STEP,
    )
    ended = machine.run(*words, env=env)
    rows = [line.split(" ") for line in ended.stdout.splitlines()]
    assert [row[0] for row in rows] == ["9"] * (len(rows) - 1) + ["0"], ended.stderr
    return [bytes.fromhex(row[1]) for row in rows]


@pytest.mark.parametrize("action", ["watch", "unwatch"])
def test_a_users_crontab_is_the_old_or_the_new_one(action: str, machine: Machine) -> None:
    if not machine.prefix or shutil.which("crontab") is None:
        folder = machine.folder / "bin"
        stand_in(folder)
        machine.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    new = changed(JOBS, machine)
    old, new = (JOBS, new) if action == "watch" else (new, JOBS)
    left = states(machine, action, old)
    assert set(left) == {old, new}
    first = left.index(new)
    assert set(left[first:]) == {new}
    assert 1 < first < len(left) - 2


@pytest.mark.parametrize("action", ["watch", "unwatch"])
def test_a_system_crontab_is_the_old_or_the_new_one(action: str, machine: Machine) -> None:
    file = machine.folder / "cron.d" / "job"
    file.parent.mkdir()
    new = changed(SYSTEM, machine)
    old, new = (SYSTEM, new) if action == "watch" else (new, SYSTEM)
    left = states(machine, action, old, str(file))
    assert set(left) == {old, new}
    first = left.index(new)
    assert set(left[first:]) == {new}
    # cron ignores what else is there.
    assert {name for name in os.listdir(file.parent) if "." not in name} == {"job"}
