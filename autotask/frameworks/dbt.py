"""dbt-core 1.5 to 1.12: a run for each node that is executed or skipped, under its unique id."""

from __future__ import annotations

import time

from autotask import recorder
from autotask.frameworks import MESSAGES, PACKAGES, replace
from autotask.guard import guarded
from autotask.run import SKIPPED, SUCCESS, Outcome, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.update(("dbt", "dbt_common", "dbt_extractor"))

_FAILED = ("error", "fail", "runtime error", "partial success")
_SUCCEEDED = ("success", "pass", "warn")
# Runners that execute no node: `dbt compile`, `docs generate`, `dbt show`. And that of one batch of
# a microbatch model (1.9): the run of the model has the result of all batches.
_NO_RUN = (
    *("CompileRunner", "ShowRunner", "SqlCompileRunner", "SqlExecuteRunner"),
    "MicrobatchBatchRunner",
)


def instrument(base: ModuleType) -> None:
    """Instrument `dbt.task.base`: each execution of a node."""
    replace(base.BaseRunner, "run_with_hooks", _around_run)
    replace(base.BaseRunner, "handle_exception", _around_handle)


def instrument_exceptions(exceptions: ModuleType) -> None:
    """Word the exceptions of `dbt.cli.exceptions` with which a command ends: they have no text."""
    MESSAGES[exceptions.ResultExit] = _count_failed
    MESSAGES[exceptions.ExceptionExit] = _text_inside


def _around_run(original: Any) -> Any:
    def autotask_run_with_hooks(self: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        run = _setup(self)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        _executed(self, run, result, began)
        return result

    return autotask_run_with_hooks


def _is_executed(runner: Any) -> bool:
    return type(runner).__name__ not in _NO_RUN


@guarded
def _setup(runner: Any) -> Run | None:
    """Open the run of a node; one that is only compiled into others has none unless it fails."""
    if not _is_executed(runner) or runner.node.is_ephemeral_model:
        return None
    return recorder.begin(runner.node.unique_id, "dbt")


@guarded
def _executed(runner: Any, run: Run | None, result: Any, began: float) -> None:
    outcome = _judged(result, run)
    if run is not None:
        recorder.end(run, outcome)
    elif outcome.status == "failure" and _is_executed(runner) and runner.node.is_ephemeral_model:
        recorder.report(runner.node.unique_id, "dbt", outcome, began)


def _status(result: Any) -> str:
    return str(getattr(result.status, "value", result.status))


def _judged(result: Any, run: Run | None) -> Outcome:
    status = _status(result)
    if status in _SUCCEEDED:
        return SUCCESS
    if status not in _FAILED:  # skipped, no-op, reused (1.12)
        return SKIPPED
    from autotask import failures  # on the failing path only

    kind = run.key if run is not None and isinstance(run.key, str) else status.title()
    message = getattr(result, "message", None)  # the result of a source's freshness may have none
    return failure("exception", error=failures.error(kind, str(message or "")))


def _around_handle(original: Any) -> Any:
    def autotask_handle_exception(self: Any, e: Any, *args: Any, **kwargs: Any) -> Any:
        _note_kind(e)
        try:
            return original(self, e, *args, **kwargs)
        except BaseException as exc:
            recorder.hide_frame(exc)
            raise

    return autotask_handle_exception


@guarded
def _note_kind(exc: BaseException) -> None:
    """Note the type of an exception of which dbt keeps only the text."""
    run = recorder.current()
    if run is not None and run.framework == "dbt":
        run.key = type(exc).__name__


def _count_failed(exc: Any) -> str:
    """Say of how many nodes a command's result consists that failed."""
    results = getattr(exc.result, "results", None)
    if results is None and hasattr(exc.result, "status"):  # --fail-fast: of the first node alone
        results = [exc.result]
    if not results:
        return ""
    statuses = [_status(result) for result in results]
    failed = sum(status in _FAILED for status in statuses)
    if failed:
        return f"{failed} of {_nodes(len(statuses))} failed"
    return f"{statuses.count('skipped')} of {_nodes(len(statuses))} skipped"


def _nodes(number: int) -> str:
    return "1 node" if number == 1 else f"{number} nodes"


def _text_inside(exc: Any) -> str:
    return f"{type(exc.exception).__name__}: {exc.exception}"
