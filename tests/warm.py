"""Python programs in forks of a warm Python, which has imported their third-party modules.

That saves most of the cost of a start. It is for programs that are not the subject of a test: for
the `autotask` command if its start is not tested, and for programs without the agent,
with which those under the agent are compared. Nothing of autotask is imported before the fork. Each
fork has its own environment, folder and streams, and ends as a Python does.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

# What an interpreter reads when it starts: a program with other values needs its own.
_AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC", "GLIBC", "SSL_")
TOOL = (
    "argparse ast csv concurrent.futures datadog.api.api_client datadog.api.exceptions difflib"
    " fcntl grp hashlib importlib.util importlib_metadata ipaddress jinja2 pwd requests"
    " rich.console rich.progress rich.table rich.text rich.tree shlex sqlite3 ssl subprocess"
    " tempfile urllib3 zoneinfo"
)
FRAMEWORKS = (
    "asyncio click django.core.management django.db.backends.sqlite3.base doit.doit_cmd"
    " doit.exceptions invoke subprocess threading typer.core"
)


class Warm:
    """A warm Python, and the way to ask it for forks."""

    def __init__(self, python: str, modules: str) -> None:
        self.environ = dict(os.environ)
        self._folder = tempfile.TemporaryDirectory()
        self._path = os.path.join(self._folder.name, "s")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen(64)
            self._process = subprocess.Popen(
                [python, "-c", _SERVER, str(listener.fileno()), modules],
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,  # the server keeps its other end
                stdout=subprocess.PIPE,  # both stay empty, but make streams for pipes
                stderr=subprocess.PIPE,
                cwd="/",
            )
        atexit.register(self.close)

    def run(
        self,
        program: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        timeout: float,
    ) -> tuple[int, bytes, bytes]:
        """Run what follows `python` in a command: FILE, `-c` or `-m`, and their arguments.

        Nothing is to be read from its standard input. Returns the status, a signal's as subprocess
        does, and what was written to the standard output and to the standard error.
        """
        end = time.monotonic() + timeout
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(self._path)
            request = json.dumps([list(program), dict(env), cwd]).encode()
            with open(os.devnull) as nothing:
                streams = [nothing.fileno(), out_end, err_end]
                socket.send_fds(asking, [b"%10d" % len(request)], streams)
            os.close(out_end)
            os.close(err_end)
            asking.sendall(request)
            pid = int(_read(asking.recv, 10))
            try:
                written = _all({out: b"", err: b""}, end)
                asking.settimeout(max(end - time.monotonic(), 0.1))
                status = os.waitstatus_to_exitcode(int(_read(asking.recv, 10)))
            except (TimeoutError, socket.timeout):  # one, from 3.10 on
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(program), timeout) from None
            finally:
                os.close(out)
                os.close(err)
        return status, written[out], written[err]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


@cache
def _warm(python: str, modules: str, of: int) -> Warm:
    return Warm(python, modules)


def warm(python: str, modules: str, env: Mapping[str, str]) -> Warm | None:
    """Return the warm Python of this process, or None if a program needs a fresh one."""
    if sys.implementation.name != "cpython":
        return None
    known = _warm(python, modules, os.getpid())
    return known if _at_the_start(env) == _at_the_start(known.environ) else None


def _at_the_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_AT_THE_START)}


def _read(receive: Callable[[int], bytes], size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = receive(size - len(data))
        assert more, "the warm Python ended"
        data += more
    return data


def _all(written: dict[int, bytes], end: float) -> dict[int, bytes]:
    """Read pipes to their ends."""
    going = set(written)
    while going:
        ready = select.select(going, [], [], max(end - time.monotonic(), 0))[0]
        if not ready:
            raise TimeoutError
        for pipe in ready:
            data = os.read(pipe, 1 << 16)
            written[pipe] += data
            if not data:
                going.remove(pipe)
    return written


# Each program continues after `serve()`. A process between it and the server waits for it.
_SERVER = r"""
import json, os, select, signal, socket, sys, time
for name in sys.argv[2].split():
    try: __import__(name)
    except Exception: pass  # not installed, or too old for this Python
for name in [name for name in sys.modules if name.partition(".")[0] == "autotask"]:
    del sys.modules[name]
import gc; gc.collect(); gc.freeze()

def receive(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more: os._exit(1)
        data += more
    return data

def serve(listener):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while listener in select.select([listener, 0], [], [])[0]:
        connection = listener.accept()[0]
        if os.fork():
            connection.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        size, streams, *_ = socket.recv_fds(connection, 10, 3)
        size += receive(connection, 10 - len(size))
        request = json.loads(receive(connection, int(size)))
        pid = os.fork()
        if pid == 0:
            connection.close()
            listener.close()
            begin(streams, *request)
            return request[0]
        for stream in streams: os.close(stream)
        connection.sendall(b"%10d" % pid)
        connection.sendall(b"%10d" % os.waitpid(pid, 0)[1])
        os._exit(0)
    sys.exit()

def begin(streams, program, env, cwd):
    for number, stream in enumerate(streams): os.dup2(stream, number)
    os.closerange(3, 64)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = program
    sys.orig_argv = [sys.executable, *program]
    if program[0] in ("-c", "-m"):
        sys.argv = program[:1] + program[2:]
        sys.path[0] = "" if program[0] == "-c" else cwd
    else:
        sys.path[0] = os.path.dirname(os.path.realpath(program[0]))

program = serve(socket.socket(fileno=int(sys.argv[1])))
sys.modules["__main__"] = main = type(sys)("__main__")
if program[0] == "-c":
    main.code = compile(program[1], "<string>", "exec")
elif program[0] == "-m":
    main.code = f"import runpy; runpy._run_module_as_main({program[1]!r})"
else:
    main.__file__ = program[0]
    with open(program[0], "rb") as file: main.code = compile(file.read(), program[0], "exec")
    del file
del program, serve, begin, receive
exec(main.__dict__.pop("code"), main.__dict__)
"""
