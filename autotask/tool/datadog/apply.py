"""Do what a plan says: several at once, one monitor's trouble its own, in an order that can be cut.

A monitor that takes another's place is there before that one goes; where somebody cuts in between,
the next plan finds two of one key and deletes the one that is not as it is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import NamedTuple

from autotask.tool.datadog import plan
from autotask.tool.datadog.api import Api
from autotask.tool.datadog.transport import AT_ONCE, STOPPED
from autotask.tool.errors import ToolError


class Done(NamedTuple):
    """How one change went."""

    change: plan.Change
    error: str | None = None


def validated(api: Api, changes: Sequence[plan.Change], advance: Callable[[], None]) -> list[Done]:
    """Let Datadog look at all that is to be written, before anything is."""

    def validate(change: plan.Change) -> None:
        if change.wanted is not None:
            api.validate(change.wanted)

    return list(_each(validate, changes, advance))


def apply(
    api: Api, changes: Sequence[plan.Change], done: list[Done], advance: Callable[[], None]
) -> None:
    """Write; *done* grows, so that whoever interrupts knows how far it came."""

    def write(change: plan.Change) -> None:
        if change.action == "delete":
            api.delete(_number(change))
        elif change.action == "change":
            api.update(_number(change), plan.body(change))
        else:
            api.create(plan.body(change))
            if change.action == "replace":
                api.delete(_number(change))

    _each(write, changes, advance, done)


def _number(change: plan.Change) -> int:
    assert change.found is not None
    return int(change.found["id"])


def _each(
    work: Callable[[plan.Change], None],
    changes: Sequence[plan.Change],
    advance: Callable[[], None],
    done: list[Done] | None = None,
) -> list[Done]:
    """Work on all of them, some at once; after Ctrl-C finish those that were begun, and no more."""
    done = [] if done is None else done

    def one(change: plan.Change) -> Done | None:
        if STOPPED.is_set():
            return None
        try:
            work(change)
        except ToolError as problem:
            return Done(change, str(problem))
        return Done(change)

    pool = ThreadPoolExecutor(AT_ONCE)
    futures = {pool.submit(one, change): None for change in changes}
    try:
        for future in as_completed(futures):
            result = future.result()
            if result is not None:
                done.append(result)
            advance()
    except BaseException:
        STOPPED.set()
        pool.shutdown(wait=True)
        finished = [future.result() for future in futures if not future.cancelled()]
        done[:] = [result for result in finished if result is not None]
        raise
    pool.shutdown()
    return done
