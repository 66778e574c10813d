"""autotask: did it succeed or fail, which one, how long did it take. For every task."""

import sys

__version__ = "0.1.0"  # the only place that says so

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Optional, TypeVar, overload

    F = TypeVar("F", bound=Callable[..., Any])

    @overload
    def task(function: F) -> F: ...
    @overload
    def task(function: None = None, *, name: Optional[str] = None) -> Callable[[F], F]: ...
    def task(function: Any = None, *, name: Optional[str] = None) -> Any:
        """See below; here for type checkers alone."""

else:

    def task(function=None, *, name=None):
        """Make each call of a function a run: `@autotask.task` or `@autotask.task(name="nightly")`.

        The name is `package.module:qualname` unless given. Where the agent does not run, the
        function is handed back as it is.
        """
        if function is None:
            return lambda function: task(function, name=name)
        if sys.modules.get("autotask.agent") not in sys.meta_path:
            return function
        try:
            from autotask import imports

            imports.load("functions")
            return sys.modules["autotask.functions"].instrument(function, name) or function
        except Exception as problem:  # wrapt is not installed
            from autotask.guard import from_signal_handler, swallow

            if from_signal_handler(problem):
                raise
            swallow("task", problem)
            return function


__all__ = ["task"]
