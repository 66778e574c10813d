"""Airflow 2.10 to 3.3: a run for each attempt at a task, in the process that executes it."""

from __future__ import annotations

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.queued import Queued, retried, skipped
from autotask.run import SKIPPED, SUCCESS, Outcome, describe, failure, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("airflow")

_WAITING = ("deferred", "up_for_reschedule")  # a trigger or the scheduler starts it once more
_FAILED = ("failed", "up_for_retry", "upstream_failed")


def instrument(runner: ModuleType) -> None:
    """Instrument `airflow.sdk.execution_time.task_runner` of Airflow 3."""
    replace(runner, "run", _around_run)


def instrument_models(models: ModuleType) -> None:
    """Instrument `airflow.models.taskinstance` of Airflow 2; in 3 it executes nothing."""
    replace(models, "_run_raw_task", _around_raw)


def _around_run(original: Any) -> Any:
    def autotask_run(ti: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(ti)
        try:
            result = original(ti, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc, _judged)
            raise
        _executed(run, result)
        return result

    return autotask_run


def _around_raw(original: Any) -> Any:
    def autotask_run_raw_task(ti: Any, *args: Any, **kwargs: Any) -> Any:
        run = _setup(ti)
        try:
            result = original(ti, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc, lambda exc: _in_state(ti.state, exc))
            raise
        _executed(run, (ti.state, None, None))
        return result

    return autotask_run_raw_task


@guarded
def _setup(ti: Any) -> Run | None:
    queued = Queued(attempt=max(ti.try_number, 1))  # `tasks test` counts none
    return recorder.begin(f"{ti.dag_id}.{ti.task_id}", "airflow", queued=queued)


@guarded
def _executed(run: Run | None, result: Any) -> None:
    """Close a run in the state that Airflow has given to the attempt."""
    state, _, exc = result
    if run is not None:
        recorder.end(run, _in_state(state, exc, run))


def _in_state(state: Any, exc: BaseException | None, run: Run | None = None) -> Outcome:
    name = str(getattr(state, "value", state))
    if name in _WAITING or type(exc).__name__ == "TaskDeferred":  # 2: passed on by `dags test`
        return skipped("waiting")
    if name == "skipped":
        return SKIPPED
    if exc is None:
        return failure("exception") if name in _FAILED else SUCCESS
    outcome = recorder.judged(exc, run, _judged(exc))
    if outcome.status != "failure":  # 3: sys.exit(0) in a task fails it
        outcome = failure("exception", error=describe(exc))
    return retried(outcome) if name == "up_for_retry" else outcome


def _judged(exc: BaseException) -> Outcome:
    """Judge what an exception means; Airflow has some of its own."""
    kind = type(exc).__name__
    if kind == "AirflowTaskTimeout":  # execution_timeout
        return failure("timeout")
    if kind == "AirflowTaskTerminated":  # 2: SIGTERM; 3 ends the process
        return failure("signal", signal="SIGTERM")
    if kind == "AirflowException" and isinstance(exc.__context__, SystemExit):  # 2
        return raised(exc.__context__)
    return raised(exc)
