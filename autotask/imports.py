"""Hear of each module that is watched: call our functions each time it has been executed.

The module keeps its real spec and loader, so that `python -m`, importlib.resources and reload see
no trace of autotask: only during the import, our `exec_module` replaces that of its loader.
"""

import sys

from autotask import agent as _agent
from autotask import loading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

# What every run needs, each after what it imports itself.
_NEEDED = (
    *("guard", "stdlib", "settings", "run", "journal", "procfs"),
    *("trigger", "patches", "dogstatsd", "telling", "recorder"),
)
_FINDERS = (  # `hide` removes their frames
    *("autotask.agent", "autotask.imports", "autotask.loading", "autotask.argparse_import"),
)

# The table of frameworks. To add one: its lines here, the modules to watch also in
# `agent.WATCHED`, and a module in frameworks/. The words of a line: the module to watch, the names
# in AUTOTASK_FRAMEWORKS that it serves, our module in frameworks/, and its function that is called
# with the module each time that has been executed.
TABLE = """
click.core         click,typer  click       instrument
asyncclick.core    asyncclick   asyncclick  instrument
typer._click.core  typer        click       instrument
typer.core         typer        click       instrument_typer
invoke.tasks       invoke       invoke      instrument_tasks
invoke.executor    invoke       invoke      instrument_executor
invoke.program     invoke       invoke      instrument_program
doit.task          doit         doit        instrument_task
doit.runner        doit         doit        instrument_runner
doit.doit_cmd      doit         doit        instrument_main
rq.worker          rq           rq          instrument_worker
rq.queue           rq           rq          instrument_queue
huey.api           huey         huey        instrument_api
huey.consumer      huey         huey        instrument_consumer
apscheduler.executors.base      apscheduler  apscheduler  instrument
apscheduler.executors.base_py3  apscheduler  apscheduler  instrument
apscheduler.executors.pool      apscheduler  apscheduler  instrument_pool
luigi.task         luigi        luigi       instrument_task
luigi.worker       luigi        luigi       instrument_worker
schedule           schedule     schedule    instrument
dramatiq.worker    dramatiq     dramatiq    instrument_worker
dramatiq.broker    dramatiq     dramatiq    instrument_broker
dramatiq.cli       dramatiq     dramatiq    instrument_cli
arq.worker         arq          arq         instrument
procrastinate.worker  procrastinate  procrastinate  instrument
django.core.management.base  django  django  instrument_base
django.core.management       django  django  instrument_utility
django_crontab.crontab       django  django_crontab  instrument
django.tasks.base            django  django_tasks    instrument
django_tasks.base            django  django_tasks    instrument
django.tasks.backends.immediate  django  django_tasks  instrument_immediate
django_tasks.backends.immediate  django  django_tasks  instrument_immediate
django_q.worker   django_q   django_q  instrument_worker
django_q.cluster  django_q   django_q  instrument_cluster
celery.app.trace   celery       celery      instrument_trace
celery.app.amqp    celery       celery      instrument_amqp
celery.worker.request  celery   celery      instrument_request
billiard.pool      celery       celery      instrument_pool
argparse           argparse     argparse    instrument
docopt             docopt       docopt      instrument
fire.core          fire         fire        instrument
cyclopts.core      cyclopts     cyclopts    instrument
cleo.commands.base_command  cleo  cleo      instrument_command
cleo.application   cleo         cleo        instrument_application
cliff.app          cliff        cliff       instrument_app
cliff.commandmanager  cliff     cliff       instrument_manager
dbt.task.base      dbt          dbt         instrument
dbt.cli.exceptions dbt          dbt         instrument_exceptions
nox.sessions       nox          nox         instrument
scrapy.crawler     scrapy       scrapy      instrument_crawler
scrapy.core.engine scrapy       scrapy      instrument_engine
scrapy.core.scraper scrapy      scrapy      instrument_scraper
scrapy.logformatter scrapy      scrapy      instrument_logformatter
scrapy.utils.log   scrapy       scrapy      instrument_log
airflow.sdk.execution_time.task_runner airflow airflow instrument
airflow.models.taskinstance airflow airflow instrument_models
"""

loading.hooks = _agent.hooks
when_imported = loading.when_imported


def load(*names: str) -> None:
    """Load the modules that every run needs, and then the named ones."""
    loading.load(*_NEEDED, *names)


def find(
    name: str, path: "Sequence[str] | None", target: "ModuleType | None"
) -> "ModuleSpec | None":
    """Find a module with the finders behind us, and hook its loader for this one import."""
    spec = _spec_from_others(name, path, target)
    if name[:9] == "autotask.":
        if spec is None:  # in the program's own `autotask`: let that move in, and look there
            getattr(sys.modules["autotask"], "__all__", None)
            folders = [(entry or ".") + "/autotask" for entry in sys.path]
            spec = _spec_from_others(name, folders, target)
    elif spec is not None:
        try:
            if hasattr(spec.loader, "exec_module") and not isinstance(spec.loader, type):
                _hook_loader(name, spec.loader)
        except Exception as problem:  # it may take no attribute: unwatched, and as it was
            loading.swallow("_hook_loader", problem)
    return spec


def _spec_from_others(
    name: str, path: "Sequence[str] | None", target: "ModuleType | None"
) -> "ModuleSpec | None":
    finders = list(sys.meta_path)
    for finder in finders[finders.index(_agent) + 1 :] if _agent in finders else finders:
        find_spec = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find_spec(name, path, target) if find_spec is not None else None
        if spec is not None:
            return spec
    return None


def _hook_loader(name: str, loader: "Any") -> None:
    """Give a loader an exec_module that removes itself, executes, and then calls our hooks.

    The loader's own exec_module is what the import system calls last: by then every finder and
    loader of the program's had its say, and nothing else tells when a module is complete.
    """
    original = loader.exec_module
    names = getattr(original, "autotask_names", None)
    if names is not None:  # modules of one archive share their loader
        names.add(name)
        return
    names = {name}

    def exec_module(module: "ModuleType") -> None:
        if module.__name__ not in names:
            original(module)
            return
        names.discard(module.__name__)
        if not names:
            getattr(loader, "__dict__", {}).pop("exec_module", None)
        try:
            original(module)
        except BaseException as problem:
            hide(problem)
            raise
        if module.__name__ in _agent.WATCHED:
            loading.call_hook(instrument, module)
        for hook in _agent.hooks.get(module.__name__, ()):
            loading.call_hook(hook, module)

    # importlib removes its own frames from tracebacks by these two names. Before 3.11 our frame is
    # among them, and would keep it from doing so.
    exec_module.__code__ = exec_module.__code__.replace(
        co_filename="<frozen importlib._bootstrap_external>", co_name="_call_with_frames_removed"
    )
    exec_module.autotask_names = names  # type: ignore[attr-defined]
    loader.exec_module = exec_module


def hide(problem: BaseException) -> None:
    """Take our outermost frames out of the traceback of an exception that only passes us.

    Before 3.11 the bare `raise` that follows puts the first of them back.
    """
    first: Any = problem.__traceback__
    step = first
    while step is not None and step.tb_frame.f_globals.get("__name__") in _FINDERS:
        step = step.tb_next
    first.tb_next = step
    BaseException.with_traceback(problem, step)  # `__traceback__ = ...` can be forbidden


def instrument(module: "ModuleType") -> None:
    """Hand a framework's module to ours, unless AUTOTASK_FRAMEWORKS excludes the framework."""
    words = TABLE.split()
    row = words[::4].index(module.__name__) * 4
    frameworks, name, function = words[row + 1 : row + 4]
    load()
    settings = sys.modules["autotask.recorder"].settings()
    is_used = any(settings.uses(framework) for framework in frameworks.split(","))
    if settings.debug:
        verb = "instruments" if is_used else "excluded:"
        sys.modules["autotask.guard"].debug(f"{verb} {module.__name__} of {module.__file__}")
    if is_used:
        loading.load("frameworks", "frameworks." + name)
        getattr(sys.modules["autotask.frameworks." + name], function)(module)
