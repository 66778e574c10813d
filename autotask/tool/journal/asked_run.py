"""Which run a person means by some digits of its id, or by the name of a task."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from autotask.tool.errors import ToolError, meant
from autotask.tool.journal import ownership
from autotask.tool.journal.index import Index

_AMBIGUOUS = 5  # so many of the runs that begin with the same digits are named
# From one name to the next in an index of the table, not through all runs. Comparing takes longer.
_TASKS = """
WITH RECURSIVE name (task) AS (
    SELECT min(task) FROM run
    UNION ALL SELECT (SELECT min(run.task) FROM run WHERE run.task > name.task) FROM name
    WHERE task IS NOT NULL
)
SELECT task FROM name WHERE task IS NOT NULL LIMIT 2000
"""

Match = tuple[str, int]  # a run's id, and its owner in the index


def find(index: Index, asked: str) -> Match:
    """Return the run that is meant: of several users' runs, this user's.

    Digits of an id win over a task of that name, and a name that has an @ over a user's run.
    """
    digits, _, user = asked.partition("@")
    digits = digits.lower()
    is_id = re.fullmatch(r"[0-9a-f]{4,16}", digits) is not None
    matches = _with_id(index, digits, user) if is_id else []
    if len(matches) > 1:
        raise ToolError(f"{digits} is ambiguous: {', '.join(_names(index, matches))}")
    for match in matches or _last_of_task(index, asked):
        return match
    if user and not index.shared:
        raise ToolError(f"{asked!r}: only runs in a shared home have a user")
    task = meant(asked, (task for (task,) in index.rows(_TASKS)))
    hint = f": did you mean {task}?" if task else ""
    if is_id:
        raise ToolError(f"no run{f' of {user}' if user else ''} begins with {digits}{hint}")
    if hint:
        raise ToolError(f"no task {asked}{hint}")
    raise ToolError(
        f"{asked!r} is neither a task that ran nor a run id: 4 to 16 hex digits, as in "
        "`autotask runs`"
    )


def _with_id(index: Index, digits: str, user: str) -> list[Match]:
    # A range, which the index of the table answers, as it would not with LIKE; "g" follows "f".
    statement = (
        "SELECT run, owner FROM run WHERE run >= ? AND run < ? AND started_at IS NOT NULL "
        "ORDER BY run, owner"
    )
    rows = index.rows(statement, (digits, digits + "g"))
    matches = [(str(run), int(owner)) for run, owner in rows if _is_of(owner, user)]
    own = [match for match in matches if index.shared and match[1] == os.geteuid()]
    return own if own and not user else matches


def _last_of_task(index: Index, asked: str) -> Iterator[Match]:
    """Yield the last run of a task; in a shared home also of `TASK@USER`."""
    names = [(asked, "")]
    if index.shared and "@" in asked:
        task, _, user = asked.rpartition("@")
        names.append((task, user))
    for task, user in names:
        valid = task.encode("utf-8", "backslashreplace").decode()  # as the index has it
        # Without owners an index of the table answers it alone.
        own = f"owner = {os.geteuid()} DESC, " if index.shared and not user else ""
        rows = index.rows(
            "SELECT run, owner FROM run WHERE task = ? AND started_at IS NOT NULL "
            f"ORDER BY {own}started_at DESC, rowid DESC {'' if user else 'LIMIT 1'}",
            (valid,),
        )
        for run, owner in rows:
            if _is_of(owner, user):
                yield str(run), int(owner)
                break


def _is_of(owner: int, user: str) -> bool:
    return user in ("", str(owner), ownership.short_name(owner))


def _names(index: Index, matches: list[Match]) -> list[str]:
    shown = matches[:_AMBIGUOUS]
    if not index.shared:
        return [run for run, _ in shown]
    return [f"{run}@{ownership.short_name(owner)}" for run, owner in shown]
