"""What the last check has told, in a file of the home: for each choice of tasks by itself.

All that happened until a moment counts as told, and so does what is listed of what came later: a
line of the journal may be read after the check of a later moment, and clocks are set back. So the
last day is looked at again each time. Losing the file tells the last day once more.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from autotask.tool.cron import replacing
from autotask.tool.errors import ToolError
from autotask.tool.troubles.trouble import MISSED, Event, Told

FILE = "checked.json"
_LOCK = "checked.lock"
DAY = 86400.0  # seconds
_MOST = 5000  # events, and tasks, that are listed; of more, the older ones are told by their time
_FORGOTTEN = 90 * DAY  # without a check
_LARGEST = 16 << 20  # bytes
_PATIENCE = 60.0  # seconds for another check, which may be sending mails
_PAUSE = 0.05  # seconds between two tries
# What comes of a file that somebody has damaged.
_ODD_VALUES = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


@contextlib.contextmanager
def alone(home: str) -> Iterator[None]:
    """Keep other checks from reading the file meanwhile: they would tell the same once more.

    Raises:
        OSError: This user cannot write the home.
        ToolError: Another check does not end.
    """
    import fcntl

    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    lock = os.open(os.path.join(home, _LOCK), flags, 0o600)
    try:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise ToolError("another `autotask check` does not end") from None
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(lock)


def choice(tasks: Sequence[str], home: str) -> str:
    """Return the name of a choice of tasks: globs, and the home that is checked if it is another.

    Another user's home is checked by what this user's own home holds.
    """
    return json.dumps([*sorted({*tasks}), *([{"home": home}] if home else [])])


def read(home: str, which: str, now: float) -> Told:
    """Return what the last check of a choice has told; without one, nothing of the last day."""
    try:
        told = _read(home)[which]
        since, until = float(told["since"]), float(told["until"])
        keys = frozenset(map(str, told["told"]))
        missed = {str(task): float(at) for task, at in told["missed"].items()}
    except (OSError, *_ODD_VALUES):
        return Told(now - DAY)
    if not (math.isfinite(since) and math.isfinite(until)):
        return Told(now - DAY)
    if since > now:  # the clock was set back by more than a day
        since = now - DAY
    # What was due in the future was missed by a clock that was wrong.
    return Told(since, keys, {task: at for task, at in missed.items() if at <= now}, until)


def write(home: str, which: str, told: Told, events: Iterable[Event], now: float) -> None:
    """Write that these events have been told, and all that an earlier check has told.

    Raises:
        OSError: The file is as it was.
    """
    try:
        document = _read(home)
    except (OSError, *_ODD_VALUES):
        document = {}
    since = max(told.since, now - DAY)
    recent, missed = [], dict(told.missed)
    for event in events:
        if event.kind == MISSED:
            missed[event.task] = max(event.at, missed.get(event.task, event.at))
        elif event.until > since:
            recent.append((event.until, event.key))
    recent.sort()
    if len(recent) > _MOST:
        since = recent[-_MOST - 1][0]
        recent = recent[-_MOST:]
    document[which] = {
        "since": since,
        "until": now,
        "told": [key for _, key in recent],
        "missed": dict(sorted(missed.items(), key=lambda task: task[1])[-_MOST:]),
    }
    kept = {key: one for key, one in document.items() if _is_recent(one, now)}
    data = json.dumps(kept, indent=1).encode("ascii")
    replacing.replace(os.path.join(home, FILE), data, 0o600)


def _is_recent(one: Any, now: float) -> bool:
    until = one.get("until") if isinstance(one, Mapping) else None
    return isinstance(until, (int, float)) and abs(now - until) < _FORGOTTEN


def _read(home: str) -> dict[str, Any]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(os.path.join(home, FILE), flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError
        document = json.loads(file.read(_LARGEST))
    if not isinstance(document, dict):
        raise ValueError
    return document
