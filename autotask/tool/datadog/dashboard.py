"""The definition of the dashboard, as Datadog's API takes it (POST /api/v1/dashboard).

From top to bottom: what is wrong now, what failed, how often tasks succeed, how long they take, and
what waits and is retried, if anything is known to.
Queries select by tag, so that new tasks show up by themselves. Only the monitors know when a task
is late, hung or slow: the dashboard lists them, selected by the words in their titles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from autotask.tool.datadog import groups
from autotask.tool.datadog.answers import Json
from autotask.tool.datadog.baselines import Task

TITLE = "autotask: tasks"
VARIABLES = ("env", "service", "framework", "task")
_COLUMNS = 12
_DAY = {"live_span": "1d"}
_NOW = {"live_span": "5m"}
_TOP = 15  # lines of a list
_TABLE = (8, 28)  # rows of the grid for the table of tasks, at least and at most
_TASKS_IN_A_ROW = 2.5  # lines of a table in a row of the grid

_RED_ABOVE_0 = ((">", 0, "white_on_red"), ("<=", 0, "white_on_green"))
_RATE = ((">=", 99, "white_on_green"), (">=", 90, "white_on_yellow"), ("<", 90, "white_on_red"))
_SLOWER = ((">", 100, "white_on_red"), (">", 50, "white_on_yellow"))
_NONE_BUT_SOME = ((">", 0, "white_on_yellow"),)


def definition(tasks: Sequence[Task], tags: Iterable[str], scope: Iterable[str] = ()) -> Json:
    """Return the dashboard.

    Args:
        tasks: The recorded tasks. Their number decides the height of the table, as nobody can
            scroll on a wall display; their tags decide what to group by.
        tags: Those of the monitors. Datadog only allows `team:` tags on a dashboard: the
            description has them all.
        scope: Only show runs with these tags.
    """
    tags = list(tags)
    scope = list(scope)
    queries = _Queries(scope, tasks)
    rows = [
        _group("Now", "vivid_blue", _now(queries)),
        _group("Late, hung, slow", "vivid_orange", _late(queries, tags)),
        _group("Failures", "vivid_pink", _failures(queries)),
        _group("Runs", "vivid_green", _runs(queries, _table_height(len(tasks)))),
        _group("Durations", "vivid_purple", _durations(queries)),
        *([_group("Queues", "vivid_yellow", _queues(queries, tags))] if queries.has_queues else []),
    ]
    return {
        "title": TITLE,
        "description": "Which tasks succeed, which fail, and how long they take. Written by "
        f"`autotask dashboard apply`, which overwrites manual changes. {' '.join(tags)}",
        "layout_type": "ordered",
        "reflow_type": "fixed",
        "default_timeframe": {"type": "live", "value": 1, "unit": "week"},  # for nightly tasks
        "tags": [tag for tag in tags if tag.startswith("team:")][:5],
        "template_variables": [
            {"name": name, "prefix": name, "defaults": ["*"]} for name in VARIABLES
        ],
        "widgets": _stacked(rows),
    }


class _Queries:
    """The queries, all restricted by the template variables."""

    def __init__(self, scope: Iterable[str], tasks: Sequence[Task]) -> None:
        known = groups.known(tasks, scope)
        tags: list[str] = [key for key in ("service", "env") if key in known]
        self.by_task = ",".join([*tags, "task"])
        self.of_groups = tags or ["framework"]  # tags for groups of tasks
        self.scope = [*(f"${name}" for name in VARIABLES), *scope]
        self.has_queues = any(task.waits or task.retries is not None for task in tasks)
        # Servers run until they are stopped: among durations and missing successes they are noise.
        self.tasks_that_end = sorted({f"!task:{task.name}" for task in tasks if task.server})

    def runs(self, *conditions: str, by: str = "") -> str:
        return f"sum:autotask.task.runs{self._scope(conditions, by)}.as_count()"

    def started(self, by: str) -> str:
        return f"sum:autotask.task.started{self._scope((), by)}.as_count()"

    def duration(self, aggregator: str, *conditions: str, by: str = "") -> str:
        conditions = (*conditions, *self.tasks_that_end)
        return f"{aggregator}:autotask.task.duration{self._scope(conditions, by)}"

    def running(self) -> str:
        return f"max:autotask.task.running_seconds{self._scope(self.tasks_that_end, self.by_task)}"

    def waited(self, aggregator: str) -> str:
        return f"{aggregator}:autotask.task.waited{self._scope((), self.by_task)}"

    def events(self) -> str:
        return " ".join(['"task failed"', "status:error", *self.scope])

    def _scope(self, conditions: Iterable[str], by: str) -> str:
        return f"{{{','.join([*self.scope, *conditions])}}}" + (f" by {{{by}}}" if by else "")


# The groups of widgets. A row has widgets with their widths and heights in the grid.

Row = list[tuple[Json, int, int]]


def _now(queries: _Queries) -> list[Row]:
    failed = {"failed": queries.runs("status:failure", "!reason:nested")}
    ended = {"ended": queries.runs()}
    running = {"running": queries.running()}
    numbers = [
        _number("Failures, 24 h", "default_zero(failed)", failed, _RED_ABOVE_0),
        _number("Success rate, 24 h", _SUCCESS, _ended(queries), _RATE, unit="%"),
        _number("Runs, 24 h", "default_zero(ended)", ended),
        _number("Running now (autotask-run)", "count_nonzero(running)", running, now=True),
    ]
    return [[(number, _COLUMNS // len(numbers), 2) for number in numbers]]


def _late(queries: _Queries, tags: Sequence[str]) -> list[Row]:
    success = queries.runs("status:success", *queries.tasks_that_end, by=queries.by_task)
    fewer = _list(
        "Fewer successes in 24 h than a week ago",
        "clamp_min(week_before(success) - default_zero(success), 0)",
        {"success": success},
        formats=_NONE_BUT_SOME,
        time=_DAY,
    )
    running = _list("Running now, by duration", "running", {"running": queries.running()},
                    unit="second", aggregator="last", time=_NOW)  # fmt: skip
    return [
        [
            (_monitors("Late", tags, '"did not run"'), 4, 4),
            (_monitors("Hung", tags, '"hangs"'), 4, 4),
            (_monitors("Slow", tags, '"is slow"'), 4, 4),
        ],
        [(fewer, 6, 4), (running, 6, 4)],
    ]


def _failures(queries: _Queries) -> list[Row]:
    stream = {
        "type": "list_stream",
        "title": "Latest failures",
        "requests": [
            {
                "query": {
                    "data_source": "event_stream",
                    "query_string": queries.events(),
                    "event_size": "l",
                },
                "columns": [],
                "response_format": "event_list",
            }
        ],
    }
    failed = queries.runs("status:failure", "!reason:nested", by=f"{queries.by_task},reason")
    most = _list("Most failures, by reason", "failed", {"failed": failed}, palette="warm")
    checks = {
        "type": "check_status",
        "title": "Last status of each task",
        "check": "autotask.task.status",
        "grouping": "cluster",
        "group_by": queries.by_task.split(","),
        "tags": list(queries.scope),
    }
    return [[(stream, 6, 6), (most, 4, 6), (checks, 2, 6)]]


def _runs(queries: _Queries, table_height: int) -> list[Row]:
    by_status = _chart(
        "Runs by status",
        [
            (_bar("success", queries.runs("status:success"), "green")),
            (_bar("skipped", queries.runs("status:skipped"), "gray")),
            (_bar("retried", queries.runs("status:retried"), "orange")),
            (_bar("failure", queries.runs("status:failure"), "red")),
        ],
    )
    by, title = ",".join(queries.of_groups), " and ".join(queries.of_groups)
    rate = _chart(
        f"Success rate by {title}",
        [_request(_ended(queries, by), [_formula(_SUCCESS, unit="percent")])],
        yaxis={"max": "100"},
    )
    started = _chart(
        "Starts by trigger",
        [_request({"started": queries.started("trigger")}, [_formula("started")], "bars")],
    )
    return [
        [(by_status, 6, 4), (rate, 3, 4), (started, 3, 4)],
        [(_table(f"By {title}", queries, by), _COLUMNS, 4)],
        [(_table("By task", queries, queries.by_task), _COLUMNS, table_height)],
    ]


def _durations(queries: _Queries) -> list[Row]:
    heat_map = {
        "type": "heatmap",
        "title": "Durations of all runs",
        "requests": [
            {
                "request_type": "histogram",
                "query": _query("duration", queries.duration("histogram")),
            }
        ],
        "yaxis": {"scale": "log", "include_zero": False},
    }
    longest = queries.duration("max", by=queries.by_task)
    lines = _chart(
        "Longest run of each task",
        [
            _request(
                {"longest": longest},
                [_formula("longest", unit="second", limit={"count": _TOP, "order": "desc"})],
                display="line",
            )
        ],
        yaxis={"scale": "log", "include_zero": False},
    )
    usual = queries.duration("avg", "status:success", by=queries.by_task)
    slower = _list(
        "Successes slower than a week ago, %",
        _SLOWER_BY,
        {"duration": usual},
        formats=_SLOWER,
        unit="percent",
        aggregator="avg",
    )
    top = _list("Longest runs", "longest", {"longest": longest}, unit="second", aggregator="max")
    return [[(heat_map, 6, 5), (lines, 6, 5)], [(slower, 6, 5), (top, 6, 5)]]


def _queues(queries: _Queries, tags: Sequence[str]) -> list[Row]:
    lines = _chart(
        "Usual waiting before the start",
        [
            _request(
                {"waited": queries.waited("avg")},
                [_formula("waited", unit="second", limit={"count": _TOP, "order": "desc"})],
            )
        ],
        yaxis={"scale": "log", "include_zero": False},
    )
    waited = {"waited": queries.waited("max")}
    longest = _list("Longest waiting", "waited", waited, unit="second", aggregator="max")
    by = f"{queries.by_task},reason"
    retried = {"retried": queries.runs("status:retried", by=by)}
    skipped = {"skipped": queries.runs("status:skipped", "!reason:none", by=by)}
    return [
        [(lines, 6, 4), (longest, 6, 4)],
        [
            (_monitors("Retries", tags, '"retries a lot"'), 4, 4),
            (_list("Most retries, by reason", "retried", retried), 4, 4),
            (_list("Most skipped runs, by reason", "skipped", skipped), 4, 4),
        ],
    ]


def _table_height(tasks: int) -> int:
    """Return rows of the grid, in steps, so that few new tasks change the dashboard."""
    low, high = _TABLE
    return min(max(low, 4 * -(-int(tasks / _TASKS_IN_A_ROW + 2) // 4)), high)


# Formulas. They use the names of queries.

# A query without data gives nothing, not 0, and so would the whole formula: hence default_zero.
_SUCCESS = "100 * default_zero(good) / (default_zero(good) + default_zero(bad))"
_SLOWER_BY = "100 * (duration / week_before(duration) - 1)"


def _ended(queries: _Queries, by: str = "") -> dict[str, str]:
    return {
        "good": queries.runs("status:success", by=by),
        "bad": queries.runs("status:failure", by=by),
    }


# Widgets.


def _number(
    title: str,
    formula: str,
    queries: dict[str, str],
    formats: Iterable[tuple[str, float, str]] = (),
    unit: str = "",
    now: bool = False,
) -> Json:
    """Show one number, large enough for a wall display, in a colour that depends on it."""
    request = _scalar(queries, [_formula(formula)], "last" if now else "sum")
    if formats:
        request["conditional_formats"] = _formats(formats)
    widget = {"type": "query_value", "title": title, "requests": [request], "autoscale": not unit}
    if unit:
        widget["custom_unit"] = unit
    return {**widget, "precision": 1 if unit else 0, "time": dict(_NOW if now else _DAY)}


def _list(
    title: str,
    formula: str,
    queries: dict[str, str],
    *,
    formats: Iterable[tuple[str, float, str]] = (),
    palette: str = "dog_classic",
    unit: str = "",
    aggregator: str = "sum",
    time: Json | None = None,
) -> Json:
    request = _scalar(queries, [_formula(formula, unit=unit)], aggregator)
    request["sort"] = _sorted_by(0, _TOP)
    if formats:
        request["conditional_formats"] = _formats(formats)
    style = {"display": {"type": "stacked", "legend": "automatic"}, "palette": palette}
    widget = {"type": "toplist", "title": title, "requests": [request], "style": style}
    return {**widget, "time": dict(time)} if time else widget


def _table(title: str, queries: _Queries, by: str) -> Json:
    all_queries = {
        "ended": queries.runs(by=by),
        **_ended(queries, by),
        "duration": queries.duration("avg", "status:success", by=by),
        "longest": queries.duration("max", by=by),
    }
    formulas = [
        _formula("ended", "runs", cell_display_mode="bar"),
        _formula("default_zero(bad)", "failures", _RED_ABOVE_0[:1]),
        _formula(_SUCCESS, "success rate", _RATE, "percent"),
        _formula("duration", "usual duration", unit="second"),
        _formula("longest", "longest duration", unit="second"),
        _formula(_SLOWER_BY, "slower than a week ago", _SLOWER, "percent"),
    ]
    request = _scalar(all_queries, formulas, "sum")
    for query in request["queries"]:
        query["aggregator"] = {"duration": "avg", "longest": "max"}.get(query["name"], "sum")
    request["sort"] = _sorted_by(1, 500)
    return {"type": "query_table", "title": title, "requests": [request], "has_search_bar": "auto"}


def _monitors(title: str, tags: Iterable[str], words: str) -> Json:
    return {
        "type": "manage_status",
        "title": title,
        "query": " ".join([*(f'tag:"{tag}"' for tag in tags), words]),
        "summary_type": "monitors",
        "display_format": "countsAndList",
        "color_preference": "background",
        "hide_zero_counts": True,
        "show_last_triggered": True,
        "sort": "status,asc",
    }


def _chart(title: str, requests: list[Json], yaxis: Json | None = None) -> Json:
    widget = {
        "type": "timeseries",
        "title": title,
        "requests": requests,
        "show_legend": True,
        "legend_layout": "auto",
        "legend_columns": ["sum", "max", "value"],
    }
    return {**widget, "yaxis": yaxis} if yaxis else widget


def _bar(name: str, query: str, palette: str) -> Json:
    return {
        **_request({name: query}, [_formula(name, name)], "bars"),
        "style": {"palette": palette},
    }


def _request(queries: dict[str, str], formulas: list[Json], display: str = "line") -> Json:
    return {
        "response_format": "timeseries",
        "queries": [_query(name, query) for name, query in queries.items()],
        "formulas": formulas,
        "display_type": display,
    }


def _scalar(queries: dict[str, str], formulas: list[Json], aggregator: str) -> Json:
    return {
        "response_format": "scalar",
        "queries": [
            {**_query(name, query), "aggregator": aggregator} for name, query in queries.items()
        ],
        "formulas": formulas,
    }


def _query(name: str, query: str) -> Json:
    return {"data_source": "metrics", "name": name, "query": query}


def _formula(
    formula: str,
    alias: str = "",
    formats: Iterable[tuple[str, float, str]] = (),
    unit: str = "",
    **more: Any,
) -> Json:
    result = {"formula": formula, **more}
    if alias:
        result["alias"] = alias
    if formats:
        result["conditional_formats"] = _formats(formats)
    if unit:
        result["number_format"] = {"unit": {"type": "canonical_unit", "unit_name": unit}}
    return result


def _formats(formats: Iterable[tuple[str, float, str]]) -> list[Json]:
    """Return the rules for colours; the first that matches applies."""
    return [
        {"comparator": comparator, "value": value, "palette": palette}
        for comparator, value, palette in formats
    ]


def _sorted_by(formula: int, count: int) -> Json:
    return {"count": count, "order_by": [{"type": "formula", "index": formula, "order": "desc"}]}


# Positions in the grid.


def _group(title: str, colour: str, rows: list[Row]) -> tuple[Json, int]:
    """Return a group and its height: its rows, and one line for its title."""
    placed, y = [], 0
    for row in rows:
        x = 0
        for widget, width, height in row:
            placed.append(_placed(widget, x, y, width, height))
            x += width
        y += max(height for _, _, height in row)
    group = {
        "type": "group",
        "title": title,
        "layout_type": "ordered",
        "background_color": colour,
        "widgets": placed,
    }
    return group, y + 1


def _stacked(groups: Iterable[tuple[Json, int]]) -> list[Json]:
    placed, y = [], 0
    for group, height in groups:
        placed.append(_placed(group, 0, y, _COLUMNS, height))
        y += height
    return placed


def _placed(widget: Json, x: int, y: int, width: int, height: int) -> Json:
    return {"definition": widget, "layout": {"x": x, "y": y, "width": width, "height": height}}
