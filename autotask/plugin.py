"""The promised interface of plugins: these names stay as they are, whatever moves behind them.

Around each execution of a task:

- `replace(owner, name, make)`: put a function in the place of one of the framework's. `make` gets
  the original and returns the wrapper, which keeps the original's name, document and signature.
  Begin the wrapper's own name with `autotask_`: before Python 3.11 tracebacks are cleaned by it.
- `start(task, framework, key)`: open a run, before the task begins. Returns None if no run is to be
  recorded (switched off, ignored); all other functions take None and do nothing. `key` is what you
  want to know of it later, as `current().key`; it is forgotten with the end.
- `succeed(run)`: close a run whose task did what it should.
- `fail(run, exc, judge)`: close a run that an exception leaves. Call it in the wrapper's `except`
  clause, before a bare `raise`: it also takes the wrapper's frame out of the traceback. `judge`, if
  the framework has exceptions of its own, makes an `Outcome` of one; ask `raised` for the others.
- `end(run, outcome)`: close a run if the framework knows more than its exception.
- `report(task, framework, outcome, began)`: record a run that is known only at its end. `began` is
  `time.monotonic()` at its start, if that is known.
- `end_child(pid, outcome)`: in a parent that knows why a child process died: end what that child
  has left open. Call it before the death too, if the reason is known only then.
- `died(code)`: the outcome of a child of multiprocessing with this exit code.
- `current()`: the innermost open run of this thread or asyncio task; None outside of all.
- `hide_frame(exc, run)`: take a wrapper's frame out of the traceback if it has no run to close.
  Call it where `fail` is called. `run` is what `report` has returned for this exception, if any.
- `run_behind(exc)`: the failed run that an exception has left already; None if there is none.
- `ContextVar`: the one of `contextvars`, without its import.
- `guarded(function)`: decorate each function of yours that the program gets into, but the wrapper
  itself: its errors go to the debug log, and it returns None.

What a queue knows of an execution, for `start` and `report` as `queued=`:

- `Queued(attempt=, waited=, enqueued_by=)`: which attempt it is, counted from 1; the seconds from
  enqueuing or due time to the start; the id of the run that has asked for it.

What an end was:

- `SUCCESS`, `SKIPPED`: the outcomes of a task that did what it should, or had nothing to do.
- `failure(reason, exit_code=, signal=, error=, caused_by=)`: the outcome of a task that failed. The
  reasons are the journal's: `exception`, `exit`, `usage`, `interrupted`, `signal`, `timeout`,
  `rejected`, `nested`, `lost`.
- `skipped(reason)`: the outcome of an execution that the framework decided against: `expired`,
  `revoked`, `overlap`, `missed`, `locked`, `canceled`, `waiting`, `rate_limited`.
- `retried(outcome)`: the outcome of an attempt that failed so, and that will be tried again.
- `exited(code)`: what `sys.exit(code)` means.
- `raised(exc)`: what an exception means that nothing else is known of.
- `judged(exc, run, outcome)`: what an exception means that your framework swallows, so that `fail`
  never sees it: `nested` if it has left a run inside of `run`, else `outcome`, else as `raised`.
- `nested(inner, outcome)`: the outcome of a run that failed only because the run `inner` in it did.
- `passed_on(outcome, cause)`: the same for a run of which only the id, `cause`, is known.
- `describe(exc)`: the `error` of an exception, with its secrets masked.
- `error(kind, message)`: the same for a failure without an exception.
- `Run`, `Outcome`: the types of these, for annotations.

Names and places:

- `program_name(called)`: the name of a program that was called so, as it stands in front of its
  commands: without its folder and `.py`, or the package of `python -m`.
- `frames_left(exc)`: the frames that an exception has left, innermost last.
- `PACKAGES`: `PACKAGES.add("shop")` names a package of your framework's own, whose frames are never
  an error's `where`.
"""

from __future__ import annotations

from autotask.frameworks import PACKAGES, frames_left, program_name, replace
from autotask.frameworks.deaths import died
from autotask.guard import guarded
from autotask.queued import Queued, retried, skipped
from autotask.recorder import (
    ContextVar,
    current,
    end,
    end_child,
    fail,
    hide_frame,
    judged,
    nested,
    report,
    run_behind,
    start,
    succeed,
)
from autotask.run import (
    SKIPPED,
    SUCCESS,
    Outcome,
    Run,
    describe,
    exited,
    failure,
    passed_on,
    raised,
)

__all__ = [
    "PACKAGES",
    "SKIPPED",
    "SUCCESS",
    "ContextVar",
    "Outcome",
    "Queued",
    "Run",
    "current",
    "describe",
    "died",
    "end",
    "end_child",
    "error",
    "exited",
    "fail",
    "failure",
    "frames_left",
    "guarded",
    "hide_frame",
    "judged",
    "nested",
    "passed_on",
    "program_name",
    "raised",
    "replace",
    "report",
    "retried",
    "run_behind",
    "skipped",
    "start",
    "succeed",
]


def error(kind: str, message: str) -> dict[str, str]:
    """Return an error of a type, with the secrets in its message masked."""
    from autotask import failures  # on the failing path only

    return failures.error(kind, message)
