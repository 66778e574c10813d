"""Back ends for the peers, on loopback: one that answers, one that refuses, one that hangs."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

REFUSED = "127.0.0.1:9"
_ANSWERS = {  # to requests that peers make before they send anything
    "/": {"version": "8.0.0"},  # an Elastic server
    "/info": {"endpoints": ["/v0.4/traces", "/telemetry/proxy/"], "version": "7.70.0"},
}
_KEPT = 200  # connections of the back end that hangs


class Request(NamedTuple):
    path: str
    body: bytes


class Collector:
    """An HTTP server that accepts and keeps whatever it is sent."""

    def __init__(self) -> None:
        self.received: list[Request] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = _decoded(self._body(), self.headers.get("Content-Encoding", ""))
                received.append(Request(self.path, body))
                answer = json.dumps(_ANSWERS.get(self.path, {})).encode()
                self.send_response(202 if "intake" in self.path else 200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST  # noqa: N815  http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # killed clients
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{server.server_address[1]}"

    def bodies(self, path: str) -> list[bytes]:
        """Return the bodies sent to paths with this beginning."""
        return [
            request.body
            for request in self.received
            if request.path.startswith(path) and request.body
        ]


def _decoded(body: bytes, encoding: str) -> bytes:
    try:
        if encoding == "gzip":
            return gzip.decompress(body)
        return zlib.decompress(body) if encoding == "deflate" else body
    except (OSError, EOFError, zlib.error):  # the sender was killed while sending
        return b""


class Hanging:
    """A server that accepts connections and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._taken: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            self._taken.append(self._listener.accept()[0])
            if len(self._taken) > _KEPT:
                self._taken.pop(0).close()
