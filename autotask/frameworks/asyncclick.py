"""asyncclick 8.1 to 8.4, which is Click with coroutines: so the wrappers are coroutines as well.

All that can be shared with Click's wrappers is in `click`. The `await` has to be in the wrapper,
and so has the `except` clause around it, because `fail` and `hide_frame` look at its frame.
"""

from __future__ import annotations

import sys
import time

from autotask import recorder
from autotask.frameworks import click
from autotask.recorder import hide_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def instrument(core: ModuleType) -> None:
    """Instrument `asyncclick.core`."""
    click.instrument(core, sys.modules[__name__])


def _around_main(original: Any) -> Any:
    async def autotask_main(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer, call, began = click.main_call.get(), click.entered(), time.monotonic()
        click.main_call.set(call)
        try:
            return await original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, click.left_main(self, call, exc, began))
            raise
        finally:
            click.main_call.set(outer)

    return autotask_main


def _around_make_context(original: Any) -> Any:
    async def autotask_make_context(
        self: Any, info_name: Any, args: Any, parent: Any = None, **extra: Any
    ) -> Any:
        began = time.monotonic()
        try:
            click.cover(self, sys.modules[__name__])
            return await original(self, info_name, args, parent=parent, **extra)
        except BaseException as exc:
            hide_frame(exc, click.left_parsing(self, info_name, parent, exc, began))
            raise

    return autotask_make_context


def _around_invoke(original: Any) -> Any:
    async def autotask_invoke(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = click.setup(self, *args, **kwargs)
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc, click.judge)
            if run is not None:
                click.settle(run)
            raise
        recorder.succeed(run)
        return result

    return autotask_invoke


def _around_group_invoke(original: Any) -> Any:
    async def autotask_invoke(self: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return await original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, click.left_group(self, exc, began, *args, **kwargs))
            raise

    return autotask_invoke


def _around_context_invoke(original: Any, commands: type) -> Any:
    async def autotask_invoke(*args: Any, **kwargs: Any) -> Any:
        # With a plain function it is how Command.invoke calls the callback: not a run.
        is_command = len(args) > 1 and issubclass(type(args[1]), commands)
        run = click.setup_called(args[0], args[1]) if is_command else None
        try:
            result = await original(*args, **kwargs)
        except BaseException as exc:
            recorder.fail(run, exc, click.judge)
            if run is not None:
                click.settle(run)
            raise
        recorder.succeed(run)
        return result

    return autotask_invoke
