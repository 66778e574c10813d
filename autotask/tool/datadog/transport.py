"""Send the requests of the `datadog` package, and retry them for a limited time.

Status codes and types of exceptions decide what to do after a failure. Their texts must not: they
contain host names, which may contain any word, and they differ between versions.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from autotask.tool.errors import ToolError

PATIENCE = 180.0  # seconds for one request with all its retries
TIMEOUT = 30.0  # seconds until a response must have begun
AT_ONCE = 8  # requests
FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0  # seconds between tries
_IDEMPOTENT = ("GET", "PUT", "DELETE")
_IDEMPOTENT_POSTS = ("/validate", "/series")

STOPPED = threading.Event()  # set after Ctrl-C: no more retries


class RefusedError(ToolError):
    """Datadog refused a request."""

    def __init__(self, status: int, errors: Sequence[str]) -> None:
        self.status = status
        super().__init__(f"{'; '.join(errors) or 'no reason given'} ({status})")


class UncertainError(ToolError):
    """It is not known whether a request took effect: it must not just be repeated."""


class _Failure(NamedTuple):
    """Why there is no usable response yet."""

    text: str
    pause: float = 0  # seconds that the server asks to wait
    may_have_worked: bool = True


class Transport:
    """An HTTP client for the package, whose own one does not retry."""

    _session: Any = None
    _lock = threading.Lock()

    @classmethod
    def request(cls, method: str, url: str, **options: Any) -> Any:
        """Send a request until there is a response, for a limited time.

        Raises:
            RefusedError: Datadog refused it.
            UncertainError: It may have taken effect, and must not be repeated.
            ToolError: There is no response.
        """
        idempotent = method in _IDEMPOTENT or url.endswith(_IDEMPOTENT_POSTS)
        # `max_retries` is meant for the package's own client.
        options = {key: value for key, value in options.items() if key != "max_retries"}
        end = time.monotonic() + PATIENCE
        pause = FIRST_PAUSE
        while True:
            response = cls._send_once(method, url, options)
            failure = response if isinstance(response, _Failure) else _failure_in(response)
            if failure is None:
                return response
            if failure.may_have_worked and not idempotent:
                raise UncertainError(failure.text)
            wait = max(failure.pause, pause)
            if time.monotonic() + wait > end:
                raise ToolError(f"{failure.text}; gave up after {PATIENCE:.0f} s")
            wait_for_next_try(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @classmethod
    def _send_once(cls, method: str, url: str, options: Mapping[str, Any]) -> Any:
        """Send a request once; return the response or a _Failure."""
        import requests
        import urllib3

        try:
            return cls._shared_session().request(method, url, **{**options, "timeout": TIMEOUT})
        except (requests.RequestException, urllib3.exceptions.HTTPError) as problem:
            return _failure_of(problem, urlsplit(url).netloc.rpartition("@")[2])

    @classmethod
    def _shared_session(cls) -> Any:
        import requests

        with cls._lock:  # requests are sent from several threads
            if cls._session is None:
                cls._session = requests.Session()
                adapter = requests.adapters.HTTPAdapter(pool_maxsize=AT_ONCE)
                for scheme in ("https://", "http://"):
                    cls._session.mount(scheme, adapter)
            return cls._session


def wait_for_next_try(seconds: float = FIRST_PAUSE) -> None:
    """Wait; raise ToolError after Ctrl-C."""
    if STOPPED.wait(seconds):
        raise ToolError("interrupted before the next try")


def _failure_in(response: Any) -> _Failure | None:
    """Return what a status means; raise RefusedError if another try would not help."""
    if response.status_code < 400:
        return None
    if response.status_code == 429:
        reset = response.headers.get("X-RateLimit-Reset", "")  # seconds
        pause = float(reset) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", reset) else 0
        return _Failure("Datadog's rate limit was exceeded", pause, may_have_worked=False)
    # A server or proxy may fail after the request took effect.
    if response.status_code >= 500:
        return _Failure(f"Datadog responds with status {response.status_code}")
    raise RefusedError(response.status_code, _errors(response.content))


def _failure_of(problem: Exception, host: str) -> _Failure:
    """Return what an exception means. Its own text may contain headers, which contain keys.

    Raises:
        ToolError: Nothing was sent, and another try would not help.
    """
    import requests
    import urllib3

    causes = list(_causes(problem))  # requests wraps those of urllib3, which wraps those of Python

    def was(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    proxied = was(requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)
    peer = f"the proxy for {host}" if proxied else host
    permanent = _permanent(was, peer)
    if permanent is not None:
        raise ToolError(permanent)
    if was(urllib3.exceptions.NewConnectionError):  # a timeout as well in urllib3 1.26
        return _Failure(f"{peer} cannot be reached", may_have_worked=False)
    if was(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return _Failure(f"{host} does not respond", may_have_worked=False)
    if was(requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError, socket.timeout):
        return _Failure(f"{host} does not respond")
    if proxied and not was(ConnectionError):
        raise ToolError(f"{peer} refuses to connect")  # it responded, but not with 200
    return _Failure(f"{host} closed the connection")


def _permanent(was: Callable[..., bool], peer: str) -> str | None:
    """Return what another try would not change; None if it might help."""
    import requests
    import urllib3

    errors = requests.exceptions
    unreadable = errors.InvalidURL, errors.InvalidSchema, errors.MissingSchema
    if was(*unreadable, urllib3.exceptions.LocationParseError):
        return f"the address {peer}, or that of its proxy, is not valid"
    if was(socket.gaierror):
        return f"{peer} cannot be found: check DD_SITE and the network"
    if was(ConnectionRefusedError):
        return f"{peer} cannot be reached: connection refused"
    if was(ssl.SSLCertVerificationError):
        return f"the certificate of {peer} is not trusted"
    return None


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it wraps, each once.

    requests and urllib3 store a wrapped exception as `reason`, argument, cause or context,
    depending on the version.
    """
    remaining, seen = [problem], set()
    while remaining:
        cause = remaining.pop()
        if id(cause) in seen or isinstance(cause, ToolError):
            continue
        seen.add(id(cause))
        yield cause
        wrapped = (getattr(cause, "reason", None), cause.__cause__, cause.__context__, *cause.args)
        remaining += [inner for inner in wrapped if isinstance(inner, BaseException)]


def _errors(content: bytes) -> list[str]:
    """Return the errors in a response: strings, or objects in version 2 of the API."""
    try:
        errors = json.loads(content).get("errors") or []
    except (ValueError, AttributeError):
        return []
    if not isinstance(errors, list):
        return [str(errors)]
    return [
        str(error.get("detail") or error.get("title") or error)
        if isinstance(error, dict)
        else str(error)
        for error in errors
    ]
