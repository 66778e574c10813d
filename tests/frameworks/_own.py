"""What the tests of Invoke and of doit have in common: a program bare and with the agent."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from support import Ended, Record, run_bare, run_program, without_our_frames

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def heed_interrupts() -> None:
    """Let SIGINT end programs even if the tests run in the background of a shell."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def same(
    *command: str | Path,
    cwd: Path,
    before: Callable[[], object] = lambda: None,
    env: Mapping[str, str | None] | None = None,
    fresh: bool = False,
) -> Ended:
    """Run a program bare and with the agent; fail if the two differ.

    *before* restores the initial state. With *fresh* the bare run has its own Python process.
    """
    before()
    run = partial(run_program, under="bare") if fresh else run_bare
    bare = run(*command, cwd=cwd, env=env)
    before()
    ended = run_program(*command, under="path", cwd=cwd, env=env)
    assert _plain(ended) == _plain(bare)
    return ended


def _plain(ended: Ended) -> Ended:
    out, error = (without_our_frames(text) for text in (ended.stdout, ended.stderr))
    return Ended(ended.status, _ADDRESS.sub("", out), _ADDRESS.sub("", error))


def in_short(runs: list[Record]) -> list[str]:
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
