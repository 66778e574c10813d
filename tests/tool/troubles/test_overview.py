"""All tasks at a moment."""

from __future__ import annotations

import contextlib
import os
import time

import pytest
from tool.journals import DAY, HOST, HOUR, Book

from autotask.run import failure
from autotask.tool.datadog.config import Config
from autotask.tool.journal.index import open_index
from autotask.tool.troubles import overview
from autotask.tool.troubles.overview import Overview


@pytest.fixture
def seen(book: Book) -> Overview:
    """Look at the last day of some tasks."""
    for number in range(11):
        book.run("backup.sh", "process", ago=(number + 1) * 10 * HOUR, duration=100 + number)
    book.run("backup.sh", "process", ago=HOUR, outcome=failure("exit"))
    program = book.run("shop.py", "process", ago=300, outcome=None)
    book.run("shop.orders", ago=200, outcome=None, parent=program)
    worker = book.run("worker", "process", ago=5 * DAY, outcome=None, server=True)
    book.run("mail", "celery", ago=400, outcome=None, parent=worker)
    book.run("tidy", "rake", ago=10, outcome=None, bookkeeping=True)
    now = time.time()
    with contextlib.closing(open_index(str(book.home))) as index:
        return overview.overview(index, (), Config(), now - DAY, now)


def test_each_task_has_its_counts_and_its_usual_band(seen: Overview) -> None:
    views = {view.summary.task: view for view in seen.tasks}
    assert {task: (dict(view.counts), view.band) for task, view in views.items()} == {
        "backup.sh": ({"success": 2, "failure": 1}, (101, 109)),
        "mail": ({"running": 1}, None),
        "shop.orders": ({"running": 1}, None),
        "shop.py": ({"running": 1}, None),
        "worker": ({}, None),
    }
    assert views["backup.sh"].summary[2:7:4] == (12, 105)  # runs, and the usual duration


def test_what_runs_is_told_without_what_is_only_around_it(seen: Overview) -> None:
    running = [(run.task, run.server) for run in seen.running]
    assert running == [("worker", True), ("mail", False), ("shop.orders", False)]
    mail = seen.running[1]
    assert (mail.framework, mail.pid, mail.host) == ("celery", os.getpid(), HOST)
    assert (mail.usual, mail.user) == (None, None)
    assert 399 < seen.now - mail.since < 460


def test_the_troubles_are_those_of_check(seen: Overview) -> None:
    assert [(trouble.kind, trouble.task) for trouble in seen.troubles] == [("failed", "backup.sh")]


def test_nothing_is_known_before_the_first_run() -> None:
    assert overview.overview(None, (), Config(), 0, 1) == Overview(0, 1, [], [], [])


def test_the_usual_duration_is_that_of_the_task_and_its_framework(book: Book) -> None:
    book.run("a", "click", ago=60, outcome=None)
    with contextlib.closing(open_index(str(book.home))) as index:
        (run,) = overview.running(index, {("a", "click"): 3.0, ("a", "process"): 5.0})
    assert run.usual == 3
