"""Datadog's API, through the `datadog` package.

The package is only imported when it is used: it is slow to load, and most commands do not need it.
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
from autotask.tool.datadog.answers import Json
from autotask.tool.datadog.downtimes import Silence
from autotask.tool.datadog.transport import (
    PATIENCE,
    STOPPED,
    RefusedError,
    Transport,
    UncertainError,
    wait_for_next_try,
)
from autotask.tool.errors import ToolError

_PAGE = 1000  # monitors: the most that Datadog allows
_DOWNTIMES = 100  # on a page
_PAGES = 10_000  # at most, in case a server never sends an empty one
PERMISSIONS = (
    *("monitors_read", "monitors_write", "monitors_downtime"),
    *("dashboards_read", "dashboards_write", "timeseries_query"),
)


class Api:
    """A client with the keys and the site from the environment.

    Raises:
        ToolError: A key is missing, or a key or the site is not valid.
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

        # Without `mute=False` the package hides errors. With a host name it does not look for one,
        # and so runs no commands.
        datadog.initialize(
            api_key=keys["DD_API_KEY"],
            app_key=keys["DD_APP_KEY"],
            api_host=_address(environ) or f"https://api.{self.site}",
            host_name=os.uname().nodename,
            hostname_from_config=False,
            mute=False,
        )
        STOPPED.clear()
        # There is no public way to replace the client.
        transport: Any = Transport
        APIClient._http_client = transport
        self._api: Any = api
        self._submit: Callable[..., Any] = APIClient.submit  # for what the package has no class for

    # Monitors.

    def monitors(self, tags: Sequence[str]) -> list[Json]:
        """Return all monitors that have all of these tags, sorted by id."""
        candidates = self._all(
            self._api.Monitor.get_all,
            lambda page, _: {"monitor_tags": list(tags), "page": page, "page_size": _PAGE},
        )
        monitors = [
            answers.monitor(candidate)
            for candidate in candidates
            if set(tags) <= set(answers.texts_of(candidate.get("tags")))
        ]
        return sorted(monitors, key=lambda monitor: int(monitor["id"]))

    def _all(
        self,
        request: Callable[..., Any],
        page_of: Callable[[int, int], Mapping[str, Any]],
        key: str | None = None,
    ) -> list[Json]:
        """Return the objects of all pages.

        Args:
            request: A function of the package.
            page_of: Its arguments, from the number of the page and of the objects before it.
            key: The field of a response that has the objects.
        """
        objects: dict[str, Json] = {}
        for page in range(_PAGES):
            answer = self._ask(request, **page_of(page, len(objects)))
            new = {repr(item.get("id", item)): item for item in answers.listed(answer, key)}
            # A short page need not be the last one: the server may send less than asked for.
            if new.keys() <= objects.keys():
                break
            objects.update(new)
        return list(objects.values())

    def validate(self, monitor: Json) -> None:
        """Let Datadog check a monitor without creating it."""
        self._ask(self._api.Monitor.validate, **monitor)

    def create(self, monitor: Json) -> None:
        """Create a monitor exactly once, even if the response is lost."""
        self._create_once(
            lambda: self._ask(self._api.Monitor.create, **monitor),
            lambda: any(_same(current, monitor) for current in self.monitors(monitor["tags"])),
        )

    def _create_once(self, create: Callable[[], Any], exists: Callable[[], bool]) -> None:
        """Create something; if it is not known whether that worked, check before the next try."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                create()
                return
            except UncertainError:
                if time.monotonic() > end:
                    raise
            wait_for_next_try()
            if exists():
                return

    def update(self, monitor_id: int, monitor: Json) -> None:
        """Change a monitor; omitted fields stay, but *options* are replaced as a whole."""
        self._ask(self._api.Monitor.update, monitor_id, **monitor)

    def delete(self, monitor_id: int) -> None:
        """Delete a monitor, if it still exists."""
        self._delete(self._api.Monitor.delete, monitor_id)

    def _delete(self, request: Callable[..., Any], *words: Any, **named: Any) -> None:
        try:
            self._ask(request, *words, **named)
        except RefusedError as refused:
            if refused.status != 404:
                raise

    # Downtimes.

    def mute(self, silences: Sequence[Silence], end: float | None) -> None:
        """Mute until a POSIX time, or until unmuted; replace autotask's earlier downtimes."""
        # Create the new ones first: the task stays muted in between.
        earlier = [downtime_id for downtime_id, _ in self._downtimes(silences)]
        for silence in silences:
            self._mute(downtimes.body(silence, end), silence, earlier)
        for downtime_id in earlier:
            self._cancel(downtime_id)

    def _mute(self, body: Json, silence: Silence, earlier: Sequence[str]) -> None:
        self._create_once(
            lambda: self._ask(self._submit, "POST", "downtime", api_version="v2", body=body),
            lambda: any(
                downtime_id not in earlier for downtime_id, _ in self._downtimes([silence])
            ),
        )

    def unmute(self, silences: Sequence[Silence]) -> set[Silence]:
        """End autotask's downtimes; return what was muted."""
        current = self._downtimes(silences)
        for downtime_id, _ in current:
            self._cancel(downtime_id)
        return {silence for _, silence in current}

    def _cancel(self, downtime_id: str) -> None:
        path = f"downtime/{quote(downtime_id, safe='')}"
        self._delete(self._submit, "DELETE", path, api_version="v2")

    def _downtimes(self, silences: Sequence[Silence]) -> list[tuple[str, Silence]]:
        """Return the current downtimes for these silences, with their ids."""
        candidates = self._all(
            partial(self._submit, "GET", "downtime", api_version="v2", current_only="true"),
            lambda _, count: {"page[offset]": count, "page[limit]": _DOWNTIMES},
            "data",
        )
        return list(downtimes.current(candidates, silences))

    # Dashboards.

    def dashboards(self) -> list[Json]:
        """Return a summary of each dashboard, without widgets."""
        return answers.listed(self._ask(self._api.Dashboard.get_all), "dashboards")

    def dashboard(self, dashboard_id: str) -> Json:
        """Return a whole dashboard."""
        answer = self._ask(self._api.Dashboard.get, dashboard_id)
        return {**answers.fields(answer), "id": dashboard_id}

    def create_dashboard(self, dashboard: Mapping[str, Any]) -> Json:
        """Create a dashboard; return it as the server has it."""
        return answers.dashboard(self._ask(self._api.Dashboard.create, **dashboard))

    def update_dashboard(self, dashboard_id: str, dashboard: Mapping[str, Any]) -> None:
        """Replace a dashboard."""
        self._ask(self._api.Dashboard.update, dashboard_id, **dashboard)

    def delete_dashboard(self, dashboard_id: str) -> None:
        """Delete a dashboard, if it still exists."""
        self._delete(self._api.Dashboard.delete, dashboard_id)

    # Metrics.

    def query(self, query: str, span: float) -> list[Json]:
        """Return the series that a query gives for the last *span* seconds."""
        now = int(time.time())
        answer = self._ask(self._api.Metric.query, start=now - int(span), end=now, query=query)
        return [answers.series(series) for series in answers.listed(answer, "series")]

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
            self._ask(self._api.Metric.send, metrics=metrics)

    def _ask(self, request: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """Call a function of the package; return the response."""
        from datadog.api.exceptions import DatadogException

        try:
            return request(*words, **named)
        except RefusedError as refused:
            if refused.status in (401, 403):
                raise ToolError(self._why_forbidden(refused)) from None
            raise
        except (DatadogException, ValueError) as problem:
            kind = type(problem).__name__  # its text may contain a key
            text = f"Datadog at {self.site} sent an unexpected response ({kind})"
            raise ToolError(text) from None

    def _why_forbidden(self, refused: RefusedError) -> str:
        """Find out which key is wrong: one request needs only the API key."""
        from datadog.api.exceptions import DatadogException

        try:
            self._submit("GET", "validate")
        except RefusedError:
            return f"DD_API_KEY is not valid at {self.site}: check the key and DD_SITE"
        except (DatadogException, ValueError):
            pass  # any response but a refusal means that the API key is valid
        return (
            f"DD_APP_KEY is not valid or lacks a permission ({refused}): it needs "
            f"{', '.join(PERMISSIONS)}"
        )


def _same(current: Json, created: Json) -> bool:
    """Tell whether this is the monitor that was to be created, and not the one that it replaces."""
    schedules = [bool(one["options"].get("scheduling_options")) for one in (current, created)]
    return schedules[0] == schedules[1] and all(
        current[field] == created[field] for field in ("name", "query", "type")
    )


def _address(environ: Mapping[str, str]) -> str:
    """Return the address of the API if the package's own variable sets one."""
    address = environ.get("DATADOG_HOST", "").strip().rstrip("/")
    if not address:
        return ""
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ToolError("DATADOG_HOST is not a URL such as https://dd-proxy.example.com")
    return address


def _key(environ: Mapping[str, str], name: str) -> str:
    key = environ.get(name, "").strip()
    if not key:
        raise ToolError(f"{name} is not set; DD_API_KEY and DD_APP_KEY are required")
    if not re.fullmatch(r"[!-~]+", key):
        raise ToolError(f"{name} is not a valid key: it contains spaces or unusual characters")
    return key
