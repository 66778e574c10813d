"""Datadog's API, through the `datadog` package, with a transport that waits and tries again.

The package is imported where it is used: most commands do without it, and it is slow to load.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autotask.tool.datadog.monitors import Monitor, key_of, key_tag
from autotask.tool.errors import ToolError

PATIENCE = 180.0  # seconds for one request, with all that is waited and tried again
TIMEOUT = 30.0  # seconds until an answer must have begun
AT_ONCE = 8  # requests
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0  # seconds between tries
_PAGE = 1000  # monitors: the most that Datadog gives
_HARMLESS = ("GET", "PUT", "DELETE")  # twice is as once
_HARMLESS_POSTS = ("/validate", "/mute", "/unmute", "/series")


STOPPED = threading.Event()  # set: nobody waits for another try any more


class RefusedError(ToolError):
    """Datadog answered, and it was no."""

    def __init__(self, status: int, errors: Sequence[str]) -> None:
        self.status = status
        super().__init__(f"{'; '.join(errors) or 'no reason was given'} ({status})")


class UncertainError(ToolError):
    """Whether a request was obeyed is not known: it may not be sent again as it is."""


class Api:
    """What is asked of Datadog, with the keys and the site of the environment.

    Raises:
        ToolError: A key or the site is missing or cannot be one.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.site = environ.get("DD_SITE", "").strip() or "datadoghq.com"
        if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", self.site):
            raise ToolError(
                "DD_SITE is no site: datadoghq.com, datadoghq.eu, us5.datadoghq.com, ..."
            )
        keys = {name: _key(environ, name) for name in ("DD_API_KEY", "DD_APP_KEY")}

        import datadog
        from datadog import api
        from datadog.api.api_client import APIClient

        datadog.initialize(
            api_key=keys["DD_API_KEY"],
            app_key=keys["DD_APP_KEY"],
            api_host=environ.get("DATADOG_HOST") or f"https://api.{self.site}",  # as in the package
            host_name=os.uname().nodename,
            hostname_from_config=False,
            mute=False,
        )
        STOPPED.clear()
        plugged: Any = _Transport
        APIClient._http_client = plugged
        self._api: Any = api

    # Monitors.

    def monitors(self, tags: Sequence[str]) -> list[Monitor]:
        """Return all monitors that carry all of these tags, in the order of their ids."""
        found: dict[int, Monitor] = {}
        for page in range(10_000):
            some = self._asked(
                self._api.Monitor.get_all, monitor_tags=list(tags), page=page, page_size=_PAGE
            )
            new = {one["id"]: one for one in some if one["id"] not in found}
            found.update(new)
            if not new:  # not: a short page, for the server may give less than was asked for
                break
        return [found[key] for key in sorted(found) if set(tags) <= set(found[key]["tags"])]

    def validate(self, monitor: Monitor) -> None:
        """Let Datadog look at a monitor without making it."""
        self._asked(self._api.Monitor.validate, **monitor)

    def create(self, monitor: Monitor) -> None:
        """Make a monitor, once, also where the answer is lost on its way."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self._asked(self._api.Monitor.create, **monitor)
                return
            except UncertainError:
                if time.monotonic() > end:
                    raise
            _pause(_FIRST_PAUSE)
            if any(_same(one, monitor) for one in self.monitors([key_tag(key_of(monitor) or "")])):
                return

    def update(self, number: int, monitor: Monitor) -> None:
        """Change a monitor; what is left out at the top stays, *options* are replaced whole."""
        self._asked(self._api.Monitor.update, number, **monitor)

    def delete(self, number: int) -> None:
        """Delete a monitor; one that is gone is as good."""
        try:
            self._asked(self._api.Monitor.delete, number)
        except RefusedError as refused:
            if refused.status != 404:
                raise

    def mute(self, number: int, scope: str | None, end: int | None) -> None:
        """Mute a monitor, or a part of its groups, until a moment or until it is unmuted."""
        said = {"scope": scope, "end": end}
        self._asked(self._api.Monitor.mute, number, **_given(said))

    def unmute(self, number: int, scope: str | None) -> bool:
        """Take that back; tell whether there was something to take back."""
        try:
            self._asked(self._api.Monitor.unmute, number, **_given({"scope": scope}))
        except RefusedError as refused:
            if refused.status != 400:
                raise
            return False
        return True

    # Dashboards.

    def dashboards(self) -> list[dict[str, Any]]:
        """Return a summary of all dashboards: no widgets."""
        answer = self._asked(self._api.Dashboard.get_all)
        return list(answer.get("dashboards") or ())

    def dashboard(self, number: str) -> dict[str, Any]:
        """Return a whole dashboard."""
        return dict(self._asked(self._api.Dashboard.get, number))

    def create_dashboard(self, dashboard: Mapping[str, Any]) -> dict[str, Any]:
        """Make a dashboard; return it as it is now."""
        return dict(self._asked(self._api.Dashboard.create, **dashboard))

    def update_dashboard(self, number: str, dashboard: Mapping[str, Any]) -> None:
        """Replace a dashboard."""
        self._asked(self._api.Dashboard.update, number, **dashboard)

    def delete_dashboard(self, number: str) -> None:
        """Delete a dashboard; one that is gone is as good."""
        try:
            self._asked(self._api.Dashboard.delete, number)
        except RefusedError as refused:
            if refused.status != 404:
                raise

    # Metrics.

    def query(self, query: str, span: float) -> list[dict[str, Any]]:
        """Return the series that a query gives for the last so many seconds."""
        now = int(time.time())
        answer = self._asked(self._api.Metric.query, start=now - int(span), end=now, query=query)
        return list(answer.get("series") or ())

    def seed(self, name: str, tag_lists: Sequence[Sequence[str]]) -> None:
        """Send a count of 0 with each list of tags, so that Datadog knows the series."""
        if tag_lists:
            now = time.time()
            metrics = [
                {
                    "metric": name,
                    "points": [(now, 0)],
                    "type": "count",
                    "interval": 10,
                    "tags": tags,
                }
                for tags in tag_lists
            ]
            self._asked(self._api.Metric.send, metrics=metrics)

    def _asked(self, ask: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """Ask, and tell what an answer means that is no answer."""
        from datadog.api.exceptions import DatadogException

        try:
            return ask(*words, **named)
        except RefusedError as refused:
            if refused.status in (401, 403):
                raise ToolError(self._why_forbidden(refused)) from None
            raise
        except (DatadogException, ValueError) as problem:  # without its text: it may hold a key
            kind = type(problem).__name__
            raise ToolError(f"Datadog at {self.site} answered what is no answer ({kind})") from None

    def _why_forbidden(self, refused: RefusedError) -> str:
        """Find out which key it is: one request takes the API key alone."""
        from datadog.api.api_client import APIClient

        try:
            APIClient.submit("GET", "validate")
        except RefusedError:
            return f"DD_API_KEY is not known at {self.site}: it is wrong, or of another DD_SITE"
        return (
            f"DD_APP_KEY is wrong, or must not do this ({refused}): it needs monitors_read, "
            "monitors_write, dashboards_read, dashboards_write, timeseries_query"
        )


def _same(found: Monitor, wanted: Monitor) -> bool:
    """Tell whether that is the monitor which was about to be made, and not what it replaces."""
    schedules = [bool(one["options"].get("scheduling_options")) for one in (found, wanted)]
    return schedules[0] == schedules[1] and all(
        found[field] == wanted[field] for field in ("name", "query", "type")
    )


def _given(words: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}


def _key(environ: Mapping[str, str], name: str) -> str:
    key = environ.get(name, "").strip()
    if not key:
        raise ToolError(f"{name} is not set: Datadog asks for DD_API_KEY and DD_APP_KEY")
    if not re.fullmatch(r"[!-~]+", key):
        raise ToolError(f"{name} is no key: it holds spaces or odd characters")
    return key


class _Transport:
    """The package's place for an HTTP client; its own neither waits nor tries again."""

    _session: Any = None
    _lock = threading.Lock()

    @classmethod
    def request(cls, method: str, url: str, **options: Any) -> Any:
        """Send a request until there is an answer, within the bound; raise RefusedError."""
        harmless = method in _HARMLESS or url.endswith(_HARMLESS_POSTS)
        options = {key: value for key, value in options.items() if key != "max_retries"}
        end = time.monotonic() + PATIENCE
        pause = _FIRST_PAUSE
        while True:
            answer = cls._answer(method, url, options)
            if isinstance(answer, str):
                trouble, wait = answer, pause
            elif answer.status_code < 400:
                return answer
            elif answer.status_code == 429:
                trouble, wait = "Datadog's rate limit is used up", _until_turn(answer, pause)
            elif answer.status_code >= 500:
                trouble, wait = f"Datadog answers {answer.status_code}", pause
            else:
                raise RefusedError(answer.status_code, _errors(answer.content))
            if not harmless and not trouble.endswith("used up"):
                raise UncertainError(trouble)
            if time.monotonic() + wait > end:
                raise ToolError(f"{trouble}; given up after {PATIENCE:.0f} s")
            _pause(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @classmethod
    def _answer(cls, method: str, url: str, options: Mapping[str, Any]) -> Any:
        """Send a request once; return the answer, or what was wrong on its way."""
        import requests

        try:
            return cls._opened().request(method, url, **{**options, "timeout": TIMEOUT})
        except requests.RequestException as problem:
            return _trouble(problem, url)

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


def _pause(seconds: float) -> None:
    if STOPPED.wait(seconds):
        raise ToolError("interrupted before it was tried again")


def _until_turn(answer: Any, pause: float) -> float:
    """Return how long to wait: until the rate limit's period is over, where that is told."""
    named = answer.headers.get("X-RateLimit-Reset", "")
    return max(float(named), pause) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", named) else pause


def _trouble(problem: Exception, url: str) -> str:
    """Say what went wrong on the way, without the headers that an exception may hold.

    Raises:
        ToolError: Nothing was sent, and another try would not help.
    """
    host = url.split("/")[2]
    causes = str(problem).lower()
    if "resol" in causes:
        raise ToolError(f"{host} cannot be found: is DD_SITE right, is there a network?") from None
    if "refused" in causes or "proxy" in causes:
        raise ToolError(f"{host} cannot be reached: the connection was refused") from None
    if "certificate" in causes:
        raise ToolError(f"the certificate of {host} is not trusted") from None
    return f"{host} does not answer" if "timed out" in causes else f"{host} broke the connection"


def _errors(content: bytes) -> list[str]:
    try:
        errors = json.loads(content).get("errors") or []
    except (ValueError, AttributeError):
        return []
    return [str(one) for one in errors] if isinstance(errors, list) else [str(errors)]
