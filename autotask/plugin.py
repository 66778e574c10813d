"""The promised interface of plugins: these names stay as they are, whatever moves behind them.

Around each execution of a task:

- `replace(owner, name, make)`: put a function in the place of one of the framework's. `make` gets
  the original and returns the wrapper, which keeps the original's name, document and signature.
  Begin the wrapper's own name with `autotask_`: before Python 3.11 tracebacks are cleaned by it.
- `start(task, framework)`: open a run, before the task begins. Returns None if there is no run to
  record (switched off, ignored); all other functions take None and do nothing.
- `succeed(run)`: close a run whose task did what it should.
- `fail(run, exc, judge)`: close a run that an exception leaves. Call it in the wrapper's `except`
  clause, before a bare `raise`: it also takes the wrapper's frame out of the traceback. `judge`, if
  the framework has exceptions of its own, makes an `Outcome` of one; ask `raised` for the others.
- `end(run, outcome)`: close a run if the framework knows more than its exception.
- `report(task, framework, outcome, began)`: record a run that is known only at its end. `began` is
  `time.monotonic()` at its start, if that is known.
- `current()`: the innermost open run of this thread or asyncio task; None outside of all.
- `hide_frame(exc, run)`: take a wrapper's frame out of the traceback if it has no run to close.
  Call it where `fail` is called. `run` is what `report` has returned for this exception, if any.
- `guarded(function)`: decorate each function of yours that the program gets into, but the wrapper
  itself: its errors go to the debug log, and it returns None.

What an end was:

- `SUCCESS`, `SKIPPED`: the outcomes of a task that did what it should, or had nothing to do.
- `failure(reason, exit_code=, signal=, error=, caused_by=)`: the outcome of a task that failed. The
  reasons are the journal's: `exception`, `exit`, `usage`, `interrupted`, `signal`, `nested`.
- `exited(code)`: what `sys.exit(code)` means.
- `raised(exc)`: what an exception means that nothing else is known of.
- `Run`, `Outcome`: the types of these, for annotations.
"""

from __future__ import annotations

from autotask.frameworks import replace
from autotask.guard import guarded
from autotask.recorder import current, end, fail, hide_frame, report, start, succeed
from autotask.run import SKIPPED, SUCCESS, Outcome, Run, exited, failure, raised

__all__ = [
    "SKIPPED",
    "SUCCESS",
    "Outcome",
    "Run",
    "current",
    "end",
    "exited",
    "fail",
    "failure",
    "guarded",
    "hide_frame",
    "raised",
    "replace",
    "report",
    "start",
    "succeed",
]
