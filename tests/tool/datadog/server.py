"""A stand-in for Datadog's API on the loopback interface, with state and failures.

What it accepts and returns follows Datadog's documentation, its clients, and the exchanges that
these have recorded. /api/v2/downtime is `/v2/downtime` here.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
API_KEY, APP_KEY = "a" * 32, "b" * 40
NO_CONTENT = object()  # a response: 204 without a body
_QUOTED = r'"[^"]+"(?:,"[^"]+")*'
_CHECK_QUERY = re.compile(
    rf'"[\w.]+"\.over\({_QUOTED}\)(?:\.exclude\({_QUOTED}\))?\.by\({_QUOTED}\)'
    r"\.last\((?P<last>[0-9]+)\)\.count_by_status\(\)"
)
_WINDOWS = re.compile(r"last_(?:(?P<m>[0-9]+)m|(?P<h>[0-9]+)h|1d|1w)")


class NoError(Exception):
    """A response that is an error."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(status, errors)
        self.status, self.errors = status, list(errors)


@dataclass
class Fault:
    """A failure of a number of requests."""

    kind: str  # slow, limit, broken (500), cut (after it took effect), lost (before)
    method: str = ""  # only requests with this method; empty: all
    path: str = ""  # and with this in their path
    times: int = 1
    after: int = 0  # this many requests succeed before


@dataclass
class Datadog:
    """The state of the server; attributes can be changed while it runs."""

    monitors: dict[int, Json] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    downtimes: dict[str, Json] = field(default_factory=dict)
    series: list[Json] = field(default_factory=list)  # metrics that were sent
    answers: list[list[Json]] = field(default_factory=list)  # to queries, in turn
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    page: int = 1000  # maximum of monitors in a response
    deaf: bool = False  # ignores the tags in a request for monitors
    forbidden: str = ""  # a method that the application key may not use
    instead: dict[tuple[str, str], Any] = field(
        default_factory=dict
    )  # responses by method and path
    number: int = 1000
    most_at_once: int = 0
    limited_until: float = 0  # on the monotonic clock
    impatient: int = 0  # requests before that
    url: str = ""
    called: Callable[[str, str], None] = lambda *_: None  # at each request

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._now = 0

    def written(self) -> list[tuple[str, str]]:
        """Return the requests that change something."""
        return [
            (method, path)
            for method, path in self.requests
            if method != "GET" and not path.endswith(("/validate", "/series"))
        ]

    def add(self, **monitor: Any) -> Json:
        """Add a monitor as if a person had created it."""
        whole = {"type": "query alert", "message": "", "tags": [], "options": {}, **monitor}
        return self._store(whole)

    def handle(self, method: str, path: str, query: dict[str, str], body: Any, keys: Any) -> Any:
        """Return the response, or raise NoError."""
        with self._lock:
            self.requests.append((method, path))
            self.called(method, path)
            if keys[0] != API_KEY:
                raise NoError(403, "Forbidden")
            if path == "/validate":
                return {"valid": True}
            if path == "/series":
                self.series += body["series"]
                return {"status": "ok"}
            if keys[1] != APP_KEY or method == self.forbidden:
                raise NoError(403, "Forbidden")
            answer = self._routed(method, path, query, body)
            return self.instead.get((method, path), answer)

    def next_fault(self, method: str, path: str) -> Fault | None:
        """Return the fault for this request."""
        with self._lock:
            for fault in self.faults:
                if fault.method in ("", method) and fault.path in path and fault.times > 0:
                    if fault.after > 0:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def enter(self, by: int) -> None:
        """Count the requests in progress."""
        with self._lock:
            self._now += by
            self.impatient += by > 0 and time.monotonic() < self.limited_until
            self.most_at_once = max(self.most_at_once, self._now)

    def _routed(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        parts = path.strip("/").split("/")
        if parts == ["query"]:
            return {"status": "ok", "series": self.answers.pop(0) if self.answers else []}
        if parts[:2] == ["v2", "downtime"]:
            return self._downtime(method, parts[2:], query, body)
        if parts[0] == "dashboard":
            return self._dashboard(method, parts[1:], body)
        if parts == ["monitor"] and method == "GET":
            return self._listed(query)
        if parts in (["monitor"], ["monitor", "validate"]):
            _check(body)
            return self._store(body) if len(parts) == 1 else {}
        return self._one(method, int(parts[1]), body)

    def _one(self, method: str, number: int, body: Any) -> Any:
        if number not in self.monitors:
            raise NoError(404, "Monitor not found")
        if method == "DELETE":
            del self.monitors[number]
            return {"deleted_monitor_id": number}
        return self._changed(number, body) if method == "PUT" else self.monitors[number]

    def _listed(self, query: dict[str, str]) -> list[Json]:
        tags = set(filter(None, query.get("monitor_tags", "").split(",")))
        found = [
            one for _, one in sorted(self.monitors.items()) if self.deaf or tags <= set(one["tags"])
        ]
        if "page" not in query:
            return found
        size = min(int(query.get("page_size", 100)), self.page)
        first = int(query["page"]) * size
        return found[first : first + size]

    def _store(self, body: Json) -> Json:
        self.number += 1
        stored = {"priority": None, "multi": False, "id": self.number, **copy.deepcopy(body)}
        self.monitors[self.number] = _as_kept(stored)
        return self.monitors[self.number]

    def _changed(self, number: int, body: Json) -> Json:
        before = self.monitors[number]
        if "type" in body and body["type"] != before["type"]:
            raise NoError(400, "Monitor type cannot be changed")
        after = {**before, **copy.deepcopy(body)}
        if _scheduled(before) != _scheduled(after):
            raise NoError(400, "A custom schedule cannot be added to or taken from a monitor")
        _check(after)
        self.monitors[number] = _as_kept(after)
        return self.monitors[number]

    def _downtime(self, method: str, parts: list[str], query: dict[str, str], body: Any) -> Any:
        if method == "POST":
            return {"data": self.downtime(**body["data"]["attributes"])}
        if method == "GET":
            found = [
                one
                for one in self.downtimes.values()
                if query.get("current_only") != "true" or _status(one) == "active"
            ]
            first = int(query.get("page[offset]", 0))
            return {"data": found[first : first + int(query.get("page[limit]", 30))]}
        if parts[0] not in self.downtimes:
            raise NoError(404, "Downtime not found")
        self.downtimes[parts[0]]["attributes"]["status"] = (
            "canceled"  # it stays in the list for two days
        )
        return NO_CONTENT

    def downtime(self, **attributes: Any) -> Json:
        """Add a downtime that starts now."""
        if set(attributes["monitor_identifier"]) not in ({"monitor_id"}, {"monitor_tags"}):
            raise NoError(400, "monitor_identifier: one of monitor_id, monitor_tags")
        if not re.fullmatch(r"\*|[a-z_]+:([\w./-]|\\.)+", attributes["scope"]):
            raise NoError(400, "All values must have a key")
        schedule = {"start": None, "end": None, **attributes.get("schedule", {})}
        if schedule["end"] and not re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z", schedule["end"]):
            raise NoError(400, "end: an offset of zero")
        self.number += 1
        kept = {"message": None, **attributes, "schedule": schedule, "status": "active"}
        name = f"0e08ee7b-{self.number}"
        self.downtimes[name] = {"type": "downtime", "id": name, "attributes": kept}
        return self.downtimes[name]

    def muted(self) -> list[Json]:
        """Return the attributes of active downtimes."""
        return [one["attributes"] for one in self.downtimes.values() if _status(one) == "active"]

    def _dashboard(self, method: str, parts: list[str], body: Any) -> Any:
        if not parts and method == "GET":
            summary = ("id", "title", "description", "created_at")
            return {
                "dashboards": [{k: v.get(k) for k in summary} for v in self.dashboards.values()]
            }
        if method == "POST":
            self.number += 1
            name = f"abc-{self.number}"
            self.dashboards[name] = {}
        else:
            name = parts[0]
            if name not in self.dashboards:
                raise NoError(404, "Dashboard not found")
        if method == "DELETE":
            return self.dashboards.pop(name) and {"deleted_dashboard_id": name}
        if method in ("POST", "PUT"):
            kept = {"created_at": f"2026-11-{self.number}", **copy.deepcopy(body), "id": name}
            _number_widgets(kept["widgets"])
            added = {"author_handle": "x", "is_read_only": False}
            self.dashboards[name] = {**added, "notify_list": None, "restricted_roles": [], **kept}
        return self.dashboards[name]


def _status(downtime: Json) -> str:
    return str(downtime["attributes"]["status"])


def _number_widgets(widgets: list[Json]) -> None:
    for number, widget in enumerate(widgets):
        widget["id"] = number + 1
        _number_widgets(widget["definition"].get("widgets", []))


def _scheduled(monitor: Json) -> bool:
    return bool(monitor["options"].get("scheduling_options", {}).get("custom_schedule"))


def _as_kept(monitor: Json) -> Json:
    """Return a monitor as the server returns it: with more keys, without defaults."""
    options = monitor["options"]
    kept = {"notify_audit": False, "silenced": {}, "include_tags": True, **options}
    if "new_group_delay" not in kept:
        kept.setdefault("new_host_delay", 300)
    if "on_missing_data" not in kept:
        kept.setdefault("notify_no_data", False)
    if "thresholds" in kept:
        kept["thresholds"] = {key: float(value) for key, value in kept["thresholds"].items()}
    if kept.get("on_missing_data") == "default":
        del kept["on_missing_data"]
    if monitor["type"] in ("metric alert", "query alert"):
        monitor = {**monitor, "type": "query alert"}
    return {**monitor, "options": kept}


def _check(body: Json) -> None:
    options = body.get("options", {})
    if body["type"] in ("metric alert", "query alert"):
        _check_metric(body["query"], options)
    elif body["type"] == "service check":
        if "on_missing_data" in options:
            raise NoError(400, "on_missing_data is not supported for service checks")
        query = _CHECK_QUERY.fullmatch(body["query"])
        highest = max(options["thresholds"].values())
        if query is None or not highest <= int(query["last"]) <= 100:
            raise NoError(400, "The value provided for parameter 'query' is invalid")
    else:
        raise NoError(400, f"The value provided for parameter 'type' is invalid: {body['type']}")


def _check_metric(query: str, options: Json) -> None:
    window = _WINDOWS.search(query)
    if window is None or int(window["m"] or 0) > 10080 or int(window["h"] or 0) > 168:
        raise NoError(400, "The value provided for parameter 'query' is invalid: window")
    threshold = re.search(r"(?:>=?|<=?) ([0-9.]+)$", query)
    if threshold is None or float(threshold[1]) != float(options["thresholds"]["critical"]):
        raise NoError(400, "Alert threshold does not match that used in the query")
    if "on_missing_data" in options and options.get("notify_no_data"):
        raise NoError(400, "on_missing_data and notify_no_data cannot be used together")
    if "scheduling_options" in options and options.get("require_full_window") is not False:
        raise NoError(400, "A custom schedule needs require_full_window: false")


def start() -> tuple[Datadog, ThreadingHTTPServer]:
    """Start a server on a free port."""
    datadog = Datadog()

    class Handler(_Handler):
        knows = datadog

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    datadog.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return datadog, server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    knows: Datadog

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def _answer(self) -> None:
        self.knows.enter(1)
        try:
            self._answer_one()
        finally:
            self.knows.enter(-1)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def _answer_one(self) -> None:
        url = urlsplit(self.path)
        path = url.path.removeprefix("/api").removeprefix("/v1")
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.knows.next_fault(self.command, path)
        kind = fault.kind if fault else ""
        if kind == "slow":
            time.sleep(0.5)
        if kind == "lost":
            self.close_connection = True
            return
        if kind == "limit":
            self.knows.limited_until = time.monotonic() + 0.95
            reset = {"X-RateLimit-Reset": "1", "X-RateLimit-Remaining": "0"}
            self._send(429, {"errors": ["Too many requests"]}, reset)
            return
        if kind == "broken":
            self._send(500, None)
            return
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        keys = self.headers.get("DD-API-KEY"), self.headers.get("DD-APPLICATION-KEY")
        try:
            answer = self.knows.handle(
                self.command, path, query, json.loads(data) if data else None, keys
            )
        except NoError as no:
            self._send(no.status, {"errors": no.errors})
        else:
            self._send(204 if answer is NO_CONTENT else 200, answer, cut=kind == "cut")

    def _send(
        self, status: int, answer: Any, headers: dict[str, str] | None = None, cut: bool = False
    ) -> None:
        data = (
            b"<html>" if answer is None else json.dumps(answer).encode() if status != 204 else b""
        )
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) + (10 if cut else 0)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True
