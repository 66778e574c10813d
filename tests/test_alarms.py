"""An alarm of the program reaches it, wherever we catch our own errors.

A handler of the program may raise a TimeoutError, which is an OSError. Each of our `try`s that
could catch one is found in the source. A signal comes just there, and its handler raises.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import ALARM, Server, make_tree_of_alarms
from support import write
from test_faults import ENDINGS, FUNCTIONS_ENV, MODULES_WITH_FAULTS, PROGRAMS, write_programs

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
ALL_PROGRAMS = {**MORE_PROGRAMS, **PROGRAMS}

_BEFORE = "runs before the program can have a handler"
UNREACHED = {
    "autotask.boot_id:_read except raised_here(OSError)": "needs a machine that hides /proc/sys",
    "autotask.dogstatsd:Wire._resolve except (OSError, UnicodeError)": "runs in another thread",
    "autotask.marks:sign_mark except OSError": _BEFORE,
    "autotask.naming:_command_line_of except OSError": _BEFORE,
    "autotask.naming:is_pex except (OSError, ImportError)": _BEFORE,
    "autotask.trigger:_is_console except OSError": _BEFORE,
}
_BROKEN = "the module that can tell may be missing from a broken installation"
LOST = {
    "autotask.agent:_explain_at_exit.explain except Exception": _BROKEN,
    "autotask.agent:find_spec except Exception": _BROKEN,
    "autotask.debuglog:_message except Exception": "describes our own error, for AUTOTASK_DEBUG",
    "autotask.guard:swallow except Exception": "the last resort, when that cannot be written",
    "autotask.loading:swallow except Exception": _BROKEN,
}


def test_an_alarm_reaches_the_program_from_every_try_of_the_agent(tmp_path: Path) -> None:
    for name in ("asyncclick", "click", "doit", "invoke", "typer", "wrapt"):
        pytest.importorskip(name)
    modules = [name for name in MODULES_WITH_FAULTS if name != "sitecustomize"]
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
    assert len(tree.functions) > 50
    assert [sorted(unreached - UNREACHED.keys()), sorted(lost - LOST.keys())] == [[], []]
    assert [sorted(UNREACHED.keys() - unreached), sorted(LOST.keys() - lost)] == [[], []]
