"""`autotask notify`: a run's record on standard input becomes a mail, a POST, a message."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Ended, environment
from tool.journals import COMMAND, Book, answer, in_terminal
from tool.notify.receivers import Sendmail, Web, web

from autotask.run import failure

RECORD = {
    "run": "2f9c41d0aabbccdd",
    "task": "nightly.py",
    "status": "failure",
    "reason": "exit",
    "exit_code": 3,
    "finished_at": "2026-11-30T02:12:00.000000Z",
    "duration": 61.5,
    "host": "db1",
    "trigger": "cron",
    "tags": {"team": "data"},
}


@pytest.fixture(name="web")
def _web() -> Iterator[Web]:
    with web() as server:
        yield server


@pytest.fixture(name="sendmail")
def _sendmail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sendmail:
    sendmail = Sendmail(tmp_path)
    monkeypatch.setenv("PATH", sendmail.path)
    return sendmail


def notify(record: Any, *words: str, **env: str) -> Ended:
    """Run the command with a record, or with a text, on its standard input."""
    text = record if isinstance(record, str) else json.dumps(record)
    done = subprocess.run(
        [*COMMAND, "notify", *words],
        input=text.encode(),
        capture_output=True,
        env=environment(env=env),
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


QUIET = Ended(0, "", "")


def test_a_mail_says_what_failed_why_and_where_to_read_more(sendmail: Sendmail) -> None:
    record = {**RECORD, "output": "connecting\nFATAL: disk full \u2713\n.\nFrom here\n"}
    words = ("--mail", "ops@example.com", "--mail", "root", "--from", "autotask <cron@db1>")
    assert notify(record, *words, TZ="UTC") == QUIET
    (mail,) = sendmail.mails()
    assert sendmail.words == "-t -i"
    assert mail["To"] == "ops@example.com, root"
    assert mail["From"] == "autotask <cron@db1>"
    assert mail["Subject"] == "task failed: nightly.py on db1"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime is not None
    assert mail.get_content().splitlines() == [
        "task:     nightly.py",
        "host:     db1",
        "reason:   exit 3",
        "ended:    2026-11-30 02:12:00 +0000",
        "duration: 1m02s",
        "trigger:  cron",
        "tags:     team:data",
        "more:     autotask show 2f9c41d0aabbccdd",
        "",
        "the end of its output:",
        "connecting",
        "FATAL: disk full \u2713",
        ".",
        "From here",
    ]


def test_addresses_can_come_from_a_file(tmp_path: Path, sendmail: Sendmail) -> None:
    targets = tmp_path / "targets"
    targets.write_text("--mail\nops@example.com\n--mail=root\n")
    assert notify(RECORD, f"@{targets}") == QUIET
    assert sendmail.mails()[0]["To"] == "ops@example.com, root"
    missing = notify(RECORD, "@no-such-file")
    assert (missing.status, missing.stderr.count("\n")) == (2, 1)


# What a file of targets says, and what is said about that.
MISTAKES = {
    "--webhook https://h.example:99999/S3CRET": "argument --webhook: this is not an address",
    "--webhook=htps://h.example/S3CRET": "argument --webhook: this is not an address",
    "--mail 'S3CRET\x01'": "argument --mail: this is not an address",
    "--webhok https://h.example/S3CRET": "unrecognized arguments: --webhok ***",
    "--webhok=https://h.example/S3CRET": "unrecognized arguments: --webhok",
    "https://h.example/S3CRET": "unrecognized arguments: ***",
    "--mail 'S3CRET": "argument --mail: no closing quotation",
    "--mail root S3CRET": "unrecognized arguments: ***",
    "--apprise S3CRET": "apprise: apprise does not know this address",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_in_a_file_of_targets_shows_no_secret(line: str, tmp_path: Path) -> None:
    (tmp_path / "targets").write_text(f"{line}\n")
    ended = notify(RECORD, f"@{tmp_path}/targets")
    assert ended.status != 0
    assert "S3CRET" not in ended.stdout + ended.stderr
    assert MISTAKES[line] in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_line_of_a_file_may_be_an_option_with_its_value(
    tmp_path: Path, sendmail: Sendmail
) -> None:
    targets = tmp_path / "targets"
    targets.write_text("--mail ops@example.com\n\n--from 'autotask <cron@db1>'\n--mail=root\n")
    assert notify(RECORD, f"@{targets}") == QUIET
    (mail,) = sendmail.mails()
    assert (mail["To"], mail["From"]) == ("ops@example.com, root", "autotask <cron@db1>")


# A task's name, and what is left of it in a subject.
NAMES = {
    "x\nBcc: all@example.com": "x Bcc: all@example.com",
    "x\r\n\r\nbody": "x body",
    "x\x85Cc: a@b\u2028Cc: a@b\x0bCc: a@b\x1b[31m": "x Cc: a@b Cc: a@b Cc: a@b [31m",
    "n\u00e4chtlich \u2713": "n\u00e4chtlich \u2713",
    "\udcff": "\\udcff",
    "=?utf-8?q?a=0ABcc:_b@c?=": "= ?utf-8?q?a=0ABcc:_b@c?=",
    "word " * 200: ("word " * 200).strip(),
    "l" * 3000: "l" * 3000,
    "\u00fc" * 3000: "\u00fc" * 3000,
}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_tasks_name_and_message_add_nothing_to_a_mails_head(
    name: str, sendmail: Sendmail
) -> None:
    error = {"type": name, "message": f"{name}\n\nTo: all@example.com", "where": name}
    record = {**RECORD, "task": name, "host": None, "reason": "exception", "error": error}
    assert notify(record, "--mail", "root") == QUIET
    (mail,), (raw,) = sendmail.mails(), sendmail.raw()
    expected = ["Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date"]
    assert sorted(mail.keys()) == [*expected, "MIME-Version", "Subject", "To"]
    assert mail["To"] == "root"
    assert not mail.defects
    assert raw.isascii()
    assert max(map(len, raw.split(b"\n"))) < 998  # RFC 5322
    assert mail["Subject"] == f"task failed: {NAMES[name]}"


def test_a_webhook_gets_the_record_as_it_is_and_each_target_is_told(
    web: Web, sendmail: Sendmail
) -> None:
    record = {**RECORD, "a newer field": ["\udcff", None], "failures": 3}
    with_password = web.url.replace("http://", "http://me:s%C3%A9same@")
    words = ("--webhook", f"{web.url}/a", "--webhook", f"{with_password}/b", "--mail", "root")
    assert notify(record, *words) == QUIET
    assert web.authorized == ["Basic " + base64.b64encode("me:s\u00e9same".encode()).decode()]
    assert sorted(web.posted, key=str) == [
        ("/a", "application/json", record),
        ("/b", "application/json", record),
    ]
    assert sendmail.mails()[0]["Subject"] == "task failed 3 times: nightly.py on db1"


def test_apprise_takes_title_and_text_to_a_service(web: Web) -> None:
    url = web.url.replace("http://", "json://")
    assert notify({**RECORD, "task": "a <b> & *c*"}, "--apprise", f"{url}/hook") == QUIET
    ((path, _, told),) = web.posted
    assert path == "/hook"
    assert told["title"] == "task failed: a <b> & *c* on db1"
    assert told["message"].startswith("task:     a <b> & *c*\n")
    assert told["type"] == "failure"


def test_a_target_that_is_not_reached_is_told_without_its_secrets_and_the_others_are_reached(
    web: Web, tmp_path: Path
) -> None:
    refusing = Sendmail(tmp_path, "echo first >&2; echo 'no route to ops' >&2; exit 75")
    port = web.url.rpartition(":")[2]
    words = (
        *("--mail", "ops@example.com", "--webhook", f"http://me:hunter2@127.0.0.1:{port}/503/x"),
        *("--webhook", f"{web.url}/to/file:///etc/passwd", "--webhook", f"{web.url}/to/{web.url}/"),
        *("--webhook", "http://127.0.0.1:9/hunter2", "--webhook", f"{web.url}/ok"),
        *("--apprise", "nothing://hunter2", "--apprise", f"json://hunter2@127.0.0.1:{port}/404"),
    )
    ended = notify(RECORD, *words, PATH=refusing.path)
    assert ended.status == 1
    assert ended.stdout == ""
    said, _, rest = ended.stderr.partition("\n")
    assert rest == ""
    assert "hunter2" not in said
    assert [part.split(": ", 1) for part in said.removeprefix("autotask: ").split("; ")] == [
        [
            "mail to ops@example.com",
            f"{refusing.folder}/sendmail failed with status 75: no route to ops",
        ],
        ["webhook 127.0.0.1", "it responds with status 503"],
        ["webhook 127.0.0.1", "it responds with status 302 (redirects are not followed)"],
        ["webhook 127.0.0.1", "it responds with status 302 (redirects are not followed)"],
        ["webhook 127.0.0.1", "Connection refused"],
        ["apprise nothing", "apprise does not know this address"],
        ["apprise json", "apprise could not send it"],
    ]
    assert web.asked == []
    assert "/ok" in [path for path, _, _ in web.posted]


def test_a_target_that_hangs_holds_up_the_others_not_at_all_and_us_not_for_long(
    web: Web, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom autotask.tool.notify import mail, targets, webhook\n"
        "targets.PATIENCE = mail._LONGEST = 0.5; webhook._TIMEOUT = 1000\n"
        "from autotask.tool.cli import main\nsys.exit(main())"
    )
    hanging = Sendmail(tmp_path, "exec sleep 1000")
    words = ["--webhook", f"{web.url}/hang", "--mail", "root", "--webhook", f"{web.url}/ok"]
    done = subprocess.run(
        [sys.executable, "-c", code, "notify", *words],
        input=json.dumps(RECORD).encode(),
        capture_output=True,
        env=environment(env={"PATH": hanging.path}),
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert b"mail to root: " in done.stderr
    assert b"webhook 127.0.0.1: " in done.stderr
    assert "/ok" in [path for path, _, _ in web.posted]


def test_without_sendmail_or_apprise_a_line_says_what_to_install(
    tmp_path: Path,
) -> None:
    (tmp_path / "apprise.py").write_text("raise ImportError('not installed')")
    words = ["--mail", "root", "--apprise", "json://localhost"]
    code = (
        "import shutil, sys\nfrom autotask.tool.notify import mail\nmail._USUAL = ''\n"
        "from autotask.tool.cli import main\nsys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "notify", *words],
        input=json.dumps(RECORD).encode(),
        capture_output=True,
        env=environment(env={"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)}),
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "autotask: mail to root: no sendmail on this machine: install a mail server, or msmtp-mta"
        " or dma; apprise json: the package is not installed: `pip install"
        " 'autotask-agent[apprise]'`\n"
    )


# Command lines that are refused, and with which status.
REFUSED: list[tuple[str, tuple[str, ...], int, str]] = [
    (json.dumps(RECORD), (), 2, "is required"),
    ("", ("--mail", "root"), 1, "is not the record of a run"),
    ("[1]", ("--mail", "root"), 1, "is not the record of a run"),
    ("[" * 100_000, ("--mail", "root"), 1, "is not the record of a run"),
    ("\xff", ("--mail", "root"), 1, "is not the record of a run"),
    ("{}", ("--mail", "a@b\nBcc: c@d"), 2, "is not an address"),
    ("{}", ("--mail", " "), 2, "is not an address"),
    ("{}", ("--mail", "root", "--from", "a\r\nb"), 2, "is not an address"),
    ("{}", ("--webhook", "file:///etc/passwd"), 2, "is not an address with http"),
    ("{}", ("--webhook", "ftp://127.0.0.1/"), 2, "is not an address with http"),
    ("{}", ("--webhook", "http://"), 2, "is not an address with http"),
    ("{}", ("--webhook", "http://[::1/"), 2, "is not an address with http"),
    ("{}", ("--webhook", "http://a:b:c/"), 2, "is not an address with http"),
    ("{}", ("--webhook", "http://a/ b\r\nX: y"), 2, "is not an address with http"),
]


@pytest.mark.parametrize(("text", "words", "status", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_told_is_refused_in_one_line(
    text: str, words: tuple[str, ...], status: int, why: str, sendmail: Sendmail
) -> None:
    ended = notify(text, *words)
    assert ended.status == status
    assert why in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert sendmail.raw() == []


# Records that no autotask of ours has written.
ODD: list[dict[str, Any]] = [
    {},
    {"task": None, "error": "text", "reason": 3, "duration": "x", "finished_at": 4, "tags": []},
    {"task": ["x"], "error": {}, "reason": "exception", "output": {"a": 1}, "failures": "many"},
]


@pytest.mark.parametrize("record", ODD, ids=range(len(ODD)))
def test_whatever_the_record_lacks_the_rest_of_it_is_told(
    record: dict[str, Any], sendmail: Sendmail
) -> None:
    assert notify(record, "--mail", "root") == QUIET
    assert sendmail.mails()[0]["Subject"].startswith("task failed: ")


def test_a_line_of_runs_can_be_sent(book: Book, sendmail: Sendmail) -> None:
    book.run("backup", outcome=failure("exit", exit_code=2))
    assert notify(answer("runs", "--format", "jsonl"), "--mail", "root") == QUIET
    (mail,) = sendmail.mails()
    assert "reason:   exit 2" in mail.get_content()


def test_a_person_is_not_left_waiting_for_a_record() -> None:
    said = in_terminal(*COMMAND, "notify", "--mail", "root", status=1)
    assert "no record" in said
