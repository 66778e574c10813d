"""An alarm of the program reaches it, wherever we catch our own errors.

A handler of the program may raise a TimeoutError, which is an OSError. Each of our `try`s that
could catch one is found in the source. A signal comes just there, and its handler raises.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import ALARM, Server, make_tree_of_alarms
from support import write
from test_faults import (
    ENDINGS,
    ENVIRONMENTS,
    FUNCTIONS_ENV,
    MODULES_WITH_FAULTS,
    PROGRAMS,
    write_programs,
)

pytestmark = pytest.mark.checkout

_TASK = "\nimport shop_jobs; from shop_lib import attempt; attempt('task', shop_jobs.plain, 3)\n"
# Besides those of test_faults.py, for what comes too early there, or cannot be observed. They
# come first, because they are the shortest.
MORE_PROGRAMS: dict[str, tuple[str, dict[str, str]]] = {
    "first task": (_TASK, {**FUNCTIONS_ENV, "AUTOTASK_PROCESS": "0"}),
    "stderr is seen": (_TASK, {**FUNCTIONS_ENV, "AUTOTASK_JOURNAL": "stderr"}),
    "full for a while": (
        "\nimport resource, shop_jobs; from resource import RLIMIT_FSIZE, setrlimit\n"
        "setrlimit(RLIMIT_FSIZE, (600, -1))\n"
        "try: shop_jobs.slow()\n"
        "finally: setrlimit(RLIMIT_FSIZE, (-1, -1))\n" + ENDINGS["leaves"],
        PROGRAMS["full"][1],
    ),
}
# Without the frameworks that have environments of their own: their wrappers are like the others'.
ALL_PROGRAMS = {
    name: program
    for name, program in {**MORE_PROGRAMS, **PROGRAMS}.items()
    if name not in ENVIRONMENTS
}

_BEFORE = "runs before the program can have a handler"
_THREAD = "runs in another thread"
UNREACHED = {
    "autotask.frameworks.apscheduler:_around_terminate_broken.autotask_terminate_broken"
    " except BaseException": _THREAD,
    "autotask.frameworks.rq:_around_kill_horse.autotask_kill_horse except BaseException": _THREAD,
    "autotask.boot_id:_read except raised_here(OSError)": "needs a machine that hides /proc/sys",
    "autotask.dogstatsd:Wire._resolve except (OSError, UnicodeError)": _THREAD,
    "autotask.marks:sign_mark except OSError": _BEFORE,
    "autotask.naming:_command_line_of except OSError": _BEFORE,
    "autotask.naming:is_pex except (OSError, ImportError)": _BEFORE,
    "autotask.trigger:_is_console except OSError": _BEFORE,
}
_BROKEN = "the module that can tell may be missing from a broken installation"
# These frameworks keep from their program what is raised where it executes a job: the alarm has
# passed our wrapper, and nothing shows it.
KEPT = {
    f"autotask.frameworks.{name}" for name in "arq django_q django_tasks procrastinate rq".split()
}
LOST = {
    "autotask.agent:_explain_at_exit.explain except Exception": _BROKEN,
    "autotask.agent:find_spec except Exception": _BROKEN,
    "autotask.debuglog:_message except Exception": "describes our own error, for AUTOTASK_DEBUG",
    "autotask.guard:swallow except Exception": "the last resort, when that cannot be written",
    "autotask.loading:swallow except Exception": _BROKEN,
}


def test_an_alarm_reaches_the_program_from_every_try_of_the_agent(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_REDIS_URL", redis_url)
    for name in ("asyncclick", "click", "doit", "invoke", "nox", "typer", "wrapt"):
        pytest.importorskip(name)
    without = ("sitecustomize", *(f"autotask.frameworks.{name}" for name in ENVIRONMENTS))
    modules = [name for name in MODULES_WITH_FAULTS if name not in without]
    tree = make_tree_of_alarms(tmp_path / "tree", modules)
    folder = write_programs(tmp_path / "programs", tree)
    for name, (source, _) in MORE_PROGRAMS.items():
        write(folder / f"shop_{name}.py", source)
    server = Server(tree, folder)

    def run(program: str, place: int = -1) -> tuple[str, frozenset[int]]:
        seen = server.run(f"shop_{program}.py", ALL_PROGRAMS[program][1], place, "alarm")
        return seen.output, seen.reached

    try:
        reached = {program: run(program)[1] for program in ALL_PROGRAMS}
        unreached, lost = set(), set()
        for number, place in enumerate(tree.functions):
            programs = [program for program, places in reached.items() if number in places]
            if not programs:
                unreached.add(place)
            elif not any(ALARM in run(program, number)[0] for program in programs):
                lost.add(place)
    finally:
        server.close()
    lost = {place for place in lost if place.partition(":")[0] not in KEPT}
    assert len(tree.functions) > 50
    assert [sorted(unreached - UNREACHED.keys()), sorted(lost - LOST.keys())] == [[], []]
    assert [sorted(UNREACHED.keys() - unreached), sorted(LOST.keys() - lost)] == [[], []]
