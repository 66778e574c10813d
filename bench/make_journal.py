"""Write the journal of N plausible runs, fast: `python bench/make_journal.py 1000000 HOME`.

Thirty tasks over the last ninety days, one process each, some with runs of other tasks inside. The
agent's own functions format the lines.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from autotask import homes, journal
from autotask.run import SKIPPED, SUCCESS, End, Outcome, Run, failure
from autotask.settings import Settings

DAYS = 90
_DUE = (  # name, framework, usual seconds, share of failures
    ("nightly.py", "process", 340.0, 0.02),
    ("manage.db.migrate", "click", 2.1, 0.01),
    ("mail.send", "invoke", 0.4, 0.001),
    ("compile:main.c", "doit", 1.2, 0.05),
    ("clearsessions", "django", 11.0, 0.0),
    ("backup.sh", "process", 950.0, 0.1),
)
_SETTINGS = {"DD_SERVICE": "shop", "DD_ENV": "prod", "DD_VERSION": "1.4.2"}
_SHOPS = ("north", "east", "south", "west", "web")
_ENDS = (
    failure("exit", exit_code=3),
    failure("signal", signal="SIGKILL"),
    failure("usage", exit_code=2),
    failure(
        "exception",
        error={
            "type": "ConnectionError",
            "message": "could not reach db.internal:5432",
            "where": "/srv/shop/jobs.py:118",
        },
    ),
)


def lines(count: int, now: float, chance: random.Random) -> Iterator[tuple[float, str]]:
    """Yield (time, line) of so many runs, nearly in order of time; the last ones are unfinished."""
    step = DAYS * 86400 / count
    outer: Run | None = None
    for number in range(count):
        at = now - DAYS * 86400 + number * step
        name, framework, usual, bad = _DUE[number % len(_DUE)]
        shop = _SHOPS[number // len(_DUE) % len(_SHOPS)]
        run = Run(f"{shop}.{name}", framework)
        run.started, run.trigger = at, "cron"
        if outer is not None and framework != "process":
            run.parent, run.root = outer.id, outer.root
        elif framework == "process":
            outer = run
        place = _place(1000 + number % 60000, shop)
        yield at, journal.started_line(run, place)
        duration = usual * chance.lognormvariate(0, 0.3)
        if at + duration < now:
            outcome = _outcome(framework, bad, chance)
            yield (
                at,
                journal.finished_line(
                    run, End(outcome, at + duration, duration, duration / 3, 48 << 20)
                ),
            )


def _outcome(framework: str, bad: float, chance: random.Random) -> Outcome:
    if chance.random() < bad:
        return chance.choice(_ENDS)
    return SKIPPED if framework == "doit" and chance.random() < 0.6 else SUCCESS


def _place(pid: int, shop: str) -> str:
    process = f"0c8f1f9e-3f0b-4d43-9a3c-2d9f5e7a1b20/4026531836/{pid * 31}"
    return journal.process_fields(
        pid, process, "worker-1", "3.12.1", Settings({**_SETTINGS, "AUTOTASK_TAGS": f"team:{shop}"})
    )


def write(count: int, home: str) -> None:
    """Write the segments; each line goes to that of the hour in which its run started."""
    folder = os.path.join(home, "journal")
    homes.make_folder(folder)
    file, name = None, ""
    for at, line in lines(count, time.time(), random.Random(7)):
        if journal.segment(at) != name:
            name = journal.segment(at)
            if file is not None:
                file.close()
            file = open(os.path.join(folder, name), "a", encoding="ascii")
        assert file is not None
        file.write(line + "\n")
    if file is not None:
        file.close()


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[1].isdigit():
        sys.exit("usage: make_journal.py N HOME")
    write(int(sys.argv[1]), sys.argv[2])
