"""docopt 0.6, and docopt-ng 0.9: a run from where a command is parsed to the process's end."""

from __future__ import annotations

import sys

from autotask.exits import note_exits
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.recorder import hide_frame
from autotask.run import raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.add("docopt")


def instrument(module: ModuleType) -> None:
    """Instrument `docopt`."""
    replace(module, "docopt", lambda original: _around_docopt(original, module))
    note_exits()  # in `sys.exit(main())` the program has sys.exit before main() calls docopt


def _around_docopt(original: Any, module: ModuleType) -> Any:
    def autotask_docopt(*args: Any, **kwargs: Any) -> Any:
        try:
            parsed = original(*args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _refused(module, exc, *args, **kwargs))
            raise
        _begin(parsed, *args, **kwargs)
        return parsed

    return autotask_docopt


@guarded
def _begin(parsed: Any, _doc: Any = "", argv: Any = None, *_: Any, **__: Any) -> None:
    """Open the run of a program's command; one without commands has none."""
    from autotask import rest

    if not _is_command_line(argv) or not rest.is_free():
        return
    left = {name: int(times) for name, times in parsed.items() if _is_command(name, times)}
    path = []
    for word in sys.argv[1:]:
        if left.get(word, 0) > 0:
            left[word] -= 1
            path.append(word)
    if path:
        rest.begin(path, "docopt")


def _is_command(name: str, times: object) -> bool:
    """Tell whether a name in a usage is a command's: neither an option's nor an argument's."""
    return isinstance(times, int) and name[:1] not in "-<" and not name.isupper()


def _is_command_line(argv: Any) -> bool:
    return argv is None or list(argv) == sys.argv[1:]


@guarded
def _refused(
    module: Any, exc: BaseException, _doc: Any = "", argv: Any = None, *_: Any, **__: Any
) -> Run | None:
    """Report what a program with commands was given."""
    from autotask import rest

    outcome = raised(exc)
    if type(exc).__name__ != "DocoptExit" or not _is_command_line(argv) or not rest.is_free():
        return None
    usage = module.formal_usage(type(exc).usage)  # type: ignore[attr-defined]
    if not module.parse_pattern(usage, []).flat(module.Command):
        return None
    return rest.refused([], "docopt", outcome.exit_code or 1)
