"""Scrapy 2.4 to 2.19: a run for each crawl of a spider, under the spider's name.

It is open from the call of `Crawler.crawl` until the Deferred that this returns fires: it counts
what goes wrong before the spider is opened, and it needs nothing of the program's settings. Two
spiders of one process are side by side. What happens inside leaves no exception: how the engine
closed the spider, and what its callbacks and pipelines raised, is noted on the way.
"""

from __future__ import annotations

import os
import sys

from autotask import recorder
from autotask.frameworks import PACKAGES, replace
from autotask.guard import guarded
from autotask.recorder import hide_frame
from autotask.run import SUCCESS, Outcome, describe, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from autotask.run import Run

PACKAGES.update(("scrapy", "twisted", "itemadapter"))

_TIMEOUTS = ("closespider_timeout", "closespider_timeout_no_item")  # settings of CloseSpider
_COUNTED = "spider_exceptions/"  # how a statistic begins: the class of an exception follows
# How the message begins if the first requests cannot be had; the second since 2.13.
_AT_START = ("Error while obtaining start requests", "Error while reading start items")


class _Crawl:
    """What is known of a crawl until it ends."""

    __slots__ = ("crawler", "error", "reason", "run")

    def __init__(self, run: Run, crawler: Any) -> None:
        self.run = run
        self.crawler = crawler
        self.reason: str | None = None  # why the engine closed the spider
        self.error: dict[str, str] | None = None  # the first exception in a callback or a pipeline


_open: dict[int, _Crawl] = {}  # by the id of the Crawler
_signals: list[int] = []  # those that ask to stop


def instrument_crawler(crawler: ModuleType) -> None:
    """Instrument `scrapy.crawler`: each crawl, and the signals that end all of them."""
    replace(crawler.Crawler, "crawl", _around_crawl)
    replace(crawler.Crawler, "crawl_async", _around_crawl_async)  # 2.14
    for owner in crawler.CrawlerProcess.__mro__:
        if owner.__module__ == crawler.__name__:
            replace(owner, "_signal_shutdown", _around_signal)
            replace(owner, "_signal_kill", _around_kill)


def instrument_engine(engine: ModuleType) -> None:
    """Instrument `scrapy.core.engine`, which closes a spider for a reason."""
    if hasattr(engine.ExecutionEngine, "close_spider_async"):  # 2.14: the other one calls it
        replace(engine.ExecutionEngine, "close_spider_async", _around_close_async)
    else:
        replace(engine.ExecutionEngine, "close_spider", _around_close)


def instrument_scraper(scraper: ModuleType) -> None:
    """Instrument `scrapy.core.scraper`, which catches what callbacks raise."""
    replace(scraper.Scraper, "handle_spider_error", _around_spider_error)


def instrument_log(log: ModuleType) -> None:
    """Instrument `scrapy.utils.log`: of what `start` raises there is nothing but a log record."""
    replace(log.LogCounterHandler, "emit", _around_emit)


def instrument_logformatter(logformatter: ModuleType) -> None:
    """Instrument `scrapy.logformatter`, which words what pipelines raise."""
    replace(logformatter.LogFormatter, "item_error", _around_item_error)


def _around_crawl(original: Any) -> Any:
    def autotask_crawl(self: Any, *args: Any, **kwargs: Any) -> Any:
        # In a context of its own, as inlineCallbacks does: the next spider is not inside this one.
        context = sys.modules["contextvars"].copy_context()
        crawl = context.run(_setup, self)
        try:
            deferred = context.run(original, self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _raised(crawl, exc))
            raise
        _follow(deferred, crawl)
        return deferred

    return autotask_crawl


def _around_crawl_async(original: Any) -> Any:
    async def autotask_crawl_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        crawl = _setup(self)
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc, _raised(crawl, exc))
            raise
        _finished(crawl)
        return result

    return autotask_crawl_async


@guarded
def _setup(crawler: Any) -> _Crawl | None:
    """Open the run of a crawl; `scrapy check`, which only tests a spider's contracts, has none."""
    if id(crawler) in _open or os.environ.get("SCRAPY_CHECK"):
        return None
    run = recorder.begin(crawler.spidercls.name or crawler.spidercls.__name__, "scrapy")
    if run is None:
        return None
    crawl = _open[id(crawler)] = _Crawl(run, crawler)
    return crawl


@guarded
def _follow(deferred: Any, crawl: _Crawl | None) -> None:
    """End the run when the crawl's Deferred fires, which gets the same result as without us."""
    if crawl is None:
        return

    def autotask_fired(result: Any) -> Any:
        exc = getattr(result, "value", None)
        if isinstance(exc, BaseException):  # the result is a Failure
            _raised(crawl, exc)
        else:
            _finished(crawl)
        return result

    deferred.addBoth(autotask_fired)


@guarded
def _raised(crawl: _Crawl | None, exc: BaseException) -> Run | None:
    """Close the run of a crawl that could not start, or broke off."""
    if crawl is None:
        return None
    _open.pop(id(crawl.crawler), None)
    recorder.end(crawl.run, recorder.judged(exc, crawl.run))
    return crawl.run


@guarded
def _finished(crawl: _Crawl | None) -> None:
    if crawl is not None:
        _open.pop(id(crawl.crawler), None)
        recorder.end(crawl.run, _judged(crawl))


def _judged(crawl: _Crawl) -> Outcome:
    if crawl.reason == "shutdown" and _signals:
        return _stopped(_signals[-1])
    error = crawl.error or _counted(crawl.crawler.stats.get_stats())
    if error is not None:
        return failure("exception", error=error)
    if crawl.reason in ("finished", None):
        return SUCCESS
    if crawl.reason in _TIMEOUTS:
        return failure("timeout")
    from autotask import failures  # on the failing path only

    return failure("exception", error=failures.error("CloseSpider", str(crawl.reason)))


def _stopped(number: int) -> Outcome:
    name = sys.modules["signal"].Signals(number).name
    return failure("interrupted") if name == "SIGINT" else failure("signal", signal=name)


def _counted(stats: dict[str, Any]) -> dict[str, str] | None:
    """Return an exception that Scrapy has counted, if it was noted nowhere else."""
    kinds = [name[len(_COUNTED) :] for name in stats if name.startswith(_COUNTED)]
    kinds = [kind for kind in kinds if kind != "count"]  # their number, since 2.14
    if not kinds:
        return None
    from autotask import failures  # on the failing path only

    return failures.error(kinds[0], "")


def _around_close(original: Any) -> Any:
    def autotask_close_spider(self: Any, *args: Any, **kwargs: Any) -> Any:
        _note_reason(self, *args, **kwargs)
        try:
            return original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_close_spider


def _around_close_async(original: Any) -> Any:
    async def autotask_close_spider(self: Any, *args: Any, **kwargs: Any) -> Any:
        _note_reason(self, *args, **kwargs)
        try:
            return await original(self, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_close_spider


@guarded
def _note_reason(engine: Any, *args: Any, **kwargs: Any) -> None:
    crawl = _open.get(id(engine.crawler))
    if crawl is not None and crawl.reason is None:  # the spider comes before it
        crawl.reason = kwargs.get("reason") or (args[1] if len(args) > 1 else "cancelled")


def _around_spider_error(original: Any) -> Any:
    def autotask_handle_spider_error(self: Any, _failure: Any, *args: Any, **kwargs: Any) -> Any:
        _note_error(self.crawler, _failure.value)
        try:
            return original(self, _failure, *args, **kwargs)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_handle_spider_error


def _around_item_error(original: Any) -> Any:
    def autotask_item_error(
        self: Any, item: Any, exception: Any, response: Any, spider: Any
    ) -> Any:
        _note_error(spider.crawler, exception)
        try:
            return original(self, item, exception, response, spider)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_item_error


@guarded
def _note_error(crawler: Any, exc: BaseException) -> None:
    """Note the first exception of a crawl, but for the one with which a callback ends it."""
    crawl = _open.get(id(crawler))
    if crawl is not None and crawl.error is None and type(exc).__name__ != "CloseSpider":
        crawl.error = describe(exc)


def _around_emit(original: Any) -> Any:
    def autotask_emit(self: Any, record: Any) -> Any:
        if record.exc_info and record.name == "scrapy.core.engine":
            _note_start(record)
        try:
            return original(self, record)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_emit


@guarded
def _note_start(record: Any) -> None:
    """Note what the spider's `start` has raised; the engine's frame tells whose spider it is."""
    if str(record.msg).startswith(_AT_START):
        _note_error(record.exc_info[2].tb_frame.f_locals["self"].crawler, record.exc_info[1])


def _around_signal(original: Any) -> Any:
    def autotask_signal_shutdown(self: Any, signum: int, frame: Any) -> Any:
        _signals.append(signum)
        try:
            return original(self, signum, frame)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_signal_shutdown


def _around_kill(original: Any) -> Any:
    def autotask_signal_kill(self: Any, signum: int, frame: Any) -> Any:
        _break_off(signum)
        try:
            return original(self, signum, frame)
        except BaseException as exc:
            hide_frame(exc)
            raise

    return autotask_signal_kill


@guarded
def _break_off(signum: int) -> None:
    """Close all runs at the second signal: Scrapy stops without closing its spiders."""
    while _open:
        _, crawl = _open.popitem()
        recorder.end(crawl.run, _stopped(signum))
