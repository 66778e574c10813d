"""What happens if Datadog, or the proxy in front of it, does not respond as it should."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tool.datadog.server import API_KEY, APP_KEY

from autotask.tool.datadog import transport
from autotask.tool.datadog.api import Api
from autotask.tool.errors import ToolError

Answer = Callable[[socket.socket], None]
KEYS = {"DD_API_KEY": API_KEY, "DD_APP_KEY": APP_KEY}


def hang(client: socket.socket) -> None:
    client.recv(1 << 16)
    client.recv(1)  # until it is closed at the other end


def reset(client: socket.socket) -> None:
    client.recv(1 << 16)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def saying(text: bytes, then: Answer = lambda _: None) -> Answer:
    def answer(client: socket.socket) -> None:
        client.recv(1 << 16)
        client.sendall(text)
        then(client)

    return answer


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[]"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
DENIED = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], int]]:
    """Return a function that starts a server for many connections, and returns its port."""
    monkeypatch.setattr(transport, "PATIENCE", 0.2)
    monkeypatch.setattr(transport, "TIMEOUT", 0.2)
    monkeypatch.setattr(transport, "FIRST_PAUSE", 0.15)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    listeners: list[socket.socket] = []

    def start(answer: Answer) -> int:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        words = listeners[-1], answer
        threading.Thread(target=answer_all, args=words, daemon=True).start()
        return int(listeners[-1].getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def answer_all(listener: socket.socket, answer: Answer) -> None:
    with contextlib.suppress(OSError):  # the test is over
        while True:
            words = listener.accept()[0], answer
            threading.Thread(target=answer_one, args=words, daemon=True).start()


def answer_one(client: socket.socket, answer: Answer) -> None:
    with client, contextlib.suppress(OSError):
        answer(client)


def asked(url: str) -> str:
    """Ask for monitors; return the error."""
    with pytest.raises(ToolError) as complaint:
        Api({**KEYS, "DATADOG_HOST": url}).monitors([])
    return str(complaint.value)


DIRECTLY = [
    (hang, "HOST does not respond; gave up after 0 s"),
    (saying(HALF, hang), "HOST does not respond; gave up after 0 s"),
    (saying(HALF), "HOST closed the connection; gave up after 0 s"),
    (saying(b"what?\r\n"), "HOST closed the connection; gave up after 0 s"),
    (saying(b""), "HOST closed the connection; gave up after 0 s"),
    (reset, "HOST closed the connection; gave up after 0 s"),
]


def test_a_server_that_does_not_respond_or_closes_is_reported(
    serve: Callable[[Answer], int],
) -> None:
    for answer, told in DIRECTLY:
        host = f"127.0.0.1:{serve(answer)}"
        assert asked(f"http://{host}/proxy/refused") == told.replace("HOST", host)


THROUGH_A_PROXY = [
    (hang, "HOST does not respond; gave up after 0 s"),
    (saying(DENIED), "the proxy for HOST refuses to connect"),
    (saying(b""), "HOST closed the connection; gave up after 0 s"),
    (None, "the proxy for HOST cannot be reached: connection refused"),
]


@pytest.mark.parametrize("host", ["dd-proxy.corp", "unresolved-refused.timed-out.certificate"])
def test_the_name_of_a_host_does_not_affect_the_message(
    serve: Callable[[Answer], int], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for answer, told in THROUGH_A_PROXY:
        port = serve(answer) if answer else 9
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        assert asked(f"https://{host}") == told.replace("HOST", host)


def test_an_unknown_proxy_is_reported_as_the_proxy(
    serve: Callable[[Answer], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://no.such.invalid:3128")
    assert asked("https://timed-out.corp").startswith(
        "the proxy for timed-out.corp cannot be found"
    )


def test_an_untrusted_certificate_is_reported(
    serve: Callable[[Answer], int], tmp_path: Path
) -> None:
    openssl = shutil.which("openssl") or pytest.skip("no openssl")
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    subject = ["-subj", "/CN=localhost", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files = ["-keyout", key, "-out", certificate]
    words = [openssl, "req", "-x509", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port = serve(lambda client: saying(WHOLE)(context.wrap_socket(client, server_side=True)))
    assert (
        asked(f"https://127.0.0.1:{port}") == f"the certificate of 127.0.0.1:{port} is not trusted"
    )


def test_errors_of_both_versions_of_the_api_are_shown(serve: Callable[[Answer], int]) -> None:
    body = b'{"errors":["no tag",{"title":"Bad","detail":"no scope"},{"title":"Odd"}]}'
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body)
    port = serve(saying(head + body))
    assert asked(f"http://127.0.0.1:{port}") == "no tag; no scope; Odd (400)"
