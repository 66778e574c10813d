"""A fault in any of our functions does not disturb the task.

Each function of the in-process part, as found in the source, is made to raise, to hang and to
return nonsense, in programs that come to it: output, exit status, results and exceptions are as
without us.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import environments
import pytest
from faults import Seen, Server, Tree, make_tree
from support import PYTHON, write
from test_floors import IN_PROCESS, MODULES

KINDS = ("Exception", "returns an object")
# Each function gets one of these as well; with FAULTS=all it gets all of them.
MORE_KINDS = tuple(
    "MemoryError,OSError,RecursionError,hangs,raises once,returns None,returns a text".split(",")
)
FAULTS = os.environ.get("FAULTS")  # "all" kinds, or "everywhere": in each program, too
MODULES_WITH_FAULTS = [
    "sitecustomize",
    "autotask",
    *sorted(name for name in MODULES if ".".join(name.split(".")[:2]) in IN_PROCESS),
]

LIBRARY = """
import os, sys
def attempt(what, function, *args, **kwargs):
    try:
        print(what, "returned", function(*args, **kwargs), flush=True)
    except BaseException as problem:
        print(what, "raised", *told(problem, []), flush=True)
def told(problem, seen):
    if problem is None or problem in seen: return [None]
    seen.append(problem)
    frames, step = [], problem.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if not code.co_filename.startswith({tree!r}):
            frames.append((os.path.basename(code.co_filename), step.tb_lineno, code.co_name))
        step = step.tb_next
    return [type(problem).__name__, repr(problem), problem.__suppress_context__, frames,
        "from", *told(problem.__cause__, seen), "after", *told(problem.__context__, seen)]
"""
CLICK = """
import click, sys
from shop_lib import attempt
@click.group()
@click.option("--deep", is_flag=True)
def shop(deep):
    if deep: raise LookupError("in the group")
@shop.command()
@click.option("--fail", is_flag=True)
@click.option("--code", type=int)
@click.option("--leave", type=int)
@click.option("--abort", is_flag=True)
@click.option("--text")
@click.pass_context
def work(ctx, fail, code, leave, abort, text):
    click.echo("working under " + str(ctx.info_name))
    if fail: raise ValueError("no", "goods")
    if code is not None: ctx.exit(code)
    if leave is not None: sys.exit(leave)
    if abort: raise click.Abort()
    if text: raise click.ClickException(text)
    return "goods"
@shop.command()
@click.pass_context
def both(ctx):
    click.echo(ctx.invoke(work))
    click.echo(ctx.forward(more.commands["late"]))
    ctx.invoke(work, fail=True)
@shop.group(invoke_without_command=True)
def more(): click.echo("more")
@more.command()
def late(): return 5
class Own(click.Command):
    def invoke(self, ctx):
        click.echo("own")
        return super().invoke(ctx)
@shop.command(cls=Own)
@click.argument("n", type=int)
def own(n): return n
@shop.result_callback()
def after(result, deep):
    if result == 99: raise OSError(28, "at the end")
    return result
shop.add_command(work, "job")
for words in (
    ["job"], ["work"], ["work", "--fail"], ["work", "--code", "4"], ["work", "--code", "0"],
    ["work", "--leave", "5"], ["work", "--abort"], ["work", "--text", "a | b # c"],
    ["work", "--code", "x"], ["nothing"], ["both"], ["more"], ["more", "late"], ["own", "3"],
    ["own", "99"], ["--deep", "work"], ["--help"], [], ["work", "--help"],
):
    attempt(words, shop.main, list(words))
    attempt(words, shop.main, list(words), standalone_mode=False)
"""
ASYNCCLICK = """
import sys
import asyncclick as click
from shop_lib import attempt
@click.group()
async def shop(): pass
@shop.command()
@click.option("--fail", is_flag=True)
@click.option("--leave", type=int)
async def work(fail, leave):
    click.echo("working")
    if fail: raise ValueError("no", "goods")
    if leave is not None: sys.exit(leave)
    return "goods"
@shop.command()
@click.pass_context
async def both(ctx):
    click.echo(await ctx.invoke(work))
    await ctx.invoke(work, fail=True)
class Own(click.Command):
    async def invoke(self, ctx):
        click.echo("own")
        return await super().invoke(ctx)
@shop.command(cls=Own)
async def own(): return 3
class Catching(click.Group):
    async def invoke(self, ctx):
        try: return await super().invoke(ctx)
        except ValueError: sys.exit(4)
@shop.group(cls=Catching)
async def catching(): pass
catching.add_command(work)
for words in (
    ["work"], ["work", "--fail"], ["work", "--leave", "5"], ["work", "--leave", "x"], ["nothing"],
    ["both"], ["own"], ["catching", "work", "--fail"], ["--help"],
):
    attempt(words, shop, list(words), _anyio_backend="asyncio")
    attempt(words, shop, list(words), _anyio_backend="asyncio", standalone_mode=False)
"""
TYPER = """
import typer
from shop_lib import attempt
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
def work(fail: bool = False, code: int = 0):
    print("working")
    if fail: raise ValueError("no goods")
    if code: raise typer.Exit(code)
@app.command()
def other(): raise typer.Abort()
for words in (["work"], ["work", "--fail"], ["work", "--code", "3"], ["other"], ["x"], ["--help"]):
    attempt(words, app, list(words))
    attempt(words, app, list(words), standalone_mode=False)
"""
INVOKE = """
import invoke
from shop_lib import attempt
@invoke.task
def clean(c): print("clean")
@invoke.task(pre=[clean], aliases=["job"])
def work(c, fail=False, code=0, leave=0):
    print("working")
    if fail: raise ValueError("no goods")
    if code: c.run(f"exit {code}")
    if leave: raise invoke.Exit("leaving", code=leave)
    return "goods"
@invoke.task
def both(c):
    print(clean(c), work(c))
    work(c, fail=True)
class Own(invoke.Task):
    def __call__(self, *args, **kwargs):
        print("own")
        return super().__call__(*args, **kwargs)
@invoke.task(klass=Own)
def own(c): return 3
inner = invoke.Collection("db", clean, both)
names = invoke.Collection(clean, work, both, own, inner)
for words in (
    "work", "job", "db.both", "both", "own", "work --fail", "work --code=5", "work --leave=6", "x",
    "work --what", "--list", "--dry work", "--help", "work --help",
):
    program = invoke.Program(namespace=names, version="1")
    attempt(words, program.run, "shop " + words, exit=False)
    attempt(words, invoke.Program(namespace=names, version="1").run, "shop " + words)
"""
# RQ imports the functions from here; the program itself comes after the condition.
RQ = """
import os, signal, time
from rq.command import send_stop_job_command
from rq.job import Retry, get_current_job
class Unloadable:
    def __reduce__(self): return load, ()
def load(): raise LookupError("cannot be loaded")
def work(): return "goods"
def fail(): raise ValueError("no goods")
def ask(): return Retry(1)
def die():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(5)
def stop():
    job = get_current_job()
    send_stop_job_command(job.connection, job.id)
    time.sleep(5)
if __name__ == "__main__":
    from redis import Redis
    from rq import Queue, SimpleWorker, Worker
    Redis.__del__ = lambda self: None  # as the interpreter ends, its own may fail aloud
    from shop_lib import attempt
    connection = Redis.from_url(os.environ["SHOP_REDIS_URL"])
    own = "shop-" + str(os.getpid())  # a horse of an earlier program may have been left alone
    queue, put = Queue(own, connection=connection), []
    def enqueue(what, **more):
        put.append(queue.enqueue("shop_rq." + what, **more))
    def perform(kind):
        worker = kind([queue], connection=connection, name=own + kind.__name__)
        attempt(kind, worker.work, burst=True, logging_level="CRITICAL")
    for what in "work", "fail", "ask": enqueue(what)
    enqueue("fail", retry=Retry(1))
    enqueue("work", args=[Unloadable()])
    perform(SimpleWorker)
    enqueue("die", retry=Retry(1))
    enqueue("stop")
    perform(Worker)
    queue = Queue(own, connection=connection, is_async=False)
    for what in "work", "fail": attempt(what, enqueue, what)
    for job in put:
        result = job.latest_result()
        print(job.func_name, job.get_status(), result and (result.return_value, result.exc_string))
"""
HUEY = """
import logging, os, signal, sys
from huey import MemoryHuey
from huey.consumer import ProcessEnvironment
from shop_lib import attempt
logging.disable()  # of messages with ids
huey = MemoryHuey("shop")
@huey.task()
def work(): return "goods"
@huey.task(retries=1)
def fail(): raise ValueError("no goods")
@huey.task()
def leave(): sys.exit(3)
@huey.task()
def interrupt(): raise KeyboardInterrupt
@huey.task()
@huey.lock_task("shop")
def lock(): pass
put = [work(), fail(), leave(), interrupt(), work.schedule(delay=-5), work()]
put[-1].revoke()
with huey.lock_task("shop"):
    put.append(lock())
    while len(huey): attempt("task", huey.execute, huey.dequeue())
for result in put:
    attempt("result", result.get)
workers = ProcessEnvironment()
for end in (lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: os._exit(4)):
    process = workers.create_process(end, "worker")
    print(workers.is_alive(process))
    process.start()
    process.join()
    print(workers.is_alive(process), process.exitcode)
"""
# What a worker's processes call, in one process. The pool's child dies without a word.
CELERY = """
import json, logging, os, signal, sys
import billiard.pool
from celery import Celery, signals
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.worker.request import Request
from shop_lib import attempt
logging.disable()  # of messages with ids
app = Celery("shop", broker="memory://localhost/", backend="cache+memory://")
@app.task
def work(): return "goods"
@app.task(bind=True, max_retries=1, acks_late=True, reject_on_worker_lost=True)
def fail(self): raise self.retry(exc=ValueError("no goods"), countdown=0)
@app.task
def late(): raise SoftTimeLimitExceeded()
@app.task
def leave(code): sys.exit(code)
@app.task
def refuse(): raise Reject("nothing")
@app.task
def ignore(): raise Ignore()
for task, args in (work, ()), (fail, ()), (late, ()), (leave, (3,)), (refuse, ()), (ignore, ()):
    for throw in (False, True):
        def apply():
            result = task.apply(args, throw=throw, task_id="shop")
            return result.state, repr(result.result)
        attempt(task.name, apply)
def as_in_a_worker(**more):
    from celery.app.trace import build_tracer
    request = dict(id="shop", delivery_info={}, retries=0, **more)
    return build_tracer(leave.name, leave, app=app)("shop", (0,), {}, request)
attempt("worker", as_in_a_worker, eta="2001-01-01T00:00:00+00:00")
fail.apply_async(task_id="shop")
with app.connection() as connection:
    message = connection.SimpleQueue("celery").get(timeout=5)
message.ack()
request = Request(message, app=app, task=fail)
send = dict(request=Context(message.headers), terminated=False, signum=None, expired=True)
signals.task_revoked.send(sender=work, **send)
signals.task_unknown.send(sender=None, message=message, name="no", id="no", exc=KeyError())
signals.task_rejected.send(sender=None, message=message, exc=ValueError())
pool = billiard.pool.Pool(1, threads=False)
(child,) = pool._pool
job = pool.apply_async(signal.raise_signal, (9,), error_callback=request.on_failure)
job._worker_pid = request.worker_pid = child.pid
request._apply_result = lambda: job
attempt("timeout", request.on_timeout, soft=False, timeout=3)
child.join()
attempt("deaths", pool._join_exited_workers)
print(child.exitcode, len(pool._pool), job.ready())
pool._terminate.cancel()
"""
DOIT = """
import doit, os, sys
from doit.doit_cmd import DoitMain
from doit.cmd_base import ModuleTaskLoader
from shop_lib import attempt
def fail(): raise ValueError("no goods")
def leave(): sys.exit(4)
def same(): return True
def no(): return False
def broken(): raise LookupError("not known")
tasks = {
    "task_good": lambda: {"actions": [lambda: print("working")]},
    "task_group": lambda: {"actions": None, "task_dep": ["good"]},
    "task_same": lambda: {"actions": [same], "uptodate": [True]},
    "task_bad": lambda: {"actions": [fail]},
    "task_false": lambda: {"actions": [no]},
    "task_shell": lambda: {"actions": ["echo shell; exit 5"], "verbosity": 2},
    "task_after": lambda: {"actions": [same], "task_dep": ["false"]},
    "task_leave": lambda: {"actions": [leave]},
    "task_file": lambda: {"actions": [same], "file_dep": ["nowhere"]},
    "task_check": lambda: {"actions": [same], "uptodate": [broken]},
    "task_unsaved": lambda: {"actions": [lambda: {"a": object()}]},
    "task_options": lambda: {
        "actions": [same], "params": [{"name": "n", "long": "n", "type": int, "default": 0}],
    },
}
for words in (
    "group same", "bad", "false", "shell", "-c after", "leave", "file", "check", "unsaved",
    "options --n=x", "x", "-n 2 -P thread good",
):
    attempt(words, DoitMain(ModuleTaskLoader(tasks)).run, words.split())
"""
# Its threads are called, not started: `hangs` and the rest then happen in a known order.
DRAMATIQ = """
import logging, multiprocessing, os, queue, sys, time
import click, dramatiq, dramatiq.cli, dramatiq.worker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AgeLimit, Middleware, Retries, SkipMessage
from dramatiq.middleware.time_limit import TimeLimitExceeded
from shop_lib import attempt
class Own(Middleware):
    def before_process_message(self, broker, message):
        if message.actor_name == "skipped": raise SkipMessage("no")
        if message.actor_name == "refused": message.fail()
    def after_skip_message(self, broker, message): print("skipped", message.actor_name)
    def after_process_message(self, broker, message, *, result=None, exception=None):
        print("after", message.actor_name, result, *(exception.args if exception else ()))
class Broken(Middleware):
    def before_enqueue(self, broker, message, delay): raise KeyboardInterrupt
logging.disable(logging.CRITICAL)
retries = Retries(max_retries=1, min_backoff=1, max_backoff=1)
broker = StubBroker(middleware=[AgeLimit(), retries, Own()])
dramatiq.set_broker(broker)
@dramatiq.actor
def good(): return "goods"
@dramatiq.actor
def bad(): raise ValueError("no", "goods")
@dramatiq.actor
def leaves(): sys.exit()
@dramatiq.actor
def slow(): raise TimeLimitExceeded
@dramatiq.actor
def command():
    @click.command()
    def inner(): raise LookupError("inside")
    inner([], standalone_mode=False)
@dramatiq.actor(max_age=1)
def old(): pass
@dramatiq.actor
def skipped(): pass
@dramatiq.actor
def refused(): pass
class Consumer:
    def post_process_message(self, message): print("done", message.failed, message.options.keys())
work = queue.PriorityQueue()
worker = dramatiq.worker._WorkerThread(
    broker=broker, consumers={"default": Consumer()}, work_queue=work, worker_timeout=10
)
consumer = dramatiq.worker._ConsumerThread(
    broker=broker, queue_name="default", prefetch=1, work_queue=work, worker_timeout=10
)
consumer.consumer = type("Queue", (), {"nack": print, "ack": print})
def message(name, **options):
    known = {"message_id": "1", "message_timestamp": int(time.time() * 1000) - 100}
    plain = dramatiq.Message("default", name, (), {}, options, **known)
    return dramatiq.broker.MessageProxy(plain)
def process(name, **options):
    work.put(0)
    worker.process_message(message(name, **options))
for name in broker.actors:
    attempt(name, process, name)
    attempt(name, process, name, retries=1)
consumer.post_process_message = print
attempt("held back", consumer.handle_message, message("good", eta=1))
attempt("good", process, "good")
attempt("nobody", consumer.handle_message, message("nobody"))
attempt("none", consumer.handle_message, None)
broker.add_middleware(Broken())
attempt("broken", process, "bad")
attempt("main", dramatiq.cli.main, ["no", "arguments"])
def dies(): os.kill(os.getpid(), 9)
fork = multiprocessing.get_context("fork")
for target, words in ((os._exit, (4,)), (dies, ())):
    child = fork.Process(target=target, args=words)
    child.start()
    child.join()
    print(len(list(dramatiq.cli.chain([child], ["x"]))), child.exitcode)
attempt("main", dramatiq.cli.main, dramatiq.cli.make_argument_parser().parse_args(
    ["shop_lib", "--processes=0", "--pid-file=/nowhere/pid"]
))
"""
# What stands in for redis knows one job.
ARQ = """
import asyncio, logging, sys, time
import click
import arq.worker
from arq.jobs import serialize_job
from shop_lib import attempt
logging.disable(logging.CRITICAL)
class Pipe:
    asks = False
    async def __aenter__(self): return self
    async def __aexit__(self, *problem): pass
    def get(self, key): self.asks = True
    def __getattr__(self, name): return lambda *words, **more: self
    async def execute(self):
        if pool.breaks and not self.asks: raise pool.breaks
        return [pool.job, pool.attempt, True, pool.aborts] if self.asks else []
class Pool:
    default_queue_name = "arq"
    def pipeline(self, transaction): return Pipe()
pool = Pool()
async def good(ctx): return "goods"
async def bad(ctx): raise ValueError("no", "goods")
async def again(ctx): raise arq.worker.Retry(defer=1)
async def slow(ctx): await asyncio.sleep(60)
async def cancelled(ctx): raise asyncio.CancelledError
async def leaves(ctx): sys.exit(3)
class Odd:
    def __repr__(self): raise LookupError("odd")
async def odd(ctx): return Odd()
async def run(name, attempt=1, aborts=False, breaks=None):
    worker = arq.worker.Worker(
        [good, bad, again, cancelled, leaves, odd, arq.worker.func(slow, timeout=0.001)],
        redis_pool=pool,
        handle_signals=False,
        allow_abort_jobs=True,
        max_tries=2,
    )
    pool.job = serialize_job(name, (), {}, None, 1) if name else None
    pool.attempt, pool.aborts, pool.breaks = attempt, aborts, breaks
    if aborts == "late": worker.aborting_tasks.add("1")
    if aborts == "late": pool.aborts = False
    await worker.run_job("1", int(time.time() * 1000))
    return worker.jobs_complete, worker.jobs_retried, worker.jobs_failed
for name in ("good", "bad", "again", "slow", "cancelled", "leaves", "odd", "nobody", ""):
    attempt(name, lambda: asyncio.run(run(name)))
attempt("too often", lambda: asyncio.run(run("good", attempt=3)))
attempt("aborted", lambda: asyncio.run(run("good", aborts=True)))
attempt("aborted", lambda: asyncio.run(run("cancelled", aborts="late")))
attempt("unsaved", lambda: asyncio.run(run("good", breaks=OSError(5, "no redis"))))
attempt("cut off", lambda: asyncio.run(run("good", breaks=asyncio.CancelledError())))
attempt("no worker", arq.worker.Worker)
attempt("serialize", arq.worker.serialize_result, "f", (), {}, 1, 1, True, 2, 3, 4, "f", "q", "1")
attempt("serialize", arq.worker.serialize_result)
"""
PROCRASTINATE = """
import asyncio, logging, sys
import click
from procrastinate import App
from procrastinate.exceptions import JobAborted
from procrastinate.testing import InMemoryConnector
from shop_lib import attempt
logging.disable(logging.CRITICAL)
class Connector(InMemoryConnector):
    breaks = 0
    async def execute_query_async(self, query, **arguments):
        if self.breaks: raise OSError(28, "no space")
        return await super().execute_query_async(query, **arguments)
connector = Connector()
app = App(connector=connector)
@app.task(name="good")
def good(): return "goods"
@app.task(name="bad", retry=1)
async def bad(): raise ValueError("no", "goods")
@app.task(name="leaves")
async def leaves(): sys.exit()
@app.task(name="aborts")
async def aborts(): raise JobAborted
@app.task(name="unsaved")
async def unsaved(): connector.breaks = 1
async def run():
    async with app.open_async():
        for name in ("good", "bad", "leaves", "aborts", "nobody"):
            await app.configure_task(name).defer_async()
        await app.configure_task("good", schedule_in={"seconds": 0}).defer_async()
        await work()
        await work()
        for job in connector.jobs.values(): print(job["task_name"], job["status"], job["attempts"])
        await app.configure_task("unsaved").defer_async()
        await work()
async def work():
    await app.run_worker_async(
        wait=False, install_signal_handlers=False, listen_notify=False, concurrency=1
    )
attempt("work", lambda: asyncio.run(run()))
worker = app._worker(wait=False)
attempt("log", worker._log_job_outcome)
"""
ARGPARSE = """
import argparse, sys
from shop_lib import attempt
class Curt(argparse.ArgumentParser):
    def error(self, message): sys.exit(4)
def build():
    parser = argparse.ArgumentParser(prog="shop")
    commands = parser.add_subparsers(parser_class=Curt)
    ship = commands.add_parser("ship", aliases=["s"])
    ship.add_argument("n", type=int)
    ship.add_subparsers().add_parser("x")
    return parser
parser = build()
attempt("twice", parser.add_subparsers)
def given(*words):
    sys.argv[1:] = words
    sys.orig_argv = ["python", *sys.argv]
    return parser.parse_args()
"""
REFUSED = (
    ARGPARSE
    + """
for words in (["--help"], [], ["s", "x"], ["s", "3", "x"]): attempt(words, given, *words)
"""
)
SUBCOMMAND = (
    ARGPARSE
    + """
for words in (["s", "3", "x"], ["ship", "4"], ["bogus"]): attempt(words, given, *words)
attempt("other", parser.parse_args, ["ship", "x"])
attempt("late", parser.error, "too late")
"""
)
REST = (
    ARGPARSE
    + """
given("s", "3")
"""
)
DOCOPT = """
import sys
from docopt import docopt
from shop_lib import attempt
TEXT = "Usage:\\n  shop ship [<what>]\\n  shop db migrate\\n  shop --help"
def given(*words, text=TEXT):
    sys.argv[1:] = words
    sys.orig_argv = ["python", *sys.argv]
    return sorted(docopt(text).items())
attempt("plain", given, text="Usage: shop [--fast]")
attempt("argv", docopt, TEXT, ["ship"])
for words in (["--help"], WORDS, ["db", "migrate"], ["bogus"]): attempt(words, given, *words)
"""
FIRE = """
import fire, sys
from shop_lib import attempt
class Shop:
    def __init__(self, broken=False):
        if broken: raise LookupError("broken")
    def ship(self, n: int = 1, fail=False, leave=0):
        print("shipped", n)
        if fail: raise ValueError("no goods")
        if leave: sys.exit(leave)
        return self
for words in (
    "ship 3", "ship - ship 3", "ship --fail", "ship --leave=4", "bogus", "--broken ship", "--help",
    "ship 3 4 5 6",
):
    attempt(words, lambda: fire.Fire(Shop, command=words, name="shop") is None)
"""
CYCLOPTS = """
import sys
from cyclopts import App
from shop_lib import attempt
app = App(name="shop", version="1.0", result_action="return_value")
@app.command(name=["ship", "s"])
def ship(n: int = 1, fail: bool = False, leave: int = 0):
    print("shipped", n)
    if fail: raise ValueError("no goods")
    if leave == 130: raise KeyboardInterrupt
    if leave: sys.exit(leave)
    return n
@app.meta.default
def meta(*tokens: str, broken: bool = False):
    if broken: raise LookupError("broken")
    return app(tokens)
for words in (["s", "3"], ["ship", "--fail"], ["ship", "--leave=4"], ["ship", "--leave=130"],
    ["ship", "x"], ["--help"], ["--version"]):
    attempt(words, app, list(words))
    attempt(words, app.meta, list(words))
attempt("broken", app.meta, ["--broken"])
attempt("parsed", lambda: app.parse_args(["s", "3"])[0])
import asyncio
for words in (["s", "3"], ["ship", "--fail"], ["ship", "x"]) if hasattr(app, "run_async") else ():
    attempt(words, lambda: asyncio.run(app.run_async(list(words))))
"""
CLEO = """
import sys
from cleo.application import Application
from cleo.commands.command import Command
from cleo.helpers import argument
from cleo.io.inputs.argv_input import ArgvInput
from shop_lib import attempt
class Ship(Command):
    name = "ship"
    arguments = [argument("what", "what", optional=True)]
    def handle(self):
        what = self.argument("what")
        print("shipped", what)
        if what == "fail": raise ValueError("no goods")
        if what == "stop": raise KeyboardInterrupt
        if what == "inner": return self.call("ship", "ship 3")
        return int(what or 0)
for words in ("ship", "ship 3", "ship fail", "ship stop", "ship inner", "ship --bogus", "bogus",
    "list", "--help", "--version"):
    for catches in (True, False):
        application = Application("shop", "1.0")
        application.add(Ship())
        application.auto_exits(False)
        application.catch_exceptions(catches)
        attempt(words, application.run, ArgvInput(["shop", *words.split()]))
"""
CLIFF = """
import logging, sys
from cliff.app import App
from cliff.command import Command
from cliff.commandmanager import CommandManager
from shop_lib import attempt
logging.raiseExceptions = False
class Ship(Command):
    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument("n", type=int, nargs="?", default=0)
        parser.add_argument("--fail", action="store_true")
        return parser
    def take_action(self, parsed_args):
        print("shipped", parsed_args.n)
        if parsed_args.fail: raise ValueError("no goods")
        if parsed_args.n == 130: raise KeyboardInterrupt
        return parsed_args.n
class Own(Ship):
    def run(self, parsed_args): return super().run(parsed_args)
class Shop(App):
    def prepare_to_run_command(self, cmd):
        if type(cmd) is Own: raise PermissionError("no key")
    def clean_up(self, cmd, result, err): print("cleaned", result, repr(err))
for words in ("ship", "ship 3", "ship --fail", "ship 130", "ship x", "own", "bogus", "--help"):
    shop = Shop("shop", "1.0", CommandManager("shop.commands"))
    shop.command_manager.add_command("ship", Ship)
    shop.command_manager.add_command("own", Own)
    attempt(words, shop.run, words.split())
attempt("broken", shop.command_manager.find_command, [])
attempt("raised", Shop("s", "1", CommandManager("s.c")).run_subcommand, ["bogus"])
"""
NOX = """
import os, sys, nox
from nox.__main__ import main
from shop_lib import attempt
open("noxfile.py", "w").write('''
import nox, sys
@nox.session
def good(session): print("good", flush=True)
@nox.session
def bad(session): raise ValueError("no goods")
@nox.session
def leaves(session): sys.exit(4)
@nox.session
def ends(session): session.error("bad things")
@nox.session
def skips(session): session.skip("not today")
@nox.session
def shell(session): session.run("sh", "-c", "exit 5", external=True)
@nox.session
def divides(session): session.run(lambda: 1 / 0)
@nox.session(requires=["bad"])
def after(session): print("never")
''')
for words in ("good bad ends skips shell divides after", "leaves"):
    sys.argv[1:] = ["--no-venv", "-s", *words.split()]
    attempt(words, main)
"""
DBT = """
import click
from types import SimpleNamespace as Named
from dbt.cli.exceptions import ExceptionExit, ResultExit
from dbt.task.base import BaseRunner
from shop_lib import attempt
class Runner(BaseRunner):
    def __init__(self, name, result, inlined=False):
        self.node = Named(unique_id=name, is_ephemeral_model=inlined, name=name, node_info={},
            update_event_status=lambda **status: None)
        self.result, self.skip = result, name == "skips"
    def before_execute(self): print("before")
    def after_execute(self, result):
        if self.node.name == "leaves": raise SystemExit(3)
    def compile(self, manifest): pass
    def execute(self, node, manifest): pass
    def on_skip(self): return self.result
    def handle_exception(self, e, ctx): return super().handle_exception(e, ctx)
    def compile_and_execute(self, manifest, ctx):
        if isinstance(self.result, Exception): raise self.result
        return self.result
    def _handle_generic_exception(self, e, ctx): return str(e)
    def _safe_release_connection(self): return None
    def from_run_result(self, result, started, timing): return result
    def error_result(self, node, message, started, timing): return failed
failed = Named(status="error", message="no goods")
good, skipped = Named(status="success", message=None), Named(status="skipped", message=None)
for name, result, inlined in (
    ("good", good, False), ("bad", ValueError("no goods"), False), ("skips", skipped, False),
    ("leaves", good, False), ("inlined", failed, True),
):
    attempt(name, Runner(name, result, inlined).run_with_hooks, None)
@click.command()
@click.argument("n", type=int)
def command(n):
    if n == 0: raise ResultExit(Named(results=[good, failed, skipped]))
    if n == 1: raise ResultExit(failed)
    if n == 2: raise ResultExit(Named(results=[skipped]))
    if n == 3: raise ResultExit(None)
    raise ExceptionExit(ValueError("no goods"))
for n in "01234":
    attempt(n, command, [n])
"""
SCRAPY = """
import asyncio, os, signal, sys, scrapy
from scrapy.crawler import Crawler, CrawlerProcess
from scrapy.exceptions import CloseSpider, DontCloseSpider
from twisted.internet.defer import Deferred, inlineCallbacks
class Good(scrapy.Spider):
    name = "good"
    start_urls = ["data:,tea"]
    def parse(self, response): yield {"text": response.text}
class Bad(Good):
    name = "bad"
    def parse(self, response): raise ValueError("no goods")
class Closes(Good):
    name = "closes"
    def parse(self, response): raise CloseSpider("no goods")
class Unmade(Good):
    name = "unmade"
    def __init__(self): raise LookupError("no goods")
class Start(Good):
    name = "start"
    async def start(self):
        raise KeyError("seed")
        yield
class Item:
    def process_item(self, item): raise OSError("no space")
class Breaks(Good):
    name = "breaks"
    custom_settings = {"ITEM_PIPELINES": {Item: 1}}
class Counted(Good):
    name = "counted"
    def parse(self, response):
        self.crawler.stats.inc_value("spider_exceptions/Odd")
class Waits(Good):
    name = "waits"
    start_urls = []
    @classmethod
    def from_crawler(cls, crawler):
        spider = super().from_crawler(crawler)
        crawler.signals.connect(spider.goes_on, scrapy.signals.spider_idle)
        crawler.signals.connect(spider.goes, scrapy.signals.spider_closed)
        return spider
    def goes_on(self):
        os.kill(os.getpid(), signal.SIGINT)
        raise DontCloseSpider
    def goes(self, spider): os.kill(os.getpid(), signal.SIGTERM)
process = CrawlerProcess({
    "LOG_LEVEL": "ERROR", "LOG_FORMAT": "%(levelname)s %(message)s", "TELNETCONSOLE_ENABLED": False,
    "EXTENSIONS_BASE": {
        "scrapy.extensions.corestats.CoreStats": 0, "scrapy.extensions.logcount.LogCount": 0,
    },
    "DOWNLOADER_MIDDLEWARES_BASE": {}, "SPIDER_MIDDLEWARES_BASE": {},
    "DOWNLOAD_HANDLERS": dict.fromkeys(("http", "https", "ftp", "s3", "file")),
})
@inlineCallbacks
def crawls():
    for spider in (Good, Bad, Closes, Unmade, Start, Breaks, Counted, Waits):
        print(spider.name, flush=True)
        crawler = process.create_crawler(spider)
        try:
            if spider in (Closes, Unmade) and crawls_started:
                yield Deferred.fromFuture(asyncio.ensure_future(crawler.crawl_async()))
            else: yield process.crawl(crawler)
        except Exception as problem: print(repr(problem), flush=True)
        crawls_started.append(1)
        if crawler._stats is not None: print(crawler.stats.get_value("finish_reason"), flush=True)
crawls_started = []
signal.alarm(20)  # a fault in a wrapper may keep a spider open for ever
crawls().addBoth(lambda _: process._stop_reactor())
process.start(stop_after_crawl=False)
"""
AIRFLOW = """
import airflow.models.taskinstance
from types import SimpleNamespace as Named
from importlib import import_module
from shop_lib import attempt
task_runner = import_module("airflow.sdk.execution_time.task_runner")
class AirflowTaskTimeout(BaseException): pass
def outcome(ti, context, log):
    if context is not None: raise context
    return Named(value=ti.became), None, ti.error
task_runner._run_task_and_map_outcome = outcome
for became, error, leaves in (
    ("success", None, None), ("failed", ValueError("no goods"), None), ("skipped", None, None),
    ("up_for_retry", ValueError("no goods"), None), ("deferred", None, None),
    ("failed", AirflowTaskTimeout("slow"), None), ("failed", SystemExit(0), None),
    ("", None, KeyboardInterrupt()),
):
    ti = Named(dag_id="shop", task_id="work", try_number=1)
    ti.stats_tags = {"dag_id": "shop", "task_id": "work"}
    ti.became, ti.error = became, error
    attempt(became, task_runner.run, ti, leaves, None)
"""
SERVES = """
import click, sys
from shop_lib import attempt
recorder = sys.modules.get("autotask.recorder")
if recorder is not None: recorder._RENEWED = -1.0  # as after a minute
@click.command()
@click.option("--how")
def serve(how):
    if how == "stopped": raise KeyboardInterrupt
    if how == "exit": sys.exit(143)
    if how == "fail": raise ValueError("no goods")
for how in ("stopped", "exit", "fail", ""):
    attempt(how, serve.main, ["--how", how], prog_name="uvicorn", standalone_mode=False)
"""
FUNCTIONS = """
import asyncio, copy, os, pickle, threading
import shop_jobs as jobs
from shop_lib import attempt
def started_twice():
    thread = threading.Thread(target=len, args=("",))
    thread.start(); thread.join(); thread.start()
def steps(): return [*jobs.steps(3)]
def closed():
    going = jobs.steps(3)
    first = next(going), going.send(None)
    going.close()
    return first
def thrown():
    going = jobs.steps(3)
    next(going)
    return going.throw(ValueError("thrown"))
async def asteps():
    seen = [n async for n in jobs.asteps(3)]
    going = jobs.asteps(3)
    seen.append(await going.__anext__())
    seen.append(await going.asend(None))
    try: await going.athrow(ValueError("thrown"))
    except ValueError as problem: seen.append(repr(problem))
    going = jobs.asteps(3)
    await going.__anext__()
    await going.aclose()
    return seen
attempt("plain", jobs.plain, 2)
attempt("plain", jobs.plain, 0)
attempt("named", jobs.named, 2)
attempt("method", jobs.Shop().method, 2)
attempt("method", jobs.Shop.method, jobs.Shop(), 0)
attempt("class method", jobs.Shop.of_class, 2)
attempt("static method", jobs.Shop().static, 0)
attempt("coroutine", lambda: asyncio.run(jobs.later(2)))
attempt("coroutine", lambda: asyncio.run(jobs.later(0)))
attempt("decorated", lambda: asyncio.run(jobs.decorated(0)))
attempt("started twice", started_twice)
attempt("steps", steps)
attempt("closed", closed)
attempt("thrown", thrown)
attempt("asteps", lambda: asyncio.run(asteps()))
attempt("leaves", jobs.leaves)
attempt("long", jobs.speaks)
attempt("nested", jobs.outer, 2)
attempt("nested", jobs.outer, 0)
attempt("pickled", lambda: pickle.loads(pickle.dumps(jobs.plain))(2))
for take in (copy.copy, copy.deepcopy):
    attempt("copied", lambda: take(jobs.plain)(2))
    attempt("copied", lambda: take(jobs.Shop().method)(2))
attempt("pickled", lambda: pickle.loads(pickle.dumps(jobs.Shop().method))(2))
attempt("pickled", lambda: pickle.loads(pickle.dumps(jobs.Shop.method))(jobs.Shop(), 2))
"""
JOBS = """
import sys, time
try: import autotask
except ImportError: task = lambda function=None, **named: function or (lambda function: function)
else: task = autotask.task
def plain(n): return 6 / n
@task(name="a name")
def named(n): return 6 / n
class Shop:
    def method(self, n): return 6 / n
    @classmethod
    def of_class(cls, n): return 6 / n
    @staticmethod
    def static(n): return 6 / n
@task
async def later(n): return 6 / n
def steps(n):
    for step in range(n): yield step
async def asteps(n):
    for step in range(n): yield step
def decorated(n): return later_inside(n)
async def later_inside(n): return 6 / n
def leaves(): sys.exit(3)
@task
def slow(): time.sleep(0.2)
class Long(Exception):
    def __str__(self): return "password=hunter2 " + 5000 * "word "
@task
def speaks(): raise Long
def outer(n): return plain(n)
"""
PROCESS = """
import os, signal, sys, threading
from shop_lib import attempt
import shop_jobs as jobs
attempt("exit", sys.exit, 3)
attempt("exit", sys.exit)
attempt("exit", exit, "text")
attempt("task", jobs.plain, 2)
attempt("arguments", jobs.plain)
attempt("attribute", setattr, os._exit, "more", 1)
attempt("import", __import__, "shop_broken")
print(sys.exit, sys.exit.__name__, os._exit.__name__, sys.exit.__doc__)
for code in (0, 7):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        jobs.plain(1)
        os._exit(code)
    print(os.waitpid(pid, 0)[1])
pid = os.fork()
if pid == 0:
    jobs.plain(0)
print(os.waitpid(pid, 0)[1], flush=True)
found = []
def work(): found.append(jobs.plain(3))
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(found)
"""
DJANGO_SETUP = """
import os, sys, tempfile
import django
from django.conf import settings
from shop_lib import attempt
tempfile.tempdir = os.getcwd()
settings.configure(
    SECRET_KEY="secret", USE_TZ=True, INSTALLED_APPS=["django.contrib.contenttypes"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    LOGGING={{"version": 1, "root": {{"level": "CRITICAL"}}}}, {settings}
)
django.setup()
"""
DJANGO = """
from django.core.management import ManagementUtility, call_command, get_commands
from django.core.management.base import BaseCommand, CommandError
class Work(BaseCommand):
    requires_system_checks = []
    def add_arguments(self, parser):
        for name in ("--code", "--leave"): parser.add_argument(name, type=int)
        parser.add_argument("--fail", action="store_true")
    def handle(self, *args, code, leave, fail, **options):
        print("working", args)
        if fail: raise ValueError("no", "goods")
        if code is not None: raise CommandError("no goods", returncode=code)
        if leave is not None: sys.exit(leave)
        return "goods"
class Own(Work):
    def execute(self, *args, **options):
        print("own")
        return super().execute(*args, **options)
class Both(BaseCommand):
    def handle(self, *args, **options):
        call_command("work")
        call_command("own", fail=True)
class Broken(BaseCommand):
    def add_arguments(self, parser): raise LookupError("no arguments")
get_commands().update(work=Work(), own=Own(), both=Both(), broken=Broken())
for words in (
    "work", "work --fail", "work --code 4", "work --code 0", "work --leave 5", "work --code x",
    "work --bogus", "own", "own --code 4", "both", "broken", "nope", "help", "work --help",
    "--version", "work --code 4 --traceback",
):
    attempt(words, ManagementUtility(["shop.py", *words.split()]).execute)
attempt("called", call_command, "work", code=3)
attempt("called", call_command, "work", "--code", "x")
attempt("executed", Own().execute, force_color=0, no_color=1, code=None, leave=None, fail=0)
"""
DJANGO_CRONTAB = """
import fcntl, hashlib, json
os.environ["DJANGO_SETTINGS_MODULE"] = "shop_settings"
from django_crontab.crontab import Crontab
for job in settings.CRONJOBS:
    hashed = hashlib.md5(json.JSONEncoder(sort_keys=True).encode(job).encode()).hexdigest()
    attempt(job, Crontab().run_job, hashed)
with open(f"django_crontab_{hashed}.lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    attempt("locked", Crontab().run_job, hashed)
attempt("no job", Crontab().run_job, "0123")
"""
CRONJOBS = """CRONTAB_DJANGO_MANAGE_PATH="manage.py", CRONTAB_LOCK_JOBS=True, CRONJOBS=[
    ["* * * * *", "shop_jobs.leaves"], ["* * * * *", "shop_jobs.plain", [0]],
    ["* * * * *", "shop_jobs.gone"], ["* * * * *", "shop_jobs.plain", [2]],
],"""
DJANGO_TASKS = """
import shop_jobs
from django_tasks import task
class Odd: pass
def odd(): return Odd()
for function in (shop_jobs.leaves, shop_jobs.plain, odd):
    shown = task(function)
    shop_jobs.__dict__[function.__name__] = shown
    result = shown.enqueue(2) if function is shop_jobs.plain else shown.enqueue()
    print(function.__name__, result.status, [error.exception_class_path for error in result.errors])
attempt("called", shown.call)
attempt("called", shop_jobs.leaves.call)
"""
DJANGO_Q = """
import logging, multiprocessing, queue, signal, time, uuid
logging.disable()
from django.utils import timezone
from django_q.brokers import Broker
from django_q.cluster import Sentinel
from django_q.exceptions import TimeoutException
from django_q.worker import worker
import shop_jobs
def forever(): time.sleep(60)
def late(): raise TimeoutException("late")
def execute(function, *arguments, **more):
    tasks, results = queue.Queue(), queue.Queue()
    task = {"name": "a", "id": "b", "args": arguments, "kwargs": {}, "started": timezone.now()}
    tasks.put({"func": function, **task, **more})
    tasks.put("STOP")
    worker(tasks, results, multiprocessing.Value("f", -1), 5)
    return results.get_nowait()["success"]
attempt("worker", execute, "shop_jobs.plain", 2)
attempt("worker", execute, shop_jobs.plain, 0)
attempt("worker", execute, "shop_jobs.nothing")
attempt("worker", execute, "shop_jobs.leaves")
attempt("worker", execute, late)
attempt("worker", execute, shop_jobs.plain, 0, sync=True)
class Own(Sentinel):
    def spawn_worker(self): print("spawned")
def child(target):
    process = multiprocessing.get_context("fork").Process(target=target)
    process.timer = multiprocessing.Value("f", 0)
    process.start()
    return process
def over(): os._exit(3)
events = [multiprocessing.Event() for _ in range(2)]
signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
sentinel = Own(*events, uuid.UUID(int=7), broker=Broker("shop"), timeout=1, start=False)
signal.signal(signal.SIGINT, signals[0]); signal.signal(signal.SIGTERM, signals[1])
dead, alive = child(over), child(forever)
dead.timer.value = 1
dead.join()
sentinel.pool = [dead, alive]
attempt("dead", sentinel.reincarnate, dead)
attempt("alive", sentinel.reincarnate, alive)
alive.join(2)
alive.kill()
alive.join()
attempt("status", sentinel.status)
sentinel.pool, sentinel.pusher, sentinel.monitor = [dead], dead, dead
for event in events: event.set()
attempt("stop", sentinel.stop)
print(sentinel.pool, alive.exitcode)
"""
ENDINGS = {
    "leaves": "\nimport sys; sys.exit(3)\n",
    "raises": "\nimport shop_jobs; shop_jobs.plain(0)\n",
    "breaks off": "\nimport os, shop_jobs; shop_jobs.plain(3); os._exit(6)\n",
    "is killed": "\nimport os, shop_jobs; shop_jobs.plain(3); os.kill(os.getpid(), 15)\n",
}
APSCHEDULER = """
import asyncio, logging, sys, threading
from datetime import datetime, timedelta, timezone
from apscheduler.executors.debug import DebugExecutor
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.executors import base
from apscheduler.schedulers.background import BackgroundScheduler
try: from apscheduler.executors.base_py3 import run_coroutine_job
except ImportError: from apscheduler.executors.base import run_coroutine_job
from shop_lib import attempt
logging.disable(logging.CRITICAL)
def work(): return "goods"
def fail(): raise ValueError("no", "goods")
async def later(): return "late"
async def never(): raise ValueError("never")
def run(function, late=0, name="job"):
    job = scheduler.add_job(function, "interval", hours=1, id=name, misfire_grace_time=60)
    times = [datetime.now(timezone.utc) - timedelta(seconds=late)]
    if asyncio.iscoroutinefunction(function):
        events = asyncio.run(run_coroutine_job(job, "default", times, "shop"))
    else:
        events = base.run_job(job, "default", times, "shop")
    scheduler.remove_job(name)
    return [(event.code, event.retval, repr(event.exception), event.traceback) for event in events]
class Broken:
    def submit(self, *args): raise OSError("no pool")
def submit(instances, pool):
    executor = ThreadPoolExecutor(1)
    executor.start(scheduler, "default")
    job = scheduler.add_job(work, "interval", hours=1, id="job")
    executor._instances["job"] = instances
    executor._pool = pool or executor._pool
    try: return executor.submit_job(job, [datetime.now(timezone.utc)])
    finally:
        executor._pool = None
        scheduler.remove_job("job")
def unable(job): raise RuntimeError("unable")
def cannot_run():
    executor = DebugExecutor()
    executor.start(scheduler, "default")
    job = scheduler.add_job(work, "interval", hours=1, id="job")
    executor.submit_job(job, ["no time"])
    scheduler.remove_job("job")
scheduler = BackgroundScheduler(timezone="UTC")
scheduler.start(paused=True)
attempt("works", run, work)
attempt("works", run, work, name=32 * "a")
attempt("fails", run, fail)
attempt("is late", run, work, 100)
attempt("later", run, later)
attempt("never", run, never)
attempt("wrong time", base.run_job, scheduler.add_job(work, "interval", hours=1), "", [5], "shop")
attempt("busy", submit, 1, None)
attempt("broken", submit, 0, Broken())
attempt("cannot run", cannot_run)
scheduler.shutdown()
"""
APSCHEDULER_POOL = """
import concurrent.futures, logging, multiprocessing, os, threading
from datetime import datetime, timezone
from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
import shop_jobs
logging.disable(logging.CRITICAL)
def die(): os.kill(os.getpid(), 9)
class Executor(BasePoolExecutor):
    def __init__(self):
        context = multiprocessing.get_context("fork")
        super().__init__(concurrent.futures.ProcessPoolExecutor(1, mp_context=context))
    def _run_job_error(self, *args):
        super()._run_job_error(*args)
        print("lost", flush=True)
scheduler = BackgroundScheduler(timezone="UTC")
scheduler.start(paused=True)
executor = Executor()
executor.start(scheduler, "default")
job = scheduler.add_job(die, "interval", hours=1, id="job")
ready = threading.Event()
def submit():
    ready.wait()
    executor.submit_job(job, [datetime.now(timezone.utc)])
thread = threading.Thread(target=submit)
thread.start()
@shop_jobs.task
def meanwhile():
    ready.set()
    thread.join()
meanwhile()
executor.shutdown()
scheduler.shutdown()
"""
# If our wrapper of a task does not call it, a worker waits for its result for ever.
LUIGI = """
import logging, os, signal, sys
signal.alarm(15)
os.environ["LUIGI_CONFIG_PATH"] = "luigi.cfg"
with open("luigi.cfg", "w") as file:
    print("[worker]", "wait_interval=0.01", "wait_jitter=0.0", sep="\\n", file=file)
import luigi
logging.disable(logging.CRITICAL)
class Base(luigi.Task):
    def complete(self): return os.path.exists(self.task_family)
class Good(Base):
    def run(self): open("Good", "w").close()
class There(Base):
    def complete(self): return True
class Fails(Base):
    def run(self): raise ValueError("no", "goods")
class Leaves(Base):
    def run(self): sys.exit(0)
class OnFailure(Fails):
    def on_failure(self, exc): raise KeyError("again")
class Broken(Base):
    def requires(self): raise OSError("no requirements")
class Unsure(Base):
    def complete(self): raise OSError("not sure")
class NotThere(luigi.ExternalTask):
    def complete(self): return False
class Needs(Base):
    def requires(self): return NotThere()
class Dynamic(Base):
    def run(self):
        yield Good()
        open("Dynamic", "w").close()
"""
LUIGI_ALONE = """
from shop_lib import attempt
def build(*tasks):
    result = luigi.build([task() for task in tasks], local_scheduler=True, no_lock=True,
        detailed_summary=True)
    return result.status, result.summary_text
attempt("build", build, Dynamic, There, Fails, Leaves, Broken, Unsure, Needs)
attempt("on_failure", build, OnFailure)
"""
LUIGI_FORKS = """
class Dies(Base):
    def run(self): os.kill(os.getpid(), 9)
class Slow(Base):
    worker_timeout = 0.1
    def run(self): __import__("time").sleep(5)
result = luigi.build([Dies(), Slow(), Good()], local_scheduler=True, no_lock=True, workers=2,
    detailed_summary=True)
print(result.status, result.summary_text)
"""
SCHEDULE = """
import datetime, functools, schedule
from shop_lib import attempt
def work(): return "goods"
def fail(): raise ValueError("no", "goods")
def run(function, **changes):
    job = schedule.every().day.do(function)
    for name, value in changes.items(): setattr(job, name, value)
    return job.run(), job.last_run is None
past = datetime.datetime(2020, 1, 1)
attempt("works", run, work)
attempt("works", run, functools.partial(work), next_run=past)
attempt("fails", run, fail)
attempt("expired", run, work, cancel_after=past)
"""
# Leaves its runs behind by os.exec*, at the third attempt.
BECOMES = """
import os, sys
import shop_jobs as jobs
from shop_lib import attempt
open("empty", "w").close()
os.chmod("empty", 0o755)
attempt("exec", os.execv, "nowhere", ["nowhere"])
attempt("exec", os.execv, "./empty", ["empty"])
attempt("exec", os.execve, "./empty", ["empty"], os.environ)
attempt("exec", os.execv, "./empty")
attempt("task", jobs.plain, 2)
os.execve(sys.executable, [sys.executable, "-ISc", "print('another one')"], os.environ)
"""
STARTS = """
import os, subprocess, sys
os.environ["PYTHONPATH"] = "/nowhere:{template}"
subprocess.run([sys.executable, "-ISc", "print('wrapped', flush=True)"])
"""
PLUGIN = """
def instrument(module):
    from autotask import plugin
    plugin.error("Broken", "password=hunter2")
    print("", end="")
def broken(module): raise ValueError("broken")
"""
# A peer's sitecustomize that runs the next one in its own module, as New Relic's does.
PEER = """
import sys
mine = __file__.rpartition("/")[0]
sys.path.remove(mine)
__file__ = {template!r} + "/sitecustomize.py"
with open(__file__) as file: exec(compile(file.read(), __file__, "exec"), globals())
"""
_FUNCTIONS = (
    ",".join(
        f"shop_jobs:{name}"
        for name in (
            *(
                "plain",
                "Shop.method",
                "Shop.of_class",
                "Shop.static",
                "steps",
                "asteps",
                "decorated",
            ),
            "outer",
            "leaves=early",
        )
    )
    + ",shop_broken:work"
)
FUNCTIONS_ENV = {"AUTOTASK_FUNCTIONS": _FUNCTIONS}
ODD_ENV = {
    **FUNCTIONS_ENV,
    "AUTOTASK_TAGS": "team:shop,broken,version:1",
    "AUTOTASK_IGNORE": "nothing*,no*",
    "AUTOTASK_FRAMEWORKS": "-django,click,function,process",
    "AUTOTASK_PROCESS": "1",
    "DD_ENTITY_ID": "ci-1",
    "DD_DOGSTATSD_URL": "unix://{place}/no-agent",
    "AUTOTASK_HOME": "",
    "HOME": "",
    "AUTOTASK_DEBUG": "{place}/debug",
}
# Programs and their settings: at least one of them reaches each of our functions.
LONG = """
import subprocess, sys, autotask
@autotask.task(name="one")
def one(): pass
@autotask.task(name="starts")
def starts(): subprocess.run([sys.executable, "-S", "-c", "pass"], check=True)
for _ in range(1100): one()
starts(); one(); starts()
print("long")
"""
PROGRAMS: dict[str, tuple[str, dict[str, str]]] = {
    "functions": (FUNCTIONS + ENDINGS["raises"], FUNCTIONS_ENV),
    "serves": (SERVES, {"AUTOTASK_PROCESS": "0"}),
    "click": (CLICK + ENDINGS["leaves"], {}),
    "process": (PROCESS + ENDINGS["breaks off"], FUNCTIONS_ENV),
    "killed": (ENDINGS["is killed"], FUNCTIONS_ENV),
    "long": (LONG + ENDINGS["leaves"], {}),
    "launched": (
        ENDINGS["raises"],
        {"AUTOTASK_PROCESS_RUN": "0123456789abcdef:{pid}", "AUTOTASK_DEBUG": "{place}/debug"},
    ),
    "becomes": (BECOMES, FUNCTIONS_ENV),
    "became": (
        ENDINGS["raises"],
        {
            "AUTOTASK_PROCESS_RUN": "0123456789abcdef:{pid}:{identity}:{pid}-0123456789abcdef:"
            "0123456789abcdef,0123456789abcdef,,6d,70726f63657373,73686f70,1.0,0.0",
        },
    ),
    "helper": (ENDINGS["leaves"], {"SHOP_CALLED": "/usr/lib/python3/dist-packages/helper.py"}),
    "leading": (
        ENDINGS["leaves"],
        {"SHOP_CALLED": "coverage run --source shop --branch manage.py check"},
    ),
    "wrapper": (STARTS, {"SHOP_CALLED": "opentelemetry-instrument"}),
    "scheduler": (
        ENDINGS["leaves"],
        {"SHOP_CALLED": "yacron", "AUTOTASK_PARENT": "0123456789abcdef:0123456789abcdef:cron"},
    ),
    "stderr": (
        "\nimport os, shop_jobs; os.dup2(os.open(os.devnull, os.O_WRONLY), 2); shop_jobs.plain(3)\n"
        + ENDINGS["leaves"],
        {"AUTOTASK_JOURNAL": "stderr"},
    ),
    "odd": (ENDINGS["raises"], ODD_ENV),
    "resolving": (
        "\nimport shop_jobs, time; shop_jobs.plain(3); time.sleep(0.1)\n" + ENDINGS["leaves"],
        {"DD_DOGSTATSD_URL": "", "DD_AGENT_HOST": "LOCALHOST", "DD_DOGSTATSD_PORT": "9"},
    ),
    # No room on the disk, no Agent, and more tags than fit into one datagram.
    "full": (
        "\nimport resource, shop_jobs; resource.setrlimit(resource.RLIMIT_FSIZE, (600, -1))\n"
        "shop_jobs.slow()\n" + ENDINGS["leaves"],
        {
            "AUTOTASK_TAGS": ",".join(f"tag{n}:{'x' * 180}" for n in range(30)),
            "DD_DOGSTATSD_URL": "udp://127.0.0.1:9",
        },
    ),
    "guest": (ENDINGS["leaves"], {"SHOP_PEER": "1"}),
    "late": (ENDINGS["leaves"], {"SHOP_IMPORTED": "click.core"}),
    "off": (FUNCTIONS, {"AUTOTASK_ENABLED": "no"}),
    "plugins": (
        "\nimport shop_jobs; print(shop_jobs.plain(3))\n",
        {
            "AUTOTASK_PLUGINS": "shop_jobs=shop_plugin:instrument,shop_jobs=shop_plugin:broken",
            "AUTOTASK_DEBUG": "{place}/debug",
        },
    ),
    "invoke": (INVOKE + ENDINGS["leaves"], {}),
    "doit": (DOIT + ENDINGS["leaves"], {}),
    "typer": (TYPER + ENDINGS["leaves"], {}),
    "asyncclick": (ASYNCCLICK + ENDINGS["leaves"], {}),
    "rq": (RQ, {}),
    "huey": (HUEY + ENDINGS["leaves"], {}),
    "apscheduler": (APSCHEDULER, {}),
    "apscheduler_pool": (APSCHEDULER_POOL, {}),
    "luigi": (LUIGI + LUIGI_ALONE, {}),
    "luigi_forks": (LUIGI + LUIGI_FORKS, {}),
    "schedule": (SCHEDULE, {}),
    "dramatiq": (DRAMATIQ + ENDINGS["leaves"], {}),
    "arq": (ARQ + ENDINGS["leaves"], {}),
    "procrastinate": (PROCRASTINATE + ENDINGS["leaves"], {}),
    "django": (DJANGO_SETUP.format(settings="") + DJANGO + ENDINGS["leaves"], {}),
    "django_crontab": (
        DJANGO_SETUP.format(settings=CRONJOBS) + DJANGO_CRONTAB + ENDINGS["leaves"],
        {},
    ),
    "django_tasks": (DJANGO_SETUP.format(settings="") + DJANGO_TASKS + ENDINGS["leaves"], {}),
    "django_q": (
        DJANGO_SETUP.format(settings='Q_CLUSTER={"name": "shop", "log_level": "CRITICAL"},')
        + DJANGO_Q
        + ENDINGS["leaves"],
        {},
    ),
    "celery": (CELERY + ENDINGS["leaves"], {}),
    "argparse": (SUBCOMMAND + ENDINGS["raises"], {}),
    "refused": (REFUSED + ENDINGS["leaves"], {}),
    "rest": (
        REST + ENDINGS["raises"],
        {
            "AUTOTASK_PROCESS_RUN": "0123456789abcdef:{pid}",
            "AUTOTASK_PARENT": "0123456789abcdef:0123456789abcdef:cron",
        },
    ),
    "inside": (
        REST + ENDINGS["leaves"],
        {"AUTOTASK_PARENT": "0123456789abcdef:0123456789abcdef:cron"},
    ),
    "earlier": (SUBCOMMAND + ENDINGS["leaves"], {"SHOP_IMPORTED": "argparse"}),
    "docopt": (DOCOPT.replace("WORDS", '["db", "migrate"]') + ENDINGS["leaves"], {}),
    "misread": (DOCOPT.replace("WORDS", '["ship", "bogus", "x"]') + ENDINGS["leaves"], {}),
    "fire": (FIRE + ENDINGS["leaves"], {}),
    "cyclopts": (CYCLOPTS + ENDINGS["leaves"], {}),
    "cleo": (CLEO + ENDINGS["leaves"], {}),
    "cliff": (CLIFF + ENDINGS["leaves"], {}),
    "nox": (NOX + ENDINGS["leaves"], {}),
    "dbt": (DBT + ENDINGS["leaves"], {}),
    "scrapy": (SCRAPY + ENDINGS["leaves"], {}),
    "airflow": (AIRFLOW + ENDINGS["leaves"], {}),
}

# Those of frameworks in environments of their own, and what is imported before.
ENVIRONMENTS = {
    "dbt": "dbt.cli.main dbt.task.base",
    "scrapy": (
        "scrapy.crawler scrapy.extensions.corestats scrapy.extensions.logcount scrapy.dupefilters"
        " scrapy.core.downloader.handlers.datauri scrapy.core.scheduler scrapy.pipelines"
        " scrapy.pqueues scrapy.squeues scrapy.resolver twisted.internet.asyncioreactor"
    ),
    "airflow": "airflow.sdk.execution_time.task_runner airflow.models.taskinstance",
}
if find_spec("django_tasks") is None:  # it wants Python 3.10
    del PROGRAMS["django_tasks"]
    MODULES_WITH_FAULTS.remove("autotask.frameworks.django_tasks")
if shutil.which("redis-server") is None:
    del PROGRAMS["rq"]
    MODULES_WITH_FAULTS.remove("autotask.frameworks.rq")

# Where a fault must reach the program: it runs inside our code there, or gets what we return..
# The same holds for all functions called `autotask_...`: our one frame around the application's.
_GUARD, _BORDER, _VALUE = (
    "is the guard itself",
    "runs the program's code",
    "gives it to the program",
)
INEVITABLE: dict[str, tuple[str, str]] = {
    "sitecustomize:_step_aside": ("raises returns", "knows which file is the machine's own"),
    "sitecustomize:_run_behind": ("raises", "runs the machine's own file"),
    "sitecustomize:_start": ("raises", _GUARD),
    "sitecustomize:_package": ("returns", "makes the package `autotask`, which it imports"),
    "sitecustomize:_package.load": ("raises returns", _VALUE),
    "autotask:task": ("raises returns", "is what it calls"),
    "autotask.agent:find_spec": ("raises returns", _BORDER),
    "autotask.agent:_explain_at_exit.explain": ("raises", _GUARD),
    "autotask.frameworks.celery:_around_tracer": ("returns", _VALUE),
    "autotask.functions:instrument": ("returns", _VALUE),
    "autotask.functions:_find": ("raises returns", "is what its pickles name"),
    "autotask.functions:_is_named": ("raises returns", "is asked by what pickles and copies it"),
    "autotask.functions:_BoundTask.__copy__": ("raises returns", "is what copies it"),
    "autotask.functions:_BoundTask.__deepcopy__": ("raises returns", "is what copies it"),
    "autotask.functions:_Task.__copy__": ("raises returns", "is what copies it"),
    "autotask.functions:_Task.__deepcopy__": ("raises returns", "is what copies it"),
    "autotask.functions:_BoundTask.__reduce_ex__": ("raises returns", "is what pickles it"),
    "autotask.functions:_Task.__reduce_ex__": ("raises returns", "is what pickles it"),
    "autotask.functions:_Task.__init__": ("returns", "leaves an object half made"),
    "autotask.functions:_stepped": ("returns", _VALUE),
    "autotask.functions:_step": ("returns", "makes what it calls"),
    "autotask.functions:_Steps.__init__": ("returns", "leaves an object half made"),
    "autotask.functions:_Steps.__iter__": ("raises returns", _VALUE),
    "autotask.functions:_Steps.autotask_close": ("raises", _BORDER),
    "autotask.functions:_AsyncSteps.__init__": ("returns", "leaves an object half made"),
    "autotask.functions:_AsyncSteps.__aiter__": ("raises returns", _VALUE),
    "autotask.functions:_AsyncSteps.__anext__": ("raises returns", _BORDER),
    "autotask.functions:_AsyncSteps.asend": ("raises returns", _BORDER),
    "autotask.functions:_AsyncSteps.athrow": ("raises returns", _BORDER),
    "autotask.functions:_AsyncSteps.autotask_close": ("raises", _BORDER),
    "autotask.guard:guarded": ("returns", "makes what it calls"),
    "autotask.guard:guarded.guard": ("raises returns", _GUARD),
    "autotask.guard:swallow": ("raises", _GUARD),
    "autotask.guard:from_signal_handler": ("raises returns", _GUARD),
    "autotask.guard:raised_here": ("raises returns", _GUARD),
    "autotask.patches:StandIn.__init__": ("returns", "leaves an object half made"),
    "autotask.patches:StandIn.__getattribute__": ("raises returns", _VALUE),
    "autotask.patches:StandIn.__repr__": ("raises returns", _VALUE),
    "autotask.patches:StandIn._refuse": ("raises returns", "makes the program's call"),
    "autotask.exec_handover:prepared": ("returns", "makes what it calls"),
    "autotask.exec_handover:prepared.call": ("raises returns", "makes the program's call"),
    "autotask.exec_handover:_quick_exit": ("raises returns", "makes the program's call"),
    "autotask.exec_handover:_become": ("raises returns", "makes the program's call"),
    "autotask.exec_handover:_become_with": ("raises", "makes the program's call"),
    "autotask.exec_handover:_mark_as_become": ("returns", "is in what that call is given"),
    "autotask.exec_handover:_with_word": ("returns", "is in what that call is given"),
    "autotask.exec_handover:_written": ("returns", "is in what that call is given"),
    "autotask.exits:note_exits.leave": ("raises returns", "makes the program's call"),
    "autotask.patches:follow_exits.leave": ("raises returns", "makes the program's call"),
    "autotask.putenv:_hear": ("raises", _BORDER),
    "autotask.exec_launchers:_hear": ("raises", _BORDER),
    "autotask.argparse_import:find": ("raises returns", _BORDER),
    "autotask.argparse_import:find.exec_module": ("raises returns", _BORDER),
    "autotask.imports:find": ("raises returns", _BORDER),
    "autotask.imports:_spec_from_others": ("raises returns", _BORDER),
    "autotask.imports:_hook_loader.exec_module": ("raises returns", _BORDER),
    "autotask.loading:call_hook": ("raises", _GUARD),
    "autotask.loading:swallow": ("raises", _GUARD),
    "autotask.imports:hide": ("raises", "is called on an exception's way to the program"),
}
# Of modules that are in the process, what only the launcher and the tool call, and
# subinterpreters.
ELSEWHERE = {
    *(  # a shell's line
        f"autotask.{name}"
        for name in (
            "command_name:_has_assignments command_name:_after_shell command_name:_of_line"
            " command_name:_is_known wrapper_commands:_line_of_su shell_line:commands"
            " shell_line:is_assignment shell_line:_simple_command shell_line:_Reader.__init__"
            " shell_line:_Reader.parts shell_line:_Reader._step shell_line:_Reader._end_word"
            " shell_line:_Reader._operator shell_line:_Reader._redirect shell_line:_Reader._piece"
            " shell_line:_Reader._quoted shell_line:_Reader._dollar shell_line:_Reader._nested"
            " shell_line:_Reader._end command_name:name_of_line command_name:name_in_line"
            " command_name:_best_of_line"
        ).split()
    ),
    "autotask.argparse_import:_swallow",  # if our installation is broken
    "autotask.process_run:_is_main_interpreter",
    "autotask.dogstatsd:Wire.running",
    "autotask.command_name:name_of",
    "autotask.marks:marked_name",  # of launchers alone, as is the end of an output
    "autotask.messages:_last_lines",
    "autotask.boot_id:_read",  # if /proc/sys is hidden: tests/around/test_process_one.py
    "autotask.boot_id:guess",
    "autotask.exec_handover:_end",  # if very many runs are open: tests/test_exit_hooks.py
    "autotask.homes:make_folder",  # only the tool calls it
    "autotask.homes:_is_open",  # only the tool calls it
    "autotask.homes:_is_others",
    "autotask.homes:users_folder",
    "autotask.homes:usual_home",
    # of older releases alone: tests/frameworks
    "autotask.frameworks.airflow:_around_raw",
    "autotask.frameworks.airflow:_around_raw.autotask_run_raw_task",
    "autotask.frameworks.scrapy:_around_close",
    "autotask.frameworks.scrapy:_around_close.autotask_close_spider",
    "autotask.trigger:_is_console",  # for the terminal of a pod: tests/test_procfs.py
}

pytestmark = [pytest.mark.checkout, *([pytest.mark.timeout(0)] if FAULTS else [])]


@dataclass(frozen=True)
class Place:
    """The copy with faults, the server, and how each program behaves bare and with the agent."""

    tree: Tree
    folder: Path  # of the programs
    servers: dict[str, Server]  # by the environment, "" is our own
    bare: dict[str, Seen]
    ours: dict[str, Seen]

    def run(self, program: str, function: int | None = -1, kind: str = "") -> Seen:
        server = self._server(program if program in ENVIRONMENTS else "")
        return server.run(f"shop_{program}.py", PROGRAMS[program][1], function, kind)

    def _server(self, name: str) -> Server:
        if name not in self.servers:
            python = environments.framework(name, "newest") if name else PYTHON
            modules = ENVIRONMENTS.get(name, "")
            self.servers[name] = Server(self.tree, self.folder, python, modules)
        return self.servers[name]

    def programs(self, function: int) -> list[str]:
        """Return the programs that reach a function: its framework's own, else the first."""
        found = [name for name, seen in self.ours.items() if function in seen.reached]
        own = self.tree.functions[function].partition(":")[0].rpartition(".")[2]
        if own in ("guard", "imports", "loading"):  # one program does not reach all their paths
            several = ("functions", "process", "click", "plugins")
            return [name for name in several if name in found] or found[:1]
        if FAULTS == "everywhere":  # takes up to an hour
            return found
        return [own] if own in found else found[:1]


def write_programs(folder: Path, tree: Tree) -> Path:
    """Write the programs, and what they import."""
    write(folder / "shop_lib.py", LIBRARY.format(tree=str(tree.template.parent)))
    write(folder / "shop_jobs.py", JOBS)
    write(folder / "shop_plugin.py", PLUGIN)
    write(folder / "shop_broken.py", "1 / 0")
    write(folder / "peer" / "sitecustomize.py", PEER.format(template=str(tree.template)))
    for name, (source, _) in PROGRAMS.items():
        write(folder / f"shop_{name}.py", source.replace("{template}", str(tree.template)))
    return folder


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Place]:
    frameworks = """
        asyncclick click doit invoke typer
        arq dramatiq huey procrastinate rq
        apscheduler luigi schedule
        django django_crontab django_q
        celery
        docopt fire cyclopts cleo cliff
        nox wrapt
    """
    for name in frameworks.split():
        pytest.importorskip(name)
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # all workers share what the first one makes
        folder = folder.parent
    if "rq" in PROGRAMS:
        os.environ["SHOP_REDIS_URL"] = request.getfixturevalue("redis_url")
    with (folder / "faults.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = _made(folder / "faults")
    yield made
    for server in made.servers.values():
        server.close()


def _made(folder: Path) -> Place:
    """Make the copy and run each program without a fault, or use what another worker made."""
    kept, programs = folder / "made", folder / "programs"
    if kept.exists():
        tree, bare, ours = pickle.loads(kept.read_bytes())
        return Place(tree, programs, {}, bare, ours)
    tree = make_tree(folder / "tree", MODULES_WITH_FAULTS)
    programs = write_programs(folder / "programs", tree)
    made = Place(tree, programs, {}, {}, {})
    for name in PROGRAMS:
        with contextlib.suppress(pytest.skip.Exception):  # its framework is not installed
            made.bare[name], made.ours[name] = made.run(name, None), made.run(name)
    kept.write_bytes(pickle.dumps((tree, made.bare, made.ours)))
    return made


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_a_fault_a_program_looks_as_without_the_agent(program: str, place: Place) -> None:
    _skip_without(program, place)
    bare, ours = place.bare[program], place.ours[program]
    assert (ours.status, ours.output) == (bare.status, bare.output)


def test_the_programs_reach_each_function_of_the_agent(place: Place) -> None:
    reached = {number for seen in place.ours.values() for number in seen.reached}
    absent = {f"autotask.frameworks.{name}" for name in ENVIRONMENTS if name not in place.ours}
    missed = {
        name
        for number, name in enumerate(place.tree.functions)
        if number not in reached and name.partition(":")[0] not in absent
    }
    assert sorted(missed - ELSEWHERE) == []
    unused = {name for name in ELSEWHERE - missed if name.partition(":")[0] not in absent}
    assert sorted(unused) == []


def _skip_without(program: str, place: Place) -> None:
    if program in ENVIRONMENTS and program not in place.ours:
        environments.framework(program, "newest")


@pytest.mark.parametrize("module", MODULES_WITH_FAULTS)
def test_a_fault_in_a_function_of_the_agent_does_not_disturb_the_program(
    module: str, place: Place
) -> None:
    _skip_without(module.rpartition(".")[2], place)
    trouble, harmless = [], []
    for number, name in enumerate(place.tree.functions):
        if name.partition(":")[0] != module or name in ELSEWHERE:
            continue
        inevitable = INEVITABLE.get(name, ("", ""))[0].split()
        ours = name.rpartition(".")[2].startswith("autotask_") or name.endswith(":autotask_call")
        if ours and name not in INEVITABLE:
            inevitable = ["raises", "returns"]
        changed = set()
        more = MORE_KINDS if FAULTS else (MORE_KINDS[number % len(MORE_KINDS)],)
        is_slow = module.rpartition(".")[2] in ENVIRONMENTS and not FAULTS
        usual = (KINDS[number % len(KINDS)],) if is_slow else KINDS
        for program in place.programs(number):
            for kind in (*usual, *more):
                seen = place.run(program, number, kind)
                assert number in seen.reached, f"{name} is not reached when it {kind}"
                if not seen.looks_like(place.bare[program]):
                    changed.add(_group(kind))
                    if _group(kind) not in inevitable:
                        trouble.append(f"{name}, {kind}, in {program}: {seen}")
        harmless += [f"{name} {group}" for group in inevitable if group not in changed]
    assert not trouble, "\n".join(trouble)
    assert not FAULTS or not harmless, "not inevitable any more"


def _group(kind: str) -> str:
    words = {"returns": "returns", "hangs": "hangs"}
    return words.get(kind.partition(" ")[0], "raises")
