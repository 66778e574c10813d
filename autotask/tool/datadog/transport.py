"""Send the requests of the `datadog` package: wait and try again, until a bound is reached.

What to do after a failure is decided by status codes and by the types of exceptions. Their texts
are no guide: they hold host names, which may contain any word, and differ between versions.
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

PATIENCE = 180.0  # seconds for one request, with all that is waited and tried again
TIMEOUT = 30.0  # seconds until an answer must have begun
AT_ONCE = 8  # requests
FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0  # seconds between tries
_HARMLESS = ("GET", "PUT", "DELETE")  # twice is as once
_HARMLESS_POSTS = ("/validate", "/series")

STOPPED = threading.Event()  # set: do not wait for another try any more


class RefusedError(ToolError):
    """Datadog answered, and it was no."""

    def __init__(self, status: int, errors: Sequence[str]) -> None:
        self.status = status
        super().__init__(f"{'; '.join(errors) or 'no reason was given'} ({status})")


class UncertainError(ToolError):
    """Whether a request was obeyed is not known: it may not be sent again as it is."""


class _Trouble(NamedTuple):
    """Why there is no answer yet."""

    text: str
    pause: float = 0  # seconds that the server asks us to wait
    obeyed: bool = True  # it may have been


class Transport:
    """The package's place for an HTTP client; its own neither waits nor tries again."""

    _session: Any = None
    _lock = threading.Lock()

    @classmethod
    def request(cls, method: str, url: str, **options: Any) -> Any:
        """Send a request until there is an answer, within the bound; raise RefusedError."""
        harmless = method in _HARMLESS or url.endswith(_HARMLESS_POSTS)
        options = {key: value for key, value in options.items() if key != "max_retries"}
        end = time.monotonic() + PATIENCE
        pause = FIRST_PAUSE
        while True:
            answer = cls._answer(method, url, options)
            trouble = answer if isinstance(answer, _Trouble) else _judged(answer)
            if trouble is None:
                return answer
            if trouble.obeyed and not harmless:
                raise UncertainError(trouble.text)
            wait = max(trouble.pause, pause)
            if time.monotonic() + wait > end:
                raise ToolError(f"{trouble.text}; given up after {PATIENCE:.0f} s")
            wait_for_next_try(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @classmethod
    def _answer(cls, method: str, url: str, options: Mapping[str, Any]) -> Any:
        """Send a request once; return the answer, or what went wrong on its way."""
        import requests
        import urllib3

        try:
            return cls._opened().request(method, url, **{**options, "timeout": TIMEOUT})
        except (requests.RequestException, urllib3.exceptions.HTTPError) as problem:
            return _trouble(problem, urlsplit(url).netloc.rpartition("@")[2])

    @classmethod
    def _opened(cls) -> Any:
        import requests

        with cls._lock:
            if cls._session is None:
                cls._session = requests.Session()
                adapter = requests.adapters.HTTPAdapter(pool_maxsize=AT_ONCE)
                for scheme in ("https://", "http://"):
                    cls._session.mount(scheme, adapter)
            return cls._session


def wait_for_next_try(seconds: float = FIRST_PAUSE) -> None:
    """Pause; raise ToolError after Ctrl-C."""
    if STOPPED.wait(seconds):
        raise ToolError("interrupted before it was tried again")


def _judged(answer: Any) -> _Trouble | None:
    """Say what a status means; raise RefusedError for one that another try does not change."""
    if answer.status_code < 400:
        return None
    if answer.status_code == 429:
        return _Trouble("Datadog's rate limit is used up", _until_turn(answer), obeyed=False)
    if answer.status_code >= 500:
        return _Trouble(f"Datadog answers {answer.status_code}")
    raise RefusedError(answer.status_code, _errors(answer.content))


def _until_turn(answer: Any) -> float:
    """Return the seconds until the rate limit's period is over, if the answer has them."""
    named = answer.headers.get("X-RateLimit-Reset", "")
    return float(named) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", named) else 0


def _trouble(problem: Exception, host: str) -> _Trouble:
    """Say what went wrong on the way, without the headers that an exception may hold.

    Raises:
        ToolError: Nothing was sent, and another try would not help.
    """
    import requests
    import urllib3

    causes = list(_causes(problem))

    def was(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    proxied = was(requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)
    whose = f"the proxy on the way to {host}" if proxied else host
    hopeless = _hopeless(was, whose)
    if hopeless is not None:
        raise ToolError(hopeless)
    if was(urllib3.exceptions.NewConnectionError):  # urllib3 1.26 makes it a timeout, too
        return _Trouble(f"{whose} cannot be reached", obeyed=False)
    if was(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return _Trouble(f"{host} does not answer", obeyed=False)
    if was(requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError, socket.timeout):
        return _Trouble(f"{host} does not answer")
    if proxied and not was(ConnectionError):
        raise ToolError(f"{whose} refuses to connect")  # it answered, but not with 200
    return _Trouble(f"{host} broke the connection")


def _hopeless(was: Callable[..., bool], whose: str) -> str | None:
    """Say what stays wrong, however often one tries."""
    import requests
    import urllib3

    errors = requests.exceptions
    unreadable = errors.InvalidURL, errors.InvalidSchema, errors.MissingSchema
    if was(*unreadable, urllib3.exceptions.LocationParseError):
        return f"the address {whose}, or that of its proxy, is not valid"
    if was(socket.gaierror):
        return f"{whose} cannot be found: is the name right (DD_SITE), is there a network?"
    if was(ConnectionRefusedError):
        return f"{whose} cannot be reached: the connection was refused"
    if was(ssl.SSLCertVerificationError):
        return f"the certificate of {whose} is not trusted"
    return None


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it was made of, each once.

    requests and urllib3 keep what they wrap as `reason`, as an argument, as cause or as context,
    depending on the version.
    """
    waiting, seen = [problem], set()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen or isinstance(cause, ToolError):
            continue
        seen.add(id(cause))
        yield cause
        inner = (getattr(cause, "reason", None), cause.__cause__, cause.__context__, *cause.args)
        waiting += [one for one in inner if isinstance(one, BaseException)]


def _errors(content: bytes) -> list[str]:
    """Return what an answer complains of: texts, or objects in version 2 of the API."""
    try:
        errors = json.loads(content).get("errors") or []
    except (ValueError, AttributeError):
        return []
    return [_error(one) for one in errors] if isinstance(errors, list) else [str(errors)]


def _error(error: Any) -> str:
    if isinstance(error, dict):
        return str(error.get("detail") or error.get("title") or error)
    return str(error)
