"""Runs of the standard library's `cmd`: each command that is typed in is one."""

from __future__ import annotations

from autotask.plugin import fail, guarded, replace, start, succeed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.plugin import Run


def instrument(module: ModuleType) -> None:
    """Instrument `cmd`."""
    replace(module.Cmd, "onecmd", _around_onecmd)


def _around_onecmd(original: Any) -> Any:
    def autotask_onecmd(self: Any, line: str) -> Any:
        run = _setup(self, line)
        try:
            result = original(self, line)
        except BaseException as exc:
            fail(run, exc)
            raise
        succeed(run)
        return result

    return autotask_onecmd


@guarded
def _setup(shell: Any, line: str) -> Run | None:
    """Open the run of a command: its name alone, for arguments are never recorded."""
    command, _, _ = shell.parseline(line)
    if not command or not hasattr(shell, f"do_{command}"):
        return None
    return start(command, "cmd")
