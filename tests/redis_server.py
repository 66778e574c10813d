"""A redis server of the tests' own: Debian's, on a free port of loopback, without persistence."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import wait_until


@contextmanager
def redis_server(folder: Path, port: int = 0) -> Iterator[str]:
    """Run a server until the block ends, and give its URL, as `redis://127.0.0.1:40001/0`.

    Skips the test if there is no server on this machine. Raises OSError if a given *port* is taken.
    """
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine: apt-get install redis-server")
    folder.mkdir(parents=True, exist_ok=True)
    process, own = _start(program, folder, port)
    while process.poll() is not None:  # another process has taken the port meanwhile
        if port:
            raise OSError(f"port {port} is taken")
        process, own = _start(program, folder, port)
    try:
        yield f"redis://127.0.0.1:{own}/0"
    finally:
        process.terminate()
        process.wait()


def _start(program: str, folder: Path, port: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server, and wait until it answers or has ended because its port is taken."""
    port = port or _free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "")
    with open(folder / "redis.log", "wb") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log)
    wait_until(lambda: process.poll() is not None or _answers(port, process.pid))
    said = (folder / "redis.log").read_text()
    assert process.poll() is None or "Address already in use" in said, said
    return process, port


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _answers(port: int, pid: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as asking:
            asking.sendall(b"INFO server\r\n")
            return b"process_id:%d\r\n" % pid in asking.recv(1 << 16)
    except OSError:
        return False
