"""What is told: a sendmail that keeps its mails, and a web server that keeps its requests."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support import write

_SENDMAIL = """\
#!/bin/sh
# As the real ones: words that it does not know are addresses, and stdin is the mail.
mkdir -p {place}/mails
printf '%s\\n' "$*" > {place}/words
{first}
cat > {place}/mails/$$
"""


class Sendmail:
    """A `sendmail` in a folder that is to be put on the PATH."""

    def __init__(self, place: Path, first: str = "") -> None:
        self.folder = place / "mta"
        self._place = place / "mail-spool"
        self._place.mkdir()
        script = _SENDMAIL.format(place=self._place, first=first)
        write(self.folder / "sendmail", script).chmod(0o755)

    @property
    def path(self) -> str:
        return f"{self.folder}:{os.environ.get('PATH', os.defpath)}"

    @property
    def words(self) -> str:
        return (self._place / "words").read_text().strip()

    def mails(self) -> list[EmailMessage]:
        """Return what was sent, as a reader of mails takes it."""
        return [message_from_bytes(data, policy=policy.default) for data in self.raw()]

    def raw(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self._place / "mails").glob("*"))]


@dataclass
class Web:
    """A server on the loopback interface, and what was posted to it."""

    url: str
    posted: list[tuple[str, str | None, Any]] = field(default_factory=list)  # path, type, JSON
    asked: list[str] = field(default_factory=list)  # paths of other requests
    authorized: list[str] = field(default_factory=list)  # by users and passwords
    release: threading.Event = field(default_factory=threading.Event)  # of what hangs


@contextmanager
def web() -> Iterator[Web]:
    """Start a server: `/503` and the like are answered so, `/to/URL` leads there, `/hang` hangs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.posted.append((self.path, self.headers.get("Content-Type"), json.loads(data)))
            seen.authorized += filter(None, [self.headers.get("Authorization")])
            if self.path == "/hang":
                seen.release.wait()
            word = self.path.strip("/").partition("/")[0]
            self.send_response(302 if word == "to" else int(word) if word.isdigit() else 200)
            if word == "to":
                self.send_header("Location", self.path[len("/to/") :])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            seen.asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen = Web(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield seen
    finally:
        seen.release.set()
        server.shutdown()
        server.server_close()
