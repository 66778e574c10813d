"""Datadog's API, through the `datadog` package.

The package is imported where it is used: most commands do without it, and it is slow to load.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from autotask.tool.datadog import answers, downtimes
from autotask.tool.datadog.downtimes import Silence
from autotask.tool.datadog.monitors import Monitor
from autotask.tool.datadog.transport import (
    PATIENCE,
    STOPPED,
    RefusedError,
    Transport,
    UncertainError,
    wait_for_next_try,
)
from autotask.tool.errors import ToolError

_PAGE = 1000  # monitors: the most that Datadog gives
_DOWNTIMES = 100  # on a page
_PAGES = 10_000  # at most: a server that gives something for ever is not asked for ever
PERMISSIONS = (
    *("monitors_read", "monitors_write", "monitors_downtime"),
    *("dashboards_read", "dashboards_write", "timeseries_query"),
)


class Api:
    """What is asked of Datadog, with the keys and the site of the environment.

    Raises:
        ToolError: A key or the site is missing or cannot be one.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.site = environ.get("DD_SITE", "").strip() or "datadoghq.com"
        if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", self.site):
            raise ToolError(
                "DD_SITE is not a valid site: datadoghq.com, datadoghq.eu, us5.datadoghq.com, ..."
            )
        keys = {name: _key(environ, name) for name in ("DD_API_KEY", "DD_APP_KEY")}

        import datadog
        from datadog import api
        from datadog.api.api_client import APIClient

        datadog.initialize(
            api_key=keys["DD_API_KEY"],
            app_key=keys["DD_APP_KEY"],
            api_host=_address(environ) or f"https://api.{self.site}",
            host_name=os.uname().nodename,
            hostname_from_config=False,
            mute=False,
        )
        STOPPED.clear()
        plugged: Any = Transport
        APIClient._http_client = plugged
        self._api: Any = api
        self._submit: Callable[..., Any] = APIClient.submit  # what the package has no class for

    # Monitors.

    def monitors(self, tags: Sequence[str]) -> list[Monitor]:
        """Return all monitors that carry all of these tags, in the order of their ids."""
        found = self._all(
            self._api.Monitor.get_all,
            lambda page, _: {"monitor_tags": list(tags), "page": page, "page_size": _PAGE},
        )
        ours = [one for one in found if set(tags) <= set(answers.texts_of(one.get("tags")))]
        return sorted(map(answers.monitor, ours), key=lambda one: int(one["id"]))

    def _all(
        self,
        ask: Callable[..., Any],
        page_of: Callable[[int, int], Mapping[str, Any]],
        key: str | None = None,
    ) -> list[answers.Json]:
        """Return the objects of all pages.

        Args:
            ask: What takes the words for a page.
            page_of: Makes these of the page's number and of how many objects there were before.
            key: Where the objects are in an answer.
        """
        found: dict[str, answers.Json] = {}
        for page in range(_PAGES):
            answer = self._asked(ask, **page_of(page, len(found)))
            new = {repr(one.get("id", one)): one for one in answers.listed(answer, key)}
            if new.keys() <= found.keys():  # not: a short page, the server may give less than asked
                break
            found.update(new)
        return list(found.values())

    def validate(self, monitor: Monitor) -> None:
        """Let Datadog look at a monitor without making it."""
        self._asked(self._api.Monitor.validate, **monitor)

    def create(self, monitor: Monitor) -> None:
        """Make a monitor, once, also where the answer is lost on its way."""
        self._made(
            lambda: self._asked(self._api.Monitor.create, **monitor),
            lambda: any(_same(one, monitor) for one in self.monitors(monitor["tags"])),
        )

    def _made(self, make: Callable[[], Any], is_there: Callable[[], bool]) -> None:
        """Make something; where it is not known whether that was obeyed, look before a next try."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                make()
                return
            except UncertainError:
                if time.monotonic() > end:
                    raise
            wait_for_next_try()
            if is_there():
                return

    def update(self, number: int, monitor: Monitor) -> None:
        """Change a monitor; what is left out at the top stays, *options* are replaced whole."""
        self._asked(self._api.Monitor.update, number, **monitor)

    def delete(self, number: int) -> None:
        """Delete a monitor; one that is gone is as good."""
        self._gone(self._api.Monitor.delete, number)

    def _gone(self, delete: Callable[..., Any], *words: Any, **named: Any) -> None:
        try:
            self._asked(delete, *words, **named)
        except RefusedError as refused:
            if refused.status != 404:
                raise

    # Downtimes.

    def mute(self, silences: Sequence[Silence], end: float | None) -> None:
        """Mute until a moment, or until unmuted; cancel autotask's earlier downtimes."""
        before = [number for number, _ in self._current(silences)]
        for silence in silences:
            self._mute(downtimes.body(silence, end), silence, before)
        for number in before:
            self._cancel(number)

    def _mute(self, body: answers.Json, silence: Silence, before: Sequence[str]) -> None:
        self._made(
            lambda: self._asked(self._submit, "POST", "downtime", api_version="v2", body=body),
            lambda: any(number not in before for number, _ in self._current([silence])),
        )

    def unmute(self, silences: Sequence[Silence]) -> set[Silence]:
        """Take that back; return what was muted."""
        found = self._current(silences)
        for number, _ in found:
            self._cancel(number)
        return {silence for _, silence in found}

    def _cancel(self, number: str) -> None:
        self._gone(self._submit, "DELETE", f"downtime/{quote(number, safe='')}", api_version="v2")

    def _current(self, silences: Sequence[Silence]) -> list[tuple[str, Silence]]:
        """Return the downtimes that are just this, each by its id."""
        found = self._all(
            partial(self._submit, "GET", "downtime", api_version="v2", current_only="true"),
            lambda _, count: {"page[offset]": count, "page[limit]": _DOWNTIMES},
            "data",
        )
        return list(downtimes.current(found, silences))

    # Dashboards.

    def dashboards(self) -> list[dict[str, Any]]:
        """Return a summary of all dashboards: no widgets."""
        answer = self._asked(self._api.Dashboard.get_all)
        return answers.listed(answer, "dashboards")

    def dashboard(self, number: str) -> dict[str, Any]:
        """Return a whole dashboard."""
        return {**answers.fields(self._asked(self._api.Dashboard.get, number)), "id": number}

    def create_dashboard(self, dashboard: Mapping[str, Any]) -> dict[str, Any]:
        """Make a dashboard; return it as it is now."""
        return answers.dashboard(self._asked(self._api.Dashboard.create, **dashboard))

    def update_dashboard(self, number: str, dashboard: Mapping[str, Any]) -> None:
        """Replace a dashboard."""
        self._asked(self._api.Dashboard.update, number, **dashboard)

    def delete_dashboard(self, number: str) -> None:
        """Delete a dashboard; one that is gone is as good."""
        self._gone(self._api.Dashboard.delete, number)

    # Metrics.

    def query(self, query: str, span: float) -> list[dict[str, Any]]:
        """Return the series that a query gives for the last so many seconds."""
        now = int(time.time())
        answer = self._asked(self._api.Metric.query, start=now - int(span), end=now, query=query)
        return [answers.series(one) for one in answers.listed(answer, "series")]

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
        """Ask, and tell what an answer means that cannot be read."""
        from datadog.api.exceptions import DatadogException

        try:
            return ask(*words, **named)
        except RefusedError as refused:
            if refused.status in (401, 403):
                raise ToolError(self._why_forbidden(refused)) from None
            raise
        except (DatadogException, ValueError) as problem:  # without its text: it may hold a key
            kind = type(problem).__name__
            told = f"Datadog at {self.site} sent an unexpected response ({kind})"
            raise ToolError(told) from None

    def _why_forbidden(self, refused: RefusedError) -> str:
        """Find out which key it is: one request takes the API key alone."""
        from datadog.api.exceptions import DatadogException

        try:
            self._submit("GET", "validate")
        except RefusedError:
            return f"DD_API_KEY is not known at {self.site}: it is wrong, or of another DD_SITE"
        except (DatadogException, ValueError):
            pass  # it was answered, and that is all that was asked
        return (
            f"DD_APP_KEY is wrong, or lacks a permission ({refused}): it needs "
            f"{', '.join(PERMISSIONS)}"
        )


def _same(found: Monitor, wanted: Monitor) -> bool:
    """Tell whether that is the monitor which was about to be made, and not what it replaces."""
    schedules = [bool(one["options"].get("scheduling_options")) for one in (found, wanted)]
    return schedules[0] == schedules[1] and all(
        found[field] == wanted[field] for field in ("name", "query", "type")
    )


def _address(environ: Mapping[str, str]) -> str:
    """Return another address of the API, if there is one: the package's own variable for it."""
    named = environ.get("DATADOG_HOST", "").strip().rstrip("/")
    if not named:
        return ""
    try:
        parts = urlsplit(named)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ToolError("DATADOG_HOST is not a URL such as https://dd-proxy.example.com")
    return named


def _key(environ: Mapping[str, str], name: str) -> str:
    key = environ.get(name, "").strip()
    if not key:
        raise ToolError(f"{name} is not set: Datadog asks for DD_API_KEY and DD_APP_KEY")
    if not re.fullmatch(r"[!-~]+", key):
        raise ToolError(f"{name} is not a key: it holds spaces or odd characters")
    return key
