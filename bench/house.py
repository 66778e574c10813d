"""The measured programs, and the ways to run them."""

from __future__ import annotations

import compileall
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from measure import TELL_END, TELL_MEMORY, Command

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CALLS = 20_000

_CLICK = """\
import click

@click.command()
def hello():
    pass

"""
_LOOP = """\
import sys
for _ in range(int(sys.argv[1])):
    hello.main([], standalone_mode=False)
"""
_WRAPPED = """\
import sys
with hello.make_context("hello", []) as ctx:
    for _ in range(int(sys.argv[1])):
        hello.invoke(ctx)
"""
# For Ruby, as gc.disable() in the programs above: one collection more or less is 9 M instructions.
NO_GC = {
    "RUBY_GC_HEAP_INIT_SLOTS": "300000",
    "RUBY_GC_MALLOC_LIMIT": "1000000000",
    "RUBY_GC_MALLOC_LIMIT_MAX": "1000000000",
    "RUBY_GC_OLDMALLOC_LIMIT": "1000000000",
    "RUBY_GC_OLDMALLOC_LIMIT_MAX": "1000000000",
}
_RAKEFILE = """\
task(:hello) { nil }
task(:loop) { ENV["CALLS"].to_i.times { Rake::Task[:hello].execute } }
task(out: :hello)
at_exit { $stdout.syswrite(Process.clock_gettime(Process::CLOCK_MONOTONIC)) } if ENV["OUT"]
"""
PROGRAMS = {
    "Rakefile": _RAKEFILE,
    "hello.py": _CLICK + "hello()\n",
    "memory.py": TELL_MEMORY + _CLICK + "hello()\n",
    "idle.py": TELL_MEMORY,
    "out.py": _CLICK + "hello.main([], standalone_mode=False)\n" + TELL_END,
    "loop.py": _CLICK + _LOOP,
    "wrapped.py": _CLICK + _WRAPPED,
    "tasks.py": "from invoke import task\n\n@task\ndef hello(c):\n    pass\n",
    "dodo.py": "def task_hello():\n    return {'actions': [lambda: None]}\n",
    "empty/sitecustomize.py": "",
}


class House:
    """A copy of autotask with bytecode, as it is installed, and programs to run with it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.path = os.pathsep.join((str(place / "bin"), str(BIN), os.environ.get("PATH", "")))
        shutil.rmtree(place, ignore_errors=True)
        for folder in ("autotask", "autotask_ruby", "bin", "sitecustomize_template"):
            shutil.copytree(
                ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name, source in PROGRAMS.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text(source)
        compileall.compile_dir(place, quiet=1)
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.listener.bind(("127.0.0.1", 0))
        self.full = self._full_socket()
        self.has_ruby = all(shutil.which(name, path=self.path) for name in ("ruby", "rake"))
        self._bare = {
            "PATH": self.path,
            "HOME": str(place),
            "PYTHONHASHSEED": "0",
        }
        if self.has_ruby:
            self.ruby("rake", "hello").run()  # makes the home

    def bare(self, *words: str, **more: str) -> Command:
        """Return the command without autotask."""
        return Command(self._words(words), {**self._bare, **more}, self.place)

    def ours(self, *words: str, **more: str) -> Command:
        """Return the command as `autotask-run` would start it, with the same variables."""
        environ = {
            **self._bare,
            "PYTHONPATH": str(self.place / "sitecustomize_template"),
            "AUTOTASK_HOME": str(self.place / "home"),
            "AUTOTASK_PROCESS": "0",
            "DD_DOGSTATSD_URL": self.listening,
            **more,
        }
        return Command(self._words(words), environ, self.place)

    def ruby(self, *words: str, **more: str) -> Command:
        """Return a command of Ruby as a launcher would start it, below a run of its own."""
        environ = {
            **self._bare,
            "RUBYLIB": str(self.place / "autotask_ruby"),
            "AUTOTASK_HOME": str(self.place / "home"),
            "AUTOTASK_PARENT": "0123456789abcdef:0123456789abcdef:cron",
            "DD_DOGSTATSD_URL": self.listening,
            **more,
        }
        return Command(self._words(words), environ, self.place)

    @property
    def listening(self) -> str:
        return f"udp://127.0.0.1:{self.listener.getsockname()[1]}"

    @property
    def refused(self) -> str:
        return "udp://127.0.0.1:9"

    def _words(self, words: Sequence[str]) -> list[str]:
        if words[0].endswith(".py") or words[0].startswith("-"):
            return [sys.executable, *words]
        return [shutil.which(words[0], path=self.path) or words[0], *words[1:]]

    def _full_socket(self) -> str:
        """Return the address of an Agent that hangs: its socket is full."""
        path = str(self.place / "full.socket")
        self._hanging = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._hanging.bind(path)
        self._filling = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._filling.setblocking(False)
        try:
            while True:
                self._filling.sendto(b"full", path)
        except BlockingIOError:
            return f"unix://{path}"
