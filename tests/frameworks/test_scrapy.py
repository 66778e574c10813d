"""Scrapy: which of its spiders ran, and how they ended, although its process exits with 0."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import environments
import pytest
from frameworks._own import in_short
from support import PATIENCE, Record, Under, run_program, runs, start_program, wait_until, write

SPIDERS = """
import os
import scrapy
from scrapy.exceptions import CloseSpider, DropItem, NotConfigured

class Shop(scrapy.Spider):
    start_urls = ["data:,tea", "data:,kettle"]
    def parse(self, response):
        yield {"text": response.text}

class Good(Shop):
    name = "good"

class Raises(Shop):
    name = "raises"
    def parse(self, response):
        yield {"text": response.text}
        raise ValueError("boom")

class Errback(Shop):
    name = "errback"
    start_urls = ["data:nonsense"]
    def start_requests(self):
        yield scrapy.Request("data:nonsense", errback=self.fails)
    async def start(self):
        yield scrapy.Request("data:nonsense", errback=self.fails)
    def fails(self, failure):
        raise LookupError("in the errback")

class Closes(Shop):
    name = "closes"
    def parse(self, response):
        raise CloseSpider("no_stock")

class Finishes(Shop):
    name = "finishes"
    def parse(self, response):
        raise CloseSpider("finished")

class Limited(Shop):
    name = "limited"
    custom_settings = {"CLOSESPIDER_PAGECOUNT": 1, "CONCURRENT_REQUESTS": 1}

class Late(Shop):
    name = "late"
    start_urls = []
    custom_settings = {"CLOSESPIDER_TIMEOUT": 1}
    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.goes_on, scrapy.signals.spider_idle)
        return spider
    def goes_on(self):
        raise scrapy.exceptions.DontCloseSpider

class Waits(Late):
    name = "waits"
    custom_settings = {}
    def goes_on(self):
        print("waiting", flush=True)
        super().goes_on()

class Hangs(Shop):
    name = "hangs"
    start_urls = [os.environ.get("SHOP_URL", "data:,tea")]

class Unmade(Shop):
    name = "unmade"
    def __init__(self, *args, **kwargs):
        raise LookupError("no configuration")

class Off(Shop):
    name = "off"
    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        raise SystemError("not here")

class Start(Shop):
    name = "start"
    def start_requests(self):
        yield scrapy.Request("data:,tea")
        raise KeyError("seed")
    async def start(self):
        yield scrapy.Request("data:,tea")
        raise KeyError("seed")

class Breaks:
    def process_item(self, item, spider=None):
        raise OSError(28, "no space left")

class Drops:
    def process_item(self, item, spider=None):
        raise DropItem("not wanted")

class Pipeline(Shop):
    name = "pipeline"
    custom_settings = {"ITEM_PIPELINES": {Breaks: 1}}

class Dropping(Shop):
    name = "dropping"
    custom_settings = {"ITEM_PIPELINES": {Drops: 1}}

class Download(Shop):
    name = "download"
    start_urls = ["http://127.0.0.1:9/"]
    custom_settings = {"RETRY_ENABLED": False}

class Uncounted(Raises):
    name = "uncounted"
    custom_settings = {"STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector"}
"""
SETTINGS = """
BOT_NAME = "shop"
SPIDER_MODULES = ["shop.spiders"]
LOG_LEVEL = "ERROR"
LOG_FORMAT = "%(levelname)s %(name)s %(funcName)s %(message)s"
TELNETCONSOLE_ENABLED = False
ROBOTSTXT_OBEY = False
"""
ALONE = """
import scrapy
class Alone(scrapy.Spider):
    name = "alone"
    start_urls = ["data:,tea"]
    def parse(self, response):
        yield {"text": response.text}
"""
# All spiders that end by themselves, side by side in one process.
ALL = """
import sys
from scrapy.crawler import CrawlerProcess
from scrapy.utils.project import get_project_settings
process = CrawlerProcess(get_project_settings())
for name in sys.argv[1:]:
    process.crawl(name).addErrback(lambda failure, name=name: print(name, repr(failure.value)))
process.start()
print("bootstrap failed:", process.bootstrap_failed)
"""
# The spiders, and how their runs end.
ENDINGS = {
    "good": "success",
    "raises": "failure exception ValueError: boom",
    "errback": "failure exception LookupError: in the errback",
    "closes": "failure exception CloseSpider: no_stock",
    "finishes": "success",  # closed by itself, for that reason
    "limited": "failure exception CloseSpider: closespider_pagecount",
    "late": "failure timeout",
    "unmade": "failure exception LookupError: no configuration",
    "off": "failure exception SystemError: not here",
    "start": "failure exception KeyError: 'seed'",
    "pipeline": "failure exception OSError: [Errno 28] no space left",
    "dropping": "success",
    "download": "success",  # what could not be downloaded fails no spider
    "uncounted": "failure exception ValueError: boom",
}


@pytest.fixture(params=["newest", "oldest"])
def python(request: pytest.FixtureRequest) -> Path:
    """Return a Python that has Scrapy."""
    return environments.framework("scrapy", request.param)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a Scrapy project."""
    monkeypatch.setenv("AUTOTASK_PROCESS", "0")
    place = tmp_path / "project"
    write(place / "scrapy.cfg", "[settings]\ndefault = shop.settings\n")
    write(place / "all.py", ALL)
    write(place / "alone.py", ALONE)
    write(place / "shop" / "__init__.py", "")
    write(place / "shop" / "settings.py", SETTINGS)
    write(place / "shop" / "spiders.py", SPIDERS)
    return place


_BOTH: tuple[Under, ...] = ("bare", "path")


def _without_callers(text: str) -> str:
    """Return a log without the callers, ours among them, that older Twisteds put above an error."""
    text = re.sub(r" in \d+\.\d+s", "", text)
    return re.sub(r"(?s)(Traceback [^\n]*\n).*?--- <exception caught here> ---\n", r"\1", text)


def _ending(run: Record) -> str:
    words = [run["status"], *(run[key] for key in ("reason", "signal") if key in run)]
    if "error" in run:
        words.append("{type}: {message}".format(**run["error"]))
    return " ".join(words)


def _plain(text: str) -> list[str]:
    """Return the lines of a log in an order that does not depend on which spider was faster."""
    return sorted(re.sub(r" at 0x[0-9a-f]+|\d+\.\d+s", "", text).splitlines())


def test_each_spider_of_a_process_ends_as_without_the_agent_and_its_run_is_true(
    python: Path, project: Path, home: Path
) -> None:
    ends = [run_program(python, "all.py", *ENDINGS, under=under, cwd=project) for under in _BOTH]
    bare, ours = [(end.status, _plain(end.stdout), _plain(end.stderr)) for end in ends]
    assert ours == bare
    assert ours[0] == 0
    recorded = runs(home)
    assert {run["task"]: _ending(run) for run in recorded} == ENDINGS
    assert [run["framework"] for run in recorded] == ["scrapy"] * len(ENDINGS)
    assert not any(run.get("parent") for run in recorded)  # no spider is inside another
    where = {run["task"]: run["error"].get("where") for run in recorded if "error" in run}
    assert where["raises"].startswith(f"{project / 'shop' / 'spiders.py'}:")
    assert where["start"].startswith(f"{project / 'shop' / 'spiders.py'}:")


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        ("crawl good", 0, ["scrapy success", "good success in scrapy"]),
        ("crawl raises", 0, ["scrapy success", "raises failure exception ValueError in scrapy"]),
        (
            "crawl unmade",
            1,
            [
                "scrapy failure nested 1 by unmade",
                "unmade failure exception LookupError in scrapy",
            ],
        ),
        (
            "runspider alone.py -s CLOSESPIDER_ITEMCOUNT=1",
            0,
            ["scrapy success", "alone failure exception CloseSpider in scrapy"],
        ),
        ("crawl nothing", 1, ["scrapy failure exception KeyError"]),  # no such spider
        ("check good", 0, ["scrapy success"]),  # tests contracts
    ],
)
def test_scrapys_commands_end_as_without_the_agent(
    words: str, status: int, expected: list[str], python: Path, project: Path, home: Path
) -> None:
    ends = [
        run_program(
            *(python, "-m", "scrapy"),
            *words.split(),
            under=under,
            cwd=project,
            env={"AUTOTASK_PROCESS": "1"},
        )
        for under in _BOTH
    ]
    bare, ours = [(end.status, end.stdout, _without_callers(end.stderr)) for end in ends]
    assert ours == bare
    assert ours[0] == status
    assert in_short(runs(home)) == expected


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """Listen on loopback, and never answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(PATIENCE)
        yield listener


@pytest.mark.parametrize(
    ("numbers", "spider", "expected"),
    [
        ([signal.SIGINT], "waits", "failure interrupted"),
        ([signal.SIGTERM], "waits", "failure signal SIGTERM"),
        ([signal.SIGINT, signal.SIGINT], "hangs", "failure interrupted"),
    ],
)
def test_a_signal_ends_a_spider_as_without_the_agent(
    numbers: list[signal.Signals],
    spider: str,
    expected: str,
    python: Path,
    project: Path,
    home: Path,
    silent_server: socket.socket,
) -> None:
    ends = [_signalled(python, project, spider, numbers, silent_server, under) for under in _BOTH]
    assert ends[0] == ends[1]
    (run,) = runs(home)
    assert _ending(run) == expected


def _signalled(
    python: Path,
    project: Path,
    spider: str,
    numbers: list[signal.Signals],
    server: socket.socket,
    under: Under,
) -> int:
    log = project / f"{under}.log"
    command = (python, "-m", "scrapy", "crawl", spider, "-L", "INFO")
    with log.open("w") as output, contextlib.ExitStack() as connections:
        env = {"SHOP_URL": f"http://127.0.0.1:{server.getsockname()[1]}/"}
        process = start_program(
            *command, under=under, env=env, cwd=project, stdout=output, stderr=subprocess.STDOUT
        )
        # Scrapy has its handlers when its reactor runs: it tells then how much it has crawled. It
        # waits for what it has asked for.
        if spider == "hangs":
            connections.enter_context(server.accept()[0])
        for number, text in zip(
            numbers, ("waiting" if spider == "waits" else "Crawled", "gracefully")
        ):
            wait_until(lambda text=text: text in log.read_text() or process.poll() is not None)  # type: ignore[misc]
            process.send_signal(number)
        return process.wait(timeout=60)
