"""Servers run until they are stopped: that is a success, and all else that ends them is not."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
from pathlib import Path

import environments
import pytest
from frameworks._own import heed_interrupts, in_short
from support import PRODUCTS, Under, run_program, runs, start_program, wait_until, write

APPS = """
import flask
application = flask.Flask(__name__)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

@application.cli.command("tidy")
def tidy():
    print("tidied up")
"""
# The commands, and the task of their own that they are, too: Click's.
SERVERS = {
    "uvicorn shop:app --port {port}": "uvicorn",
    "gunicorn shop:application --bind 127.0.0.1:{port} --workers 2": "",
    "hypercorn shop:app --bind 127.0.0.1:{port}": "",
    "flask --app shop run --port {port}": "flask.run",
    "python -m http.server {port} --bind 127.0.0.1": "",
}
_WAYS: list[tuple[signal.Signals, Under]] = [
    (signal.SIGTERM, "launcher"),
    (signal.SIGINT, "path"),
    *([(signal.SIGTERM, "path"), (signal.SIGINT, "launcher")] if PRODUCTS == "all" else []),  # type: ignore[list-item]
]


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the servers' programs; the test is in that of an application."""
    heed_interrupts()
    python = environments.framework("servers", "newest")
    write(tmp_path / "shop.py", APPS)
    monkeypatch.chdir(tmp_path)
    return python.parent


def _stopped(folder: Path, command: str, number: signal.Signals, under: Under) -> int:
    """Start a server, stop it once it answers, and return its status."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = command.format(port=port).split()
    server = start_program(
        folder / words[0],
        *words[1:],
        under=under,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: _answers(port) or server.poll() is not None)
    assert server.poll() is None
    server.send_signal(number)
    return server.wait(timeout=60)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


@pytest.mark.parametrize(("number", "under"), _WAYS)
@pytest.mark.parametrize("command", SERVERS)
def test_a_server_that_is_stopped_is_a_success(
    command: str, number: signal.Signals, under: Under, bin_folder: Path, home: Path
) -> None:
    bare = _stopped(bin_folder, command, number, "bare")
    assert _stopped(bin_folder, command, number, under) == bare
    # Nothing inside a process sees that SIGTERM kills it: a later command finds it dead.
    status = "running" if under == "path" and bare == -signal.SIGTERM else "success"
    words = command.split()
    name = words[2] if words[0] == "python" else words[0]
    expected = [f"{name} {status}"]
    if SERVERS[command]:
        expected.append(f"{SERVERS[command]} {status} in {name}")
    assert in_short(runs(home)) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "uvicorn nowhere:app",
            ["uvicorn failure nested STATUS by uvicorn", "uvicorn failure exit STATUS in uvicorn"],
        ),
        ("gunicorn nowhere:app --bind 127.0.0.1:0", ["gunicorn failure exit STATUS"]),
        ("flask --app shop tidy", ["flask success", "flask.tidy success in flask"]),
        (
            "flask --app shop run --port x",
            ["flask failure nested STATUS by flask.run", "flask.run failure usage STATUS in flask"],
        ),
    ],
)
def test_a_server_that_cannot_start_is_a_failure(
    command: str, expected: list[str], bin_folder: Path, home: Path
) -> None:
    words = command.split()
    bare = run_program(bin_folder / words[0], *words[1:], under="bare")
    ours = run_program(bin_folder / words[0], *words[1:], under="launcher")
    assert ours.status == bare.status
    recorded = [line.replace(f" {bare.status}", " STATUS") for line in in_short(runs(home))]
    assert recorded == expected
