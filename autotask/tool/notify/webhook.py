"""A POST of JSON to an address of the web."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import autotask
from autotask.tool.errors import ToolError
from autotask.tool.notify.targets import Message

_TIMEOUT = 10.0  # seconds until a connection, and until an answer


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nothing: what is told is for this address alone, and a POST would become a GET."""

    def redirect_request(self, *_: Any) -> None:
        return None


def send(message: Message, url: str) -> None:
    """Send the document; raise ToolError if it is not taken. *url* is http or https."""
    parts = urlsplit(url)
    who, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(  # noqa: S310  `targets` has checked its scheme
        parts._replace(netloc=host, fragment="").geturl(),
        json.dumps(message.document).encode("ascii"),
        {"Content-Type": "application/json", "User-Agent": f"autotask/{autotask.__version__}"},
    )
    if at:
        word = base64.b64encode(unquote_to_bytes(who)).decode("ascii")
        request.add_header("Authorization", f"Basic {word}")
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        opener.open(request, timeout=_TIMEOUT).close()
    except urllib.error.HTTPError as problem:
        problem.close()
        where = " (redirects are not followed)" if 300 <= problem.code < 400 else ""
        raise ToolError(f"it responds with status {problem.code}{where}") from None
    except urllib.error.URLError as problem:
        reason = problem.reason
        raise ToolError(getattr(reason, "strerror", None) or str(reason)) from None
