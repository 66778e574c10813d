"""What the tests of Invoke and of doit have in common: a program bare and with the agent."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from support import Ended, Record, run_program

# A frame of ours in a traceback, with the code and the marks below it.
_FRAME = re.compile(r'  File "[^"]*/autotask/\w+/\w+\.py", line \d+, in autotask_\w+\n(    .*\n)+')
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def heed_interrupts() -> None:
    """Let programs be ended by SIGINT also where the tests run in a shell's background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def same(
    *command: str | Path,
    cwd: Path,
    before: Callable[[], object] = lambda: None,
    env: Mapping[str, str | None] | None = None,
    frames: int = 1,
) -> Ended:
    """Run a program bare and with the agent; fail where the two differ.

    *before* makes things as they were; *frames* of ours may stand in a traceback.
    """
    before()
    bare = run_program(*command, under="bare", cwd=cwd, env=env)
    before()
    ended = run_program(*command, under="path", cwd=cwd, env=env)
    error, found = _FRAME.subn("", ended.stderr)
    out, printed = _FRAME.subn("", ended.stdout)
    assert found + printed <= frames * ended.stderr.count("Traceback (most"), ended.stderr
    assert _plain(ended.status, out, error) == _plain(bare.status, bare.stdout, bare.stderr)
    return ended


def _plain(status: int, out: str, error: str) -> tuple[int, str, str]:
    return status, _ADDRESS.sub("", out), _ADDRESS.sub("", error)


def told(runs: list[Record]) -> list[str]:
    """Write runs in short: `TASK STATUS REASON CODE SIGNAL ERROR by CAUSE in PARENT`."""
    names = {run["run"]: run["task"] for run in runs}
    return [_short(run, names) for run in runs]


def _short(run: Record, names: Mapping[str, str]) -> str:
    words = [run["task"], run["status"]]
    words += [str(run[key]) for key in ("reason", "exit_code", "signal") if key in run]
    if "error" in run:
        words.append(run["error"]["type"])
    if "caused_by" in run:
        words.append(f"by {names[run['caused_by']]}")
    if run.get("parent"):
        words.append(f"in {names[run['parent']]}")
    return " ".join(words)
