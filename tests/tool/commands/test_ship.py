"""`autotask ship`: what the Agent did not take comes later, with its own time, and once."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import (
    PATIENCE,
    Datagrams,
    deliveries,
    environment,
    lines,
    run_program,
    runs,
    small_disk,
    start_program,
    wait_until,
    write,
)
from test_wire import Line, UnixAgent, read, skip_without_a_name
from tool.journals import COMMAND, DAY, HOUR, Book, answer, autotask, obey_modes

from autotask import journal
from autotask.around import journal_lines, missed_lines, redeliver, undelivered
from autotask.run import SKIPPED, SUCCESS, Outcome, Run, failure
from autotask.settings import Settings

FAILURE = failure("exception", error={"type": "ValueError", "message": "boom", "where": "a.py:1"})
NESTED = failure("nested", caused_by="00000000000000aa")
RETRIED = Outcome("retried", "exception", error=FAILURE.error)
NOTHING = "nothing to deliver\n"


def shipped(agent: Datagrams) -> list[Line]:
    """Run the command; return the lines that came, but for the one that looks who is there."""
    agent.forget()
    assert answer("ship").startswith("delivered ")
    return [read(line) for line in agent.lines(wait=5)]


def kinds(said: list[Line]) -> list[str]:
    return [line.kind for line in said]


def moment(run: Run) -> str:
    """Return the second of a run's end, but never that of the Agent's own counts."""
    second = int(run.started + 1.5)
    return str(second + (second % 10 == 0))


def test_a_start_and_an_end_come_with_the_tags_and_the_time_that_they_had(
    book: Book, datagrams: Datagrams
) -> None:
    run = book.run(outcome=FAILURE, ago=300, unsent=True)
    start, count, duration, check, event = shipped(datagrams)
    rest = ["env:prod", "service:shop", "team:north", "version:1.4.2"]
    tags = sorted(["task:nightly", "framework:click", "trigger:cron", *rest])
    started = int(run.started) + (int(run.started) % 10 == 0)
    assert start == Line("count", "autotask.task.started", "1", {"T": str(started)}, tags)
    assert (count.name, count.value, count.fields) == (
        "autotask.task.runs",
        "1",
        {"T": moment(run)},
    )
    assert {*tags, "status:failure", "reason:exception"} == {*count.tags}
    assert (duration.kind, duration.value, duration.fields) == ("distribution", "1.500000", {})
    said = {"d": moment(run), "m": "exception ValueError: boom"}
    assert check == Line("check", "autotask.task.status", "2", said, tags)
    assert (event.name, event.fields) == (
        "task failed: nightly",
        {"k": "nightly", "t": "error", "d": moment(run)},
    )
    assert answer("ship") == NOTHING


# How a run of a framework's bookkeeping ended, and what comes of it.
BOOKKEEPING: list[tuple[Outcome, list[str]]] = [
    (SUCCESS, []),
    (SKIPPED, []),
    (FAILURE, ["count", "distribution", "event"]),
    (NESTED, ["count", "distribution"]),
]


@pytest.mark.parametrize(("outcome", "expected"), BOOKKEEPING)
@pytest.mark.parametrize("ago", [300, 2 * HOUR], ids=["counted", "told by an event"])
def test_of_what_a_framework_runs_for_itself_only_a_failure_comes_and_without_a_service_check(
    ago: float, outcome: Outcome, expected: list[str], book: Book, datagrams: Datagrams
) -> None:
    run = book.run("environment", "rake", outcome=None, ago=ago, bookkeeping=True)
    book.finish(run, outcome, ago=ago, unsent=True)
    if ago > HOUR:
        expected = ["event"] if expected else []
    assert kinds(shipped(datagrams)) == expected


def test_what_a_framework_runs_for_itself_is_not_started_late_either(
    book: Book, datagrams: Datagrams
) -> None:
    book.run("environment", "rake", outcome=None, ago=300, unsent=True, bookkeeping=True)
    book.run("db:migrate", "rake", outcome=None, ago=300, unsent=True)
    (started,) = shipped(datagrams)
    assert "task:db:migrate" in started.tags


def test_what_a_framework_runs_for_itself_under_a_tasks_name_leaves_that_its_last_status(
    book: Book, datagrams: Datagrams
) -> None:
    book.run("db:schema:dump", "rake", outcome=FAILURE, ago=300, unsent=True)
    book.run("db:schema:dump", "rake", ago=200, bookkeeping=True)
    assert "check" in kinds(shipped(datagrams))


def entities(lines: list[Line]) -> list[str]:
    """Return each line's kind, and the pod that it names."""
    named = "dd.internal.entity_id:"
    return [
        " ".join([line.kind, *(tag[len(named) :] for tag in line.tags if tag.startswith(named))])
        for line in lines
    ]


# The shipper's own pod, the pod that the started line names, and what the late lines name.
PODS = [
    ("shipper", "shipper", " shipper"),
    ("shipper", "cronjob", ""),
    ("shipper", None, ""),
    (None, "cronjob", ""),
    (None, None, ""),
]


@pytest.mark.parametrize(("ours", "theirs", "named"), PODS)
@pytest.mark.parametrize("ago", [600, 2 * HOUR], ids=["counted", "told by an event"])
def test_what_another_pod_ran_is_not_delivered_under_the_shippers(
    ago: float,
    ours: str | None,
    theirs: str | None,
    named: str,
    book: Book,
    datagrams: Datagrams,
) -> None:
    book.run(outcome=FAILURE, ago=ago, unsent=True, entity=theirs)
    said = autotask("ship", env={"DD_ENTITY_ID": ours})
    assert said.stdout.startswith("delivered "), said
    found = [read(line) for line in datagrams.lines(wait=5)]
    late = (
        ["check", "event"] if ago != 600 else ["count", "count", "distribution", "check", "event"]
    )
    assert entities(found) == [kind + named for kind in late]


def test_runs_of_several_pods_in_one_second_are_one_count(book: Book, datagrams: Datagrams) -> None:
    """Datadog would keep one of two: the tags of both pods may well be the same."""
    second = int(time.time()) - 605
    for number, part in enumerate((0.2, 0.4, 0.6)):
        book.run(outcome=None, ago=time.time() - second - part, unsent=True, entity=f"pod{number}")
    (count,) = shipped(datagrams)
    assert count.value == "3"


def test_a_later_run_in_another_pod_still_has_the_last_word_on_the_status(
    book: Book, datagrams: Datagrams
) -> None:
    book.run(outcome=FAILURE, ago=300, unsent=True, entity="pod1")
    book.run(outcome=SUCCESS, ago=200, entity="pod2")
    assert "check" not in kinds(shipped(datagrams))


AGES = {
    "a failure of now": (FAILURE, 60, ["count", "count", "distribution", "check", "event"]),
    "a success of now": (SUCCESS, 60, ["count", "count", "distribution", "check"]),
    "what was skipped now": (SKIPPED, 60, ["count", "count"]),
    "a nested failure of now": (NESTED, 60, ["count", "count", "distribution"]),
    "a success of nearly an hour ago": (
        SUCCESS,
        HOUR - 120,
        ["count", "count", "distribution", "check"],
    ),
    "a failure of two hours ago": (FAILURE, 2 * HOUR, ["check", "event"]),
    "a success of 17 hours ago": (SUCCESS, 17 * HOUR, ["event", "check"]),
    "what was skipped two hours ago": (SKIPPED, 2 * HOUR, ["event"]),
    "a nested failure of two hours ago": (NESTED, 2 * HOUR, ["event"]),
}


@pytest.mark.parametrize(("outcome", "ago", "said"), AGES.values(), ids=AGES)
def test_what_is_too_old_to_be_counted_is_an_event(
    outcome: Outcome, ago: float, said: list[str], book: Book, datagrams: Datagrams
) -> None:
    run = book.run(outcome=outcome, ago=ago, unsent=True)
    found = shipped(datagrams)
    assert kinds(found) == said
    if "count" not in said:
        (end,) = [line for line in lines(book.home) if line["event"] == "finished"]
        assert end["run"] == run.id
        (told,) = [line.fields["d"] for line in found if line.kind == "event"]
        assert told in (str(int(journal_lines.timestamp(end["at"]))), moment(run))
    assert answer("ship") == NOTHING


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE])
@pytest.mark.parametrize(
    ("ago", "has_time"), [(60, True), (500, True), (620, False), (2 * HOUR, False)]
)
def test_a_check_that_is_too_old_for_a_time_of_its_own_goes_without(
    ago: float, has_time: bool, outcome: Outcome, book: Book, datagrams: Datagrams
) -> None:
    """Datadog takes a check for ten minutes: the last one of its task still holds."""
    run = book.run(outcome=outcome, ago=ago, unsent=True)
    book.run("hourly", outcome=FAILURE, ago=ago, unsent=True)
    book.run("hourly", outcome=SUCCESS, ago=30)  # which the Agent took
    (check,) = [line for line in shipped(datagrams) if line.kind == "check"]
    assert check.value == ("0" if outcome is SUCCESS else "2")
    assert "task:nightly" in check.tags
    assert check.fields.get("d") == (moment(run) if has_time else None)


def test_checks_of_old_runs_are_sent_even_if_events_are_off(
    book: Book, datagrams: Datagrams
) -> None:
    for number, outcome in enumerate([FAILURE, SUCCESS, FAILURE]):
        book.run(outcome=outcome, ago=2 * HOUR - number, unsent=True)
    said = answer("ship", env={"AUTOTASK_EVENTS": "0"})
    assert said == "delivered 1 start or end; 2 can no longer be delivered\n"
    (check,) = [read(line) for line in datagrams.lines()]
    assert (check.kind, check.value) == ("check", "2")


@pytest.mark.parametrize("status", ["paused", "frobnicated", "Early|er, {1}"])
def test_an_unknown_status_is_counted_as_it_is(
    status: str, book: Book, datagrams: Datagrams
) -> None:
    run = book.run(outcome=None, ago=60)
    at = journal.moment(time.time() - 55)
    line: dict[str, object] = {"event": "finished", "run": run.id, "root": run.root, "at": at}
    line |= {"status": status, "duration": 1.5, "unsent": True, "mood": ["good"]}
    book.line(json.dumps(line, separators=(",", ":")), 55)
    count, duration = shipped(datagrams)
    kept = "".join(letter if letter.isalnum() else "_" for letter in status.lower())
    assert f"status:{kept}" in count.tags
    assert (count.name, duration.kind) == ("autotask.task.runs", "distribution")
    assert answer("ship") == NOTHING


def test_how_long_a_run_waited_comes_with_its_start(book: Book, datagrams: Datagrams) -> None:
    book.run(outcome=None, ago=300, unsent=True, attempt=2, waited=7.25)
    count, waited = shipped(datagrams)
    assert (count.name, count.value) == ("autotask.task.started", "1")
    assert (waited.kind, waited.name, waited.value) == (
        "distribution",
        "autotask.task.waited",
        "7.250000",
    )
    assert {"task:nightly", "framework:click", "env:prod"} <= {*waited.tags}
    assert "trigger:cron" not in waited.tags
    assert answer("ship") == NOTHING


LATE: dict[str, tuple[Outcome, float, list[str]]] = {
    "retried": (RETRIED, 300, ["count", "distribution"]),
    "retried, too old to count": (RETRIED, 5 * HOUR, ["event"]),
    "skipped for a reason": (Outcome("skipped", "overlap"), 300, ["count"]),
}


@pytest.mark.parametrize(("outcome", "ago", "said"), LATE.values(), ids=LATE)
def test_what_was_retried_or_skipped_has_no_status_and_alerts_no_one(
    outcome: Outcome, ago: float, said: list[str], book: Book, datagrams: Datagrams
) -> None:
    run = book.run(outcome=None, ago=ago)
    book.finish(run, outcome, ago - 1.5, unsent=True)
    found = shipped(datagrams)
    assert kinds(found) == said
    assert f"status:{outcome.status}" in found[0].tags or found[0].value.startswith("1 retried; ")
    assert f"reason:{outcome.reason}" in found[0].tags or found[0].fields["t"] == "info"


def test_an_unknown_status_is_in_a_late_event_as_it_is(book: Book, datagrams: Datagrams) -> None:
    book.run(outcome=Outcome("frobnicated|x"), ago=5 * HOUR, unsent=True)
    (event,) = shipped(datagrams)
    assert event.value.startswith("1 frobnicated_x; ")


def test_an_unknown_status_has_no_service_check_and_hides_no_other(
    book: Book, datagrams: Datagrams
) -> None:
    book.run(outcome=SUCCESS, ago=60, unsent=True)
    book.run(outcome=Outcome("retried", "exception"), ago=50)
    assert kinds(shipped(datagrams)) == ["count", "count", "distribution", "check"]


def test_what_datadog_takes_in_no_form_is_given_up(book: Book, datagrams: Datagrams) -> None:
    book.run(outcome=FAILURE, ago=19 * HOUR, unsent=True)
    book.run(outcome=None, ago=2 * HOUR, unsent=True)  # a start: there is no event of one
    assert answer("ship") == NOTHING
    assert kinds([read(line) for line in datagrams.lines()]) == []


def test_old_successes_are_one_event_for_a_task_and_failures_one_each(
    book: Book, datagrams: Datagrams
) -> None:
    for number, outcome in enumerate([SUCCESS, FAILURE, SUCCESS, SKIPPED, FAILURE, NESTED]):
        book.run(outcome=outcome, ago=5 * HOUR - number, unsent=True)
    book.run("hourly", ago=4 * HOUR, unsent=True)
    found = [line for line in shipped(datagrams) if line.kind == "event"]
    assert sorted(line.name for line in found) == [
        "runs reported late: hourly",
        "runs reported late: nightly",
        "task failed: nightly",
        "task failed: nightly",
    ]
    (summary,) = [line for line in found if line.name == "runs reported late: nightly"]
    assert summary.value.startswith("1 failure, 1 skipped, 2 success; they ended between ")
    assert summary.fields["t"] == "info"
    assert "task:nightly" in summary.tags


def test_without_events_none_is_sent(book: Book, datagrams: Datagrams) -> None:
    book.run(outcome=NESTED, ago=2 * HOUR, unsent=True)
    said = answer("ship", env={"AUTOTASK_EVENTS": "0"})
    assert said == "delivered 0 starts and ends; 1 can no longer be delivered\n"
    assert datagrams.lines() == []


def test_runs_of_one_second_and_the_same_tags_are_one_count(
    book: Book, datagrams: Datagrams
) -> None:
    second = int(time.time()) - 605  # both in the middle of a second that is no flush of an Agent's
    second += second % 10 in (9, 0)
    for part in (0.2, 0.4, 0.6):
        book.run(ago=time.time() - second - part, duration=0.1, unsent=True)
    counts = [line for line in shipped(datagrams) if line.kind == "count"]
    assert [(line.name, line.value) for line in counts] == [
        ("autotask.task.started", "3"),
        ("autotask.task.runs", "3"),
    ]


def test_the_status_is_that_of_the_last_run(book: Book, datagrams: Datagrams) -> None:
    book.run(outcome=FAILURE, ago=300, unsent=True)
    book.run(outcome=SUCCESS, ago=200)  # which the Agent took
    book.run("hourly", outcome=FAILURE, ago=300, unsent=True)
    book.run("hourly", outcome=SUCCESS, ago=200, unsent=True)
    book.run("hourly", outcome=SKIPPED, ago=100)  # says nothing of a status
    (check,) = [line for line in shipped(datagrams) if line.kind == "check"]
    assert check.value == "0"
    assert "task:hourly" in check.tags


def test_attempts_of_one_task_have_one_status_whatever_else_their_starts_tell(
    book: Book, datagrams: Datagrams
) -> None:
    queued: dict[str, Any] = {"attempt": 1, "waited": 0.5, "enqueued_by": "a" * 16, "mood": ["a"]}
    book.run(outcome=FAILURE, ago=300, unsent=True, **queued)
    book.run(outcome=SUCCESS, ago=200, **{**queued, "attempt": 2, "waited": 7.25})
    assert "check" not in kinds(shipped(datagrams))


@pytest.mark.parametrize("status", [None, 3, {"is": "paused"}])
def test_an_end_without_a_status_is_counted_as_unknown(
    status: object, book: Book, datagrams: Datagrams
) -> None:
    run = book.run(outcome=None, ago=60)
    at = journal.moment(time.time() - 55)
    end = {"event": "finished", "run": run.id, "root": run.root, "at": at, "status": status}
    end |= {"duration": 2, "caused_by": ["x"], "unsent": True}
    book.line(json.dumps(end, separators=(",", ":")), 55)
    count, duration = shipped(datagrams)
    assert "status:unknown" in count.tags
    assert duration.value == "2.000000"


def test_an_older_failure_does_not_follow_a_success_of_a_long_run(
    book: Book, datagrams: Datagrams
) -> None:
    long = book.run(outcome=None, ago=5 * HOUR)
    book.run(outcome=FAILURE, ago=600, unsent=True)
    book.finish(long, ago=300)
    # All that a failure sends, but for its check.
    assert kinds(shipped(datagrams)) == ["count", "count", "distribution", "event"]


def test_the_start_of_a_run_is_found_however_long_ago_it_was(
    book: Book, datagrams: Datagrams
) -> None:
    run = book.run(outcome=None, ago=30 * HOUR)
    book.finish(run, ago=10, unsent=True)
    assert kinds(shipped(datagrams)) == ["count", "distribution", "check"]


def test_a_line_that_was_refused_after_it_was_written_is_delivered(
    book: Book, datagrams: Datagrams
) -> None:
    run = book.run()
    book.line(journal.delivery_line("unsent", run.id, run.root, "finished"))
    assert kinds(shipped(datagrams)) == ["count", "distribution", "check"]
    assert deliveries(book.home) == [
        (run.id, "finished", "unsent"),
        (run.id, "finished", "sent"),
    ]


@pytest.mark.parametrize("lost_first", [True, False])
def test_of_two_ends_its_own_is_sent_and_lost_is_not(
    book: Book, datagrams: Datagrams, lost_first: bool
) -> None:
    run = book.run(outcome=None)
    ends = [failure("lost"), SUCCESS]
    for outcome in ends if lost_first else reversed(ends):
        book.finish(run, outcome, ago=30, unsent=True)
    lines = [line for line in shipped(datagrams) if line.name == "autotask.task.runs"]
    assert ["status:success" in line.tags for line in lines] == [True]
    datagrams.forget()
    assert answer("ship") == NOTHING
    assert deliveries(book.home).count((run.id, "finished", "sent")) == 1


def test_what_was_noted_as_sent_is_never_sent_again(book: Book, datagrams: Datagrams) -> None:
    run = book.run(unsent=True)
    for of in ("started", "finished"):  # and whoever noted it died before it went
        book.line(journal.delivery_line("sent", run.id, run.root, of))
    assert answer("ship") == NOTHING
    assert datagrams.lines() == []


def test_a_clock_that_was_set_back_makes_nothing_come_twice(
    book: Book, datagrams: Datagrams
) -> None:
    run = book.run(ago=60)
    book.line(journal.delivery_line("unsent", run.id, run.root, "finished"), ago=-HOUR)
    book.line(journal.delivery_line("sent", run.id, run.root, "finished"))
    assert answer("ship") == NOTHING


def test_what_a_full_disk_keeps_from_being_sent_comes_once_when_there_is_room(
    book: Book, datagrams: Datagrams, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "size=64k,mode=700") as disk:
        book.home, ballast = disk / "home", disk / "ballast"
        book.run(ago=600, unsent=True)
        with book.segment(600).open("ab") as segment:
            segment.write(b"\n" * (-segment.tell() % mmap.PAGESIZE))  # no room in its last page
        with contextlib.suppress(OSError):
            ballast.write_bytes(bytes(1 << 20))
        settings, owing = (
            Settings({"DD_DOGSTATSD_URL": datagrams.url}),
            undelivered.recent(f"{book.home}"),
        )
        with contextlib.closing(journal.Journal(f"{book.home}")) as ours:
            assert redeliver.ship(owing, settings, ours, 0.0) == 0
            ballast.unlink()
            assert redeliver.ship(owing, settings, ours, 0.0) == 2  # its start and its end
            assert undelivered.recent(f"{book.home}").catch_up() == {}
    assert len(datagrams.lines("autotask.task.started:1|", wait=5)) == 1


def test_a_missed_line_of_an_unknown_run_is_given_up(book: Book, datagrams: Datagrams) -> None:
    line = journal.delivery_line("unsent", "0" * 16, "0" * 16, "finished")
    book.line(line.replace(journal.moment(time.time())[:16], journal.moment(time.time() - 60)[:16]))
    said = answer("ship")
    assert said == "delivered 0 starts and ends; 1 can no longer be delivered\n"


def test_no_two_counts_have_the_same_tags_and_the_same_second(
    book: Book, datagrams: Datagrams
) -> None:
    for number in range(250):
        book.run(outcome=None, ago=600 + number % 3 / 10, unsent=True)
    settings, ours = Settings({"DD_DOGSTATSD_URL": datagrams.url}), journal.Journal(str(book.home))
    for _ in range(4):
        owing = undelivered.few(ours.folder)
        if owing is not None:
            redeliver.ship_few(owing, settings, ours)
    answer("ship")
    found = [read(line) for line in datagrams.lines(wait=5)]
    assert sum(int(line.value) for line in found) == 250
    moments = [line.fields["T"] for line in found]
    assert len(moments) == len({*moments})
    ours.close()


# Starts and ends, in seconds after a whole minute; the Agent's own counts are those of 0, 10, 20.
ENDED = [(9.2, 9.9), (9.95, 10.0), (10.4, 10.9), (10.6, 11.2), (11.3, 11.9), (11.8, 13.0)]
ENDED += [(19.1, 20.0), (19.9, 20.3), (19.7, 21.4), (20.9, 21.9), (22.0, 29.9), (30.0, 30.1)]
DELIVER = {
    **{f"ship, {some} at a time": (missed_lines, "SLICE", some) for some in (1, 2, 3, 5, 20_000)},
    **{f"few, {some} at a time": (missed_lines, "_FEW", some) for some in (1, 2, 3, 5, 100)},
    **{
        f"few of {size} bytes": (undelivered, "_CHEAP", size) for size in (500, 1_000, 2_000, 3_000)
    },
}


@pytest.mark.parametrize("noted", [0.0, 0.6, 2.5], ids=["noted at once", "soon", "late"])
@pytest.mark.parametrize("case", DELIVER)
def test_no_second_is_split_between_two_deliveries(
    case: str, noted: float, book: Book, datagrams: Datagrams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two counts of one second Datadog keeps one: whenever and however much is delivered."""
    base, clock = 1_800_000_000 - 1_800_000_000 % 60, [0.0]
    monkeypatch.setattr(time, "time", lambda: base + clock[0])
    monkeypatch.setattr(*DELIVER[case])
    settings, ours = Settings({"DD_DOGSTATSD_URL": datagrams.url}), journal.Journal(str(book.home))

    def begin(number: int) -> None:
        begun[number] = book.run(outcome=None, ago=0, unsent=not noted)

    def end(number: int) -> None:
        book.finish(begun[number], unsent=not noted)

    def note(number: int, of: str) -> None:
        book.line(journal.delivery_line("unsent", begun[number].id, begun[number].root, of))

    begun: dict[int, Run] = {}
    todo: list[tuple[float, Callable[[], None]]] = []
    for number, (start, finish) in enumerate(ENDED):
        todo += [(start, partial(begin, number)), (finish, partial(end, number))]
        if noted:
            todo += [(start + noted, partial(note, number, "started"))]
            todo += [(finish + noted, partial(note, number, "finished"))]
    todo += [(tick / 4, partial(_deliver, case, book, settings, ours)) for tick in range(48, 144)]
    for at, do in sorted(todo, key=lambda one: one[0]):
        clock[0] = at
        do()
    clock[0] = 100.0
    _deliver("ship", book, settings, ours)
    counts = [line for line in map(read, datagrams.lines(wait=5)) if line.kind == "count"]
    keys = [(line.name, line.fields["T"]) for line in counts]
    assert len(keys) == len({*keys})
    assert sum(int(line.value) for line in counts) == 2 * len(ENDED)
    ours.close()


def _deliver(case: str, book: Book, settings: Settings, ours: journal.Journal) -> None:
    if case.startswith("ship"):
        redeliver.ship(undelivered.recent(str(book.home)), settings, ours, 0.0)
    elif (owing := undelivered.few(ours.folder)) is not None:
        redeliver.ship_few(owing, settings, ours)


def test_runs_with_tags_that_datadog_does_not_tell_apart_are_one_count(
    book: Book, datagrams: Datagrams
) -> None:
    second = int(time.time()) - 605
    for env in ("Prod", "prod", "pr od"):
        run = book.run(outcome=None, ago=time.time() - second - 0.5)
        line = book.segment(605).read_text().splitlines()[-1]
        line = line.replace('"env":"prod"', f'"env":"{env}"').replace("}", ',"unsent":true}', 1)
        book.line(line.replace(run.id, run.id[::-1]), 605)
    found = sorted((line.value, *line.tags) for line in shipped(datagrams))
    assert [value for value, *_ in found] == ["1", "2"]


def test_a_launcher_leaves_more_than_a_datagram_of_one_second_to_ship(
    book: Book, unix_agent: UnixAgent
) -> None:
    at = time.time() - 605
    for _ in range(30):
        book.run(outcome=FAILURE, ago=time.time() - at, duration=0.01, unsent=True)
    settings = Settings({"DD_DOGSTATSD_URL": unix_agent.url})
    ours = journal.Journal(str(book.home))
    owing = undelivered.few(ours.folder)
    assert owing is not None
    redeliver.ship_few(owing, settings, ours)
    first = [read(line) for data in unix_agent.received() for line in data.decode().splitlines()]
    assert "event" not in kinds(first)
    env = environment(env={"DD_DOGSTATSD_URL": unix_agent.url})
    with subprocess.Popen([*COMMAND, "ship"], env=env, stdout=subprocess.DEVNULL) as ship:
        received: list[bytes] = []
        while ship.poll() is None:
            received += unix_agent.received()
    received += unix_agent.received()
    said = [read(line) for data in received for line in data.decode().splitlines()]
    assert kinds(said).count("event") == kinds(said).count("distribution") == 30
    ours.close()


def test_a_full_disk_ends_it_before_anything_is_sent(book: Book, datagrams: Datagrams) -> None:
    book.run(outcome=FAILURE, unsent=True)
    words = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *COMMAND, "ship"]
    ended = run_program(*words, under="bare", env={"AUTOTASK_DEBUG": None})
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == refused(book, "File too large")
    assert datagrams.lines() == []


def refused(book: Book, why: str) -> str:
    """Return what is said if nothing can be delivered of one run."""
    return (
        f"autotask: cannot write to {book.home}/journal ({why}), and nothing is sent without "
        "a note of it: 2 starts and ends still to deliver\n"
    )


def test_a_read_only_home_ends_it_too(book: Book, datagrams: Datagrams) -> None:
    book.run(unsent=True)
    for path in (book.segment(60), book.segment().parent, book.home):
        path.chmod(0o500)
    ended = autotask("ship", preexec_fn=obey_modes)
    for path in (book.home, book.segment().parent):
        path.chmod(0o700)
    assert (ended.status, ended.stdout) == (1, "")
    assert ended.stderr == refused(book, "Permission denied")
    assert datagrams.lines() == []


def full_pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    return reading, writing


def closed_pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    os.close(reading)
    return -1, writing


UNREAD: dict[str, Callable[[], tuple[int, int]]] = {
    "a reader that has gone": closed_pipe,
    "a reader that has stopped": full_pipe,
    "a full disk": lambda: (-1, os.open("/dev/full", os.O_WRONLY)),
}


def test_as_a_service_it_goes_on_if_what_it_says_cannot_be_written(
    tmp_path: Path, datagrams: Datagrams
) -> None:
    with contextlib.ExitStack() as stack:
        services = []
        for how, make in UNREAD.items():
            book = Book(tmp_path / how)
            book.run(f"first {how}", outcome=None, unsent=True)
            reading, writing = make()
            service = subprocess.Popen(
                [*COMMAND, "ship", "--follow"],
                env=environment(env={"AUTOTASK_HOME": str(book.home)}),
                stdout=writing,
                stderr=writing,
            )
            services.append((book, stack.enter_context(service)))
            stack.callback(service.kill)
            os.close(writing)
            if reading >= 0:
                stack.callback(os.close, reading)
        for book, _ in services:
            wait_until(lambda: deliveries(book.home)[-1][2] == "sent")  # noqa: B023
            book.run("second", outcome=None, unsent=True)
        for book, service in services:
            wait_until(lambda: deliveries(book.home)[-1][2] == "sent")  # noqa: B023
            service.terminate()
            assert service.wait(PATIENCE) == 0


def test_a_line_without_its_end_and_one_glued_to_it_are_both_delivered(
    book: Book, datagrams: Datagrams
) -> None:
    book.run("one", outcome=FAILURE, ago=600, unsent=True)
    book.run("two", ago=600, unsent=True)
    path = book.segment(600)
    path.write_text(path.read_text().replace("}\n{", "}{"))
    counts = [line for line in shipped(datagrams) if line.kind == "count"]
    assert len(counts) == 4
    assert answer("ship") == NOTHING


def test_torn_lines_are_skipped(book: Book, datagrams: Datagrams) -> None:
    book.line('{"event":"started","run":"0000', end="\n")
    book.line('{"event":"unsent","run":7,"of":[]}')
    book.line('{"event":"unsent","run":"00000000000000aa","at":"soon","of":"finished"}')
    book.run(unsent=True)
    assert kinds(shipped(datagrams)) == ["count", "count", "distribution", "check"]


def test_a_line_glued_to_a_torn_one_is_delivered(book: Book, datagrams: Datagrams) -> None:
    book.line('{"event":"started","run":"00000000000000aa","ro', end="")
    book.run("whole", unsent=True)
    found = shipped(datagrams)
    assert kinds(found) == ["count", "count", "distribution", "check"]
    assert all("task:whole" in line.tags for line in found)


def test_it_says_where_nothing_is_listening_and_keeps_all(book: Book) -> None:
    book.run(unsent=True)
    before = lines(book.home)
    said = autotask("ship")
    assert (said.status, said.stdout) == (1, "")
    assert said.stderr == (
        "autotask: nothing is listening at 127.0.0.1:9 (Connection refused): "
        "2 starts and ends still to deliver; start the Datadog Agent, "
        "or set AUTOTASK_DOGSTATSD=0 if you do not use Datadog\n"
    )
    assert lines(book.home) == before


def test_a_host_that_is_named_is_looked_up_first(book: Book, datagrams: Datagrams) -> None:
    skip_without_a_name()
    book.run(unsent=True)
    settings = Settings({"DD_AGENT_HOST": "LOCALHOST", "DD_DOGSTATSD_PORT": str(datagrams.port)})
    ours = journal.Journal(str(book.home))
    assert redeliver.ship(undelivered.recent(str(book.home)), settings, ours, 0.0) == 2
    assert len(datagrams.lines("autotask.task.", wait=5)) == 3
    unknown = Settings({"DD_AGENT_HOST": "no-such-host.invalid"})
    book.run(unsent=True)
    assert redeliver.ship(undelivered.recent(str(book.home)), unknown, ours, 0.0) == 0
    assert [event for *_, event in deliveries(book.home)][-2:] == ["sent", "unsent"]
    ours.close()


def test_it_says_that_datagrams_are_turned_off(book: Book) -> None:
    book.run(unsent=True)
    said = autotask("ship", env={"AUTOTASK_DOGSTATSD": "0"})
    assert said.status == 1
    assert said.stderr.startswith("autotask: datagrams are turned off: ")


@pytest.fixture
def unix_agent(tmp_path: Path) -> Iterator[UnixAgent]:
    agent = UnixAgent(tmp_path / "dsd.socket")
    yield agent
    agent.close()


def test_a_full_buffer_ends_it_and_the_rest_is_kept(book: Book, unix_agent: UnixAgent) -> None:
    runs = [book.run(f"task{number}", outcome=None, unsent=True) for number in range(1500)]
    settings = Settings({"DD_DOGSTATSD_URL": unix_agent.url})
    received: list[str] = []
    ours = journal.Journal(str(book.home))
    owing = undelivered.recent(str(book.home))
    while done := redeliver.ship(owing, settings, ours, 0.0):
        assert done < len(runs)  # far more than its buffer holds
        received += [line for data in unix_agent.received() for line in data.decode().splitlines()]
    told = [tag for line in received for tag in read(line).tags if tag.startswith("task:")]
    assert sorted(told) == sorted(f"task:{run.task}" for run in runs)
    ours.close()


def test_a_slow_agent_is_waited_for(book: Book, unix_agent: UnixAgent) -> None:
    for number in range(1500):
        book.run(f"task{number}", outcome=None, unsent=True)
    env = environment(env={"DD_DOGSTATSD_URL": unix_agent.url})
    with subprocess.Popen([*COMMAND, "ship"], env=env, stdout=subprocess.PIPE, text=True) as ship:
        received: list[bytes] = []

        def all_came() -> bool:
            received.extend(unix_agent.received())
            return len(received) >= 1500

        wait_until(all_came)
        assert ship.communicate()[0] == "delivered 1500 starts and ends\n"
    assert len(received) == 1500


def test_many_at_once_deliver_each_line_once(book: Book, datagrams: Datagrams) -> None:
    for number in range(300):
        book.run(f"task{number}", outcome=None, unsent=True)
    at_once = [
        subprocess.Popen([*COMMAND, "ship"], env=environment(), stdout=subprocess.DEVNULL)
        for _ in range(6)
    ]
    assert [child.wait(PATIENCE) for child in at_once] == [0] * 6
    answer("ship")
    told = [read(line).tags for line in datagrams.lines(wait=5)]
    tasks = [tag for tags in told for tag in tags if tag.startswith("task:")]
    assert sorted(tasks) == sorted(f"task:task{number}" for number in range(300))


def test_as_a_service_it_waits_for_the_agent_and_for_missed_lines(
    book: Book, tmp_path: Path
) -> None:
    path = tmp_path / "dsd.socket"
    env = environment(env={"DD_DOGSTATSD_URL": f"unix://{path}"})
    words = [*COMMAND, "ship", "--follow"]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout
        run = book.run(outcome=None, unsent=True)
        agent = UnixAgent(path)
        try:
            assert service.stdout.readline() == "delivered 1 start or end\n"
            book.finish(run, unsent=True)
            assert service.stdout.readline() == "delivered 1 start or end\n"
            found = [line for data in agent.received() for line in data.decode().splitlines()]
            assert [read(line).kind for line in found] == [
                *("count", "count"),
                *("distribution", "check"),
            ]
        finally:
            service.terminate()
            agent.close()
    assert json.loads(book.segment().read_text().splitlines()[-1])["event"] == "sent"
    assert not os.path.exists(path)


def test_as_a_service_it_reads_what_comes_late_to_an_old_segment(
    book: Book, unix_agent: UnixAgent
) -> None:
    for hours in range(4):
        book.run(ago=hours * HOUR + 60)
    env = environment(env={"DD_DOGSTATSD_URL": unix_agent.url})
    words = [*COMMAND, "ship", "--follow"]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout
            for ago in (60, 3 * HOUR + 60):
                book.run(ago=ago, outcome=FAILURE, unsent=True)
                assert service.stdout.readline().startswith("delivered ")
        finally:
            service.terminate()


def test_as_a_service_it_closes_what_died_just_before_it_was_stopped(
    book: Book, datagrams: Datagrams, tmp_path: Path
) -> None:
    book.run(outcome=None, unsent=True)
    words = [*COMMAND, "ship", "--follow"]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout
        assert service.stdout.readline() == "delivered 1 start or end\n"
        script = write(tmp_path / "nap.py", "import time; print('up', flush=True); time.sleep(999)")
        with start_program(script, stdout=subprocess.PIPE) as program:
            assert program.stdout
            program.stdout.readline()
            service.send_signal(signal.SIGSTOP)  # so that none of its turns comes between
            program.kill()
        service.terminate()
        service.send_signal(signal.SIGCONT)
        assert service.wait(PATIENCE) == 0
    assert [run["reason"] for run in runs(book.home) if run["task"] == "nap.py"] == ["lost"]
    (count,) = datagrams.lines("autotask.task.runs", wait=5)
    assert "task:nap.py,framework:process,status:failure,reason:lost," in count


def test_as_a_service_it_closes_lost_runs_even_if_datagrams_are_off(
    book: Book, tmp_path: Path
) -> None:
    script = write(tmp_path / "killed.py", "import os; os.kill(os.getpid(), 9)")
    run_program(script)
    env = environment(env={"AUTOTASK_DOGSTATSD": "0"})
    with subprocess.Popen([*COMMAND, "ship", "--follow"], env=env) as service:
        wait_until(lambda: [run.get("reason") for run in runs(book.home)] == ["lost"])
        service.terminate()


def _delivering(
    book: Book, datagrams: Datagrams, *before: str
) -> tuple[subprocess.Popen[str], int]:
    """Start the service; return it, and its process id, when it has delivered something."""
    book.run(outcome=None, unsent=True)
    words = [*before, *COMMAND, "ship", "--follow"]
    service = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True)
    assert service.stdout
    assert service.stdout.readline() == "delivered 1 start or end\n"
    if not before:
        return service, service.pid
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text()
    return service, int(children)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("first", [False, True], ids=["beside others", "as process 1"])
def test_as_a_service_it_ends_when_it_is_asked_to(
    first: bool,
    number: int,
    book: Book,
    datagrams: Datagrams,
    request: pytest.FixtureRequest,
) -> None:
    before = request.getfixturevalue("as_process_1") if first else ()
    service, pid = _delivering(book, datagrams, *before)
    with service:
        os.kill(pid, number)
        assert service.wait(PATIENCE) == 0


def test_a_service_that_is_stopped_while_it_delivers_loses_nothing(
    book: Book, unix_agent: UnixAgent
) -> None:
    for number in range(1500):
        book.run(f"task{number}", outcome=None, unsent=True)
    env = environment(env={"DD_DOGSTATSD_URL": unix_agent.url})
    received: list[bytes] = []
    for more in (["--follow"], []):
        words = [*COMMAND, "ship", *more]
        with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL) as ship:
            if more:
                wait_until(lambda: "sent" in [event for *_, event in deliveries(book.home)])
                ship.terminate()  # it waits for room in the Agent's buffer
            while ship.poll() is None:
                received += unix_agent.received()
        received += unix_agent.received()
        told = [data for data in received if data]  # but for the one that looks who is there
        assert ship.returncode == 0
    assert len({*told}) == len(told) == 1500


@pytest.mark.parametrize("order", ["ahead", "set right in the middle"])
def test_lines_dated_by_a_clock_that_was_ahead_are_delivered_as_of_now(
    order: str, book: Book, datagrams: Datagrams
) -> None:
    before = time.time()
    run = book.run(ago=-5 * HOUR, outcome=None, unsent=True)
    book.finish(run, FAILURE, ago=-7 * HOUR if order == "ahead" else 60, unsent=True)
    book.run("other", ago=-6 * HOUR)
    said = shipped(datagrams)
    assert sorted(kinds(said)) == ["check", "count", "count", "distribution", "event"]
    moments = [int(line.fields.get("T") or line.fields["d"]) for line in said if line.fields]
    assert all(before - 70 < moment <= time.time() for moment in moments)
    assert answer("ship") == NOTHING


def test_a_launcher_reads_no_long_segment_of_the_future(book: Book) -> None:
    book.run(unsent=True)
    book.run(ago=-30 * DAY)
    folder = str(book.home / "journal")
    assert undelivered.few(folder) is not None
    line = book.segment(-30 * DAY).read_text()
    book.line(line * 1000, ago=-30 * DAY, end="")
    assert undelivered.few(folder) is None


def test_a_failure_dated_by_a_clock_that_was_ahead_is_not_the_last_status(
    book: Book, datagrams: Datagrams
) -> None:
    book.run(outcome=FAILURE, ago=-5 * HOUR, unsent=True)
    book.run(outcome=SUCCESS, ago=60)
    assert sorted(kinds(shipped(datagrams))) == ["count", "count", "distribution", "event"]


CLOCK = """
import os, sys, time
real = time.time
time.time = lambda: real() + (0 if os.path.exists("set-right") else 3 * 86400)
from autotask.tool import cli
sys.exit(cli.main(["ship", "--follow"]))
"""


def test_a_service_delivers_even_if_its_clock_was_ahead_when_it_began(
    book: Book, datagrams: Datagrams, tmp_path: Path
) -> None:
    book.run(ago=600, unsent=True)
    env = environment(env={"DD_DOGSTATSD_URL": datagrams.url})
    command = [sys.executable, "-c", CLOCK]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL) as ship:
        wait_until(lambda: _waits(ship.pid))
        time.sleep(0.5)  # it looks at the journal once, and finds nothing that is not too old
        (tmp_path / "set-right").touch()
        try:
            wait_until(lambda: [event for *_, event in deliveries(book.home)].count("sent") == 2)
        finally:
            ship.terminate()


def _waits(pid: int) -> bool:
    """Tell whether a service has handlers for its signals: it has looked at the clock then."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:\t")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)
