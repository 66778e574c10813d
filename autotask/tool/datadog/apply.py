"""Carry out a plan: several requests at once, and a failed one does not stop the others.

It can be interrupted at any point. A replacement is created before the old monitor is deleted; if
it stops in between, the next plan finds two monitors with one key, and deletes the outdated one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import NamedTuple

from autotask.tool.datadog import plan, queries
from autotask.tool.datadog.api import Api
from autotask.tool.datadog.baselines import Task
from autotask.tool.datadog.transport import AT_ONCE, STOPPED
from autotask.tool.errors import ToolError


class Result(NamedTuple):
    """How one change went."""

    change: plan.Change
    error: str | None = None


def validate(api: Api, changes: Sequence[plan.Change], advance: Callable[[], None]) -> list[Result]:
    """Let Datadog check all definitions before anything is written."""

    def validate_one(change: plan.Change) -> None:
        if change.desired is not None:
            api.validate(change.desired)

    results: list[Result] = []
    _for_each(validate_one, changes, advance, results)
    return results


def announce(api: Api, changes: Iterable[plan.Change], tasks: Iterable[Task]) -> None:
    """Send a count of 0 for tasks that never ran: Datadog only misses a series that it has seen.

    Do it before the changes: an `apply` that was interrupted repeats it.
    """
    names = {f"task:{task.name}" for task in tasks}
    created = [
        change.desired
        for change in changes
        if change.action in ("create", "replace") and change.desired
    ]
    awaited = [queries.awaited_by(new) for new in created if names.isdisjoint(new["tags"])]
    # A task may have several monitors.
    series = dict.fromkeys(tuple(tags) for tags in awaited if tags)
    api.seed("autotask.task.runs", list(series))


def apply(
    api: Api,
    changes: Sequence[plan.Change],
    results: list[Result],
    advance: Callable[[], None],
) -> None:
    """Make the changes; *results* grows, so that it is complete even after an interruption."""

    def write(change: plan.Change) -> None:
        if change.action == "delete":
            api.delete(_current_id(change))
        elif change.action == "change":
            api.update(_current_id(change), plan.body(change))
        else:
            api.create(plan.body(change))
            if change.action == "replace":
                api.delete(_current_id(change))

    _for_each(write, changes, advance, results)


def _current_id(change: plan.Change) -> int:
    assert change.current is not None
    return int(change.current["id"])


def _for_each(
    work: Callable[[plan.Change], None],
    changes: Sequence[plan.Change],
    advance: Callable[[], None],
    results: list[Result],
) -> None:
    """Work on all changes, some at once; after Ctrl-C only finish those that were started."""

    def attempt(change: plan.Change) -> Result | None:
        if STOPPED.is_set():
            return None
        try:
            work(change)
        except ToolError as problem:
            return Result(change, str(problem))
        return Result(change)

    pool = ThreadPoolExecutor(AT_ONCE)
    futures = {pool.submit(attempt, change): None for change in changes}
    try:
        for future in as_completed(futures):
            result = future.result()
            if result is not None:
                results.append(result)
            advance()
    except BaseException:  # Ctrl-C: requests that were sent must be waited for, to be reported
        STOPPED.set()
        pool.shutdown(wait=True)
        finished = [future.result() for future in futures if not future.cancelled()]
        results[:] = [result for result in finished if result is not None]
        raise
    pool.shutdown()
