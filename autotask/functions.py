"""Functions of the user's as tasks: named in AUTOTASK_FUNCTIONS, or under `@autotask.task`.

They may be any callable: functions, methods of all kinds, coroutines, generators. That is what
wrapt is for, and no other module needs it.
"""

from __future__ import annotations

import inspect
import os
import sys
from copy import copy, deepcopy
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from autotask import recorder
from autotask.frameworks import program_name
from autotask.guard import debug, guarded
from autotask.recorder import hide_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from wrapt import BoundFunctionWrapper, FunctionWrapper, ObjectProxy

    from autotask.run import Run
else:
    from autotask.wrapt.wrappers import BoundFunctionWrapper, FunctionWrapper, ObjectProxy

_MISSING = object()


@guarded
def instrument(function: Any, name: str | None = None) -> Any:
    """Return a callable like *function*, each call of which is a run."""
    if isinstance(function, _Task):
        return function
    return _Task(function, name or _name_of(function))


def replace(module: ModuleType, qualname: str, name: str) -> None:
    """Make a task of a function of a module, as AUTOTASK_FUNCTIONS asks for.

    Leaves anything but a function unchanged: a wrapped class could not be subclassed any more, and
    a wrapped constant would have another type.
    """
    *path, last = qualname.split(".")
    owner: Any = module
    for word in path:
        owner = getattr(owner, word, None)
    namespaces = [getattr(base, "__dict__", {}) for base in getattr(owner, "__mro__", [owner])]
    function = next((names[last] for names in namespaces if last in names), _MISSING)
    obstacle = _obstacle(function)
    if obstacle:
        debug(f"AUTOTASK_FUNCTIONS: {module.__name__}:{qualname} {obstacle}; left unchanged")
        return
    task = instrument(function, name)
    setattr(owner, last, function if task is None else task)


def _obstacle(value: Any) -> str | None:
    """Return why something cannot be a task; None for what can be called: functions, partials."""
    inner = getattr(value, "__func__", value)  # of a class or static method
    if value is _MISSING:
        return "does not exist"
    if isinstance(inner, type):
        return "is a class"
    return None if callable(inner) else f"is not a function but of type {type(value).__name__}"


def _name_of(function: Any) -> str:
    """Return `module:qualname`; in a script, the script's name stands for the module's."""
    inner = getattr(function, "__func__", function)  # of a class or static method
    module = getattr(inner, "__module__", None) or "?"
    if module in ("__main__", "__mp_main__"):  # its name in a spawned child
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        file = getattr(main, "__file__", None) or "__main__"
        if spec is not None and spec.name != "__main__":
            module = spec.name
        else:  # a script, or the `__main__.py` in an archive or a folder
            module = program_name(os.path.dirname(file) if spec is not None else file)
    return f"{module}:{getattr(inner, '__qualname__', type(inner).__qualname__)}"


def _find(module: str, qualname: str) -> Any:
    """Find a function by its name, in the process that unpickles it."""
    __import__(module)
    value: Any = sys.modules[module]
    for word in qualname.split("."):
        value = getattr(value, word)
    return value


def autotask_call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call the wrapped function as a run; wrapt's own way would add a frame to tracebacks."""
    wrapped, name = self.__wrapped__, self._self_wrapper
    later = _runs_later(wrapped)
    run = None if later else recorder.start(name, "function")
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as exc:
        recorder.fail(run, exc)
        raise
    # The second if a decorator hides that the function is of that kind.
    if later or type(result) in (CoroutineType, GeneratorType, AsyncGeneratorType):
        return _stepped(result, name, run) or result
    recorder.succeed(run)
    return result


class _BoundTask(BoundFunctionWrapper):  # type: ignore[type-arg]
    """A method, looked up on an instance or a class."""

    __call__ = autotask_call

    def __reduce_ex__(self, protocol: Any) -> Any:
        bound_to = getattr(self.__wrapped__, "__self__", None)
        if bound_to is None:
            return _find, (self.__module__, self.__qualname__)
        return getattr, (bound_to, self.__name__)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return getattr(deepcopy(self.__self__, memo), self.__name__)


class _Task(FunctionWrapper):  # type: ignore[type-arg]
    """A function whose calls are runs; pickled by its name, as functions are."""

    __bound_function_wrapper__ = _BoundTask
    __call__ = autotask_call

    def __init__(self, wrapped: Any, name: Any) -> None:
        super().__init__(wrapped, name)  # which keeps it as `_self_wrapper`, in bound methods too

    def __reduce_ex__(self, protocol: Any) -> Any:
        wrapped = self.__wrapped__
        return self.__qualname__ if _is_named(wrapped) else wrapped.__reduce_ex__(protocol)

    def __copy__(self) -> Any:
        return self if _is_named(self.__wrapped__) else copy(self.__wrapped__)

    def __deepcopy__(self, memo: Any) -> Any:
        return self if _is_named(self.__wrapped__) else deepcopy(self.__wrapped__, memo)


def _is_named(wrapped: Any) -> bool:
    """Tell whether this is pickled by its name and never copied: a function, no other callable."""
    return hasattr(wrapped, "__get__") and hasattr(wrapped, "__qualname__")


@guarded
def _runs_later(wrapped: Any) -> bool:
    """Tell whether a call only makes an object that is then awaited or iterated over."""
    return (
        inspect.iscoroutinefunction(wrapped)
        or inspect.isgeneratorfunction(wrapped)
        or inspect.isasyncgenfunction(wrapped)
    )


@guarded
def _stepped(result: Any, name: str, run: Run | None) -> Any:
    kind = _AsyncSteps if isinstance(result, AsyncGeneratorType) else _Steps
    return kind(result, _Span(name, run))


class _Span:
    """The run of what is executed in steps: opened at the first one, not current between them."""

    __slots__ = ("_around", "_name", "_run")

    def __init__(self, name: str, run: Run | None) -> None:
        self._name: str | None = name if run is None else None
        self._run = run
        self._around: Run | None = None
        if run is not None:
            recorder.state.current.set(run.outer)

    @guarded
    def step_in(self) -> Run | None:
        """Make the run current again, for one step; open it before the first one."""
        self._around = recorder.state.current.get()
        if self._run is not None and self._run.ended is None:
            recorder.state.current.set(self._run)
        if self._name is not None:
            self._run, self._name = recorder.start(self._name, "function"), None
        return self._run

    @guarded
    def step_out(self) -> None:
        """Make the run around it the current one until the next step."""
        recorder.state.current.set(self._around)

    @guarded
    def close(self) -> None:
        """End a run without a further step: it did what it was asked for."""
        recorder.succeed(self._run)


def _step(method: str, *given: Any) -> Any:
    """Make a method that takes one step inside the run."""

    def autotask_step(self: Any, *args: Any) -> Any:
        run = self._self_span.step_in()
        try:
            result = getattr(self.__wrapped__, method)(*given, *args)
        except StopIteration as exc:
            recorder.succeed(run)
            hide_frame(exc)
            raise
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        finally:
            self._self_span.step_out()
        return result

    return autotask_step


class _Steps(ObjectProxy):  # type: ignore[type-arg]
    """A coroutine or generator, with a run from its first step to its last."""

    def __init__(self, wrapped: Any, span: _Span) -> None:
        super().__init__(wrapped)
        self._self_span = span

    def __iter__(self) -> Any:
        return self

    __await__ = __iter__
    __next__ = _step("send", None)
    send = _step("send")
    throw = _step("throw")

    def autotask_close(self) -> None:
        try:
            self.__wrapped__.close()
        except BaseException as exc:
            hide_frame(exc)
            raise
        finally:
            self._self_span.close()

    close = autotask_close

    @guarded
    def __del__(self) -> None:
        self._self_span.close()


class _AsyncSteps(ObjectProxy):  # type: ignore[type-arg]
    """An asynchronous generator, with a run from its first step to its last."""

    def __init__(self, wrapped: Any, span: _Span) -> None:
        super().__init__(wrapped)
        self._self_span = span

    def __aiter__(self) -> Any:
        return self

    def __anext__(self) -> Any:
        return self.autotask_step(self.__wrapped__.__anext__())

    def asend(self, value: Any) -> Any:
        return self.autotask_step(self.__wrapped__.asend(value))

    def athrow(self, *args: Any) -> Any:
        return self.autotask_step(self.__wrapped__.athrow(*args))

    async def autotask_close(self) -> None:
        try:
            await self.__wrapped__.aclose()
        except BaseException as exc:
            hide_frame(exc)
            raise
        finally:
            self._self_span.close()

    aclose = autotask_close

    @guarded
    def __del__(self) -> None:
        self._self_span.close()

    async def autotask_step(self, step: Any) -> Any:
        run = self._self_span.step_in()
        try:
            result = await step
        except StopAsyncIteration as exc:
            recorder.succeed(run)
            hide_frame(exc)
            raise
        except BaseException as exc:
            recorder.fail(run, exc)
            raise
        finally:
            self._self_span.step_out()
        return result
