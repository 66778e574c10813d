"""What is recorded of a failure: no secret, at most 500 characters, and where it came from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import Datagrams, Record, Under, run_program, runs, write

from autotask import journal
from autotask.failures import LONGEST_MESSAGE, describe, masked
from autotask.masking import ROWS
from autotask.messages import one_line, summary
from autotask.run import failure

SECRET = "hunter2"

# Each contains the secret, which must be hidden; the text around it must stay.
HIDDEN = {
    "a URL": ("postgres://ann:hunter2@db:5432/shop refused", "postgres://ann:***@db:5432/shop"),
    "a URL with an @ in the password": ("amqp://ann:hun@ter2@mq/ x", "amqp://ann:***@mq/ x"),
    "a URL without a user": ("redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"),
    "a URL in quotes": ("can't open 'https://ann:hunter2@x.org/a'", "https://ann:***@x.org/a'"),
    "two URLs": ("http://a:hunter2@b http://c:hunter2@d", "http://a:***@b http://c:***@d"),
    "a URL of two parts": ("mysql+pymysql://ann:hunter2@db/shop", "mysql+pymysql://ann:***@db"),
    "password=": ("login failed: password=hunter2 user=ann", "password=*** user=ann"),
    "PASSWORD=": ("PASSWORD=hunter2", "PASSWORD=***"),
    "passwd=": ("passwd=hunter2", "passwd=***"),
    "pwd in a connection string": ("Server=db;UID=ann;PWD=hunter2;x=1", "PWD=***;x=1"),
    "token=": ("GET /x?token=hunter2&page=2", "token=***&page=2"),
    "key=": ("key=hunter2", "key=***"),
    "api_key=": ("api_key=hunter2", "api_key=***"),
    "apikey: ": ("apikey: hunter2", "apikey: ***"),
    "API-KEY:": ("DD-API-KEY:hunter2", "DD-API-KEY:***"),
    "secret=": ("client_secret=hunter2", "client_secret=***"),
    "an AWS key": ("AWS_SECRET_ACCESS_KEY=hunter2", "AWS_SECRET_ACCESS_KEY=***"),
    "a session token": ("aws_session_token = hunter2", "aws_session_token = ***"),
    "JSON": ('{"password": "hunter2", "user": "ann"}', '"password": "***", "user": "ann"}'),
    "JSON without spaces": ('{"token":"hunter2","a":1}', '"token":"***","a":1}'),
    "a dictionary": ("{'password': 'hunter2', 'a': 1}", "'password': '***', 'a': 1}"),
    "quotes": ("password='hunter2 and more'", "password='***'"),
    "double quotes": ('password="hunter2 and more" x', 'password="***" x'),
    "a quote that is left open": ('password="hunter2 and more', 'password="***'),
    "an object's text": ("Login(user='ann', password='hunter2')", "password='***')"),
    "an argument": ("--password=hunter2 --user=ann", "--password=*** --user=ann"),
    "an option and its value": ("run --password hunter2 --user ann", "--password *** --user ann"),
    "an option with a prefix": ("run --db-api-key hunter2 -v", "--db-api-key *** -v"),
    "a short option of MySQL's": (
        "mysqldump -u root -phunter2 shop",
        "mysqldump -u root -p*** shop",
    ),
    "sshpass": ("sshpass -p hunter2 ssh ann@db", "sshpass -p *** ssh ann@db"),
    "a list of words": ("['run', '--password', 'hunter2', '-v']", "'--password', '***', '-v'"),
    "a short option in a list": ("['mysql', '-u', 'root', '-phunter2']", "'-u', 'root', '-p***'"),
    "curl": ("curl -s -u admin:hunter2 https://db/x", "-u admin:*** https://db/x"),
    "a variable": ("DB_PASS=hunter2 make", "DB_PASS=*** make"),
    "a bearer's token": ("Bearer hunter2.hunter2.hunter2 x", "Bearer *** x"),
    "a passphrase": ("passphrase=hunter2", "passphrase=***"),
    "several lines": ("user=ann\npassword=hunter2\nhost=db", "password=***\nhost=db"),
    "spaces around": ("password  =  hunter2 x", "password  =  *** x"),
    "letters of another alphabet": ("password=пароль-hunter2", "password=***"),
    "after much text": ("x" * 400 + " password=hunter2", "password=***"),
}


@pytest.mark.parametrize(("text", "kept"), HIDDEN.values(), ids=HIDDEN)
def test_a_secret_is_masked_and_nothing_else(text: str, kept: str) -> None:
    found = masked(text)
    assert SECRET not in found
    assert "ter2" not in found
    assert kept in found


LEAKS = {
    "a header": "Authorization: Bearer hunter2",
    "a header in a dictionary": "{'Authorization': 'Basic hunter2'}",
    "a URL with a token for a user": "https://hunter2@github.com/x.git not found",
    "a quote inside quotes": '{"password": "a\\"hunter2"}',
    "bytes": "password=b'hunter2'",
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS)
def test_a_secret_in_another_notation_is_masked(text: str) -> None:
    assert SECRET not in masked(text)


HARMLESS = [
    *("compass: north", "the bearer of news", "mysql -h db --port 3", "cp -p a b", "curl -u"),
    *("no stock", "", "monkey business", "KeyError: 'shop'", "the password is wrong"),
    *("http://x.org:8080/a@b", "mail ann@x.org: no", "see https://x.org/?a=1&b=2", "a:b@c"),
    *("tokens are counted", "x" * 500, "line one\nline two", "/a/b:c", "C:\\keys\\file"),
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_not_a_secret_is_unchanged(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("length", [499, 500, 501, 20_000, 1_000_000])
def test_a_message_is_cut_at_500_characters(length: int) -> None:
    found = masked("é" * length)
    assert len(found) == min(length, LONGEST_MESSAGE) == min(length, 500)
    assert found.endswith("...") is (length > 500)


def test_a_secret_split_by_the_cut_is_masked() -> None:
    for before in range(470, 505):
        assert "hunter" not in masked("x" * before + " password=" + "hunter2" * 10)
        assert "hunter" not in masked("x" * before + " db://u:" + "hunter2" * 10 + "@db")


def test_a_secret_split_by_the_reading_limit_is_not_shown() -> None:
    key = "-----BEGIN PRIVATE KEY-----" + "x" * 19_900 + "-----END PRIVATE KEY-----"
    for before in range(0, 60, 3):
        text = key + "y" * before + " db://u:" + "hunter2" * 10 + "@db"
        assert "hunt" not in masked(text)
        assert masked(text).startswith("-----BEGIN PRIVATE KEY-----***")


LABORIOUS = {
    "a word": "a" * 20_000,
    "quotes": "password='" * 2_000,
    "colons": "a://" + ":" * 19_000,
    "keys": "key " * 5_000,
    "spaces": "key" + " " * 19_000,
    "passwords": "a://x:" * 3_000,
    "dots": "a." * 10_000,
    "every row": "".join(hint for row in ROWS for hint in row[1]) * 40,
    "commands": "curl mysql login zip 7z rar ldapsearch smbclient % -- " * 400,
    "keys without an end": "-----BEGIN PRIVATE KEY-----" * 800,
    "elements": "<password>" * 2_000,
    "escapes": "\\" * 19_000 + "password=",
    "names": "api-" * 5_000 + "secret",
}


@pytest.mark.parametrize(
    "text",
    LABORIOUS.values(),
    ids=LABORIOUS,
)
def test_masking_takes_linear_time_for_any_text(text: str, tmp_path: Path) -> None:
    """Eight times the text takes about eight times as long; quadratic work takes 64 times.

    The limit ends what would take for ever.
    """
    source = f"""
        import resource, time
        from autotask.failures import masked
        def measured(text):
            times = []
            for _ in range(5):
                begin = time.thread_time_ns()
                masked(text)
                times.append(time.thread_time_ns() - begin)
            return min(times)
        text = {text!r}
        resource.setrlimit(resource.RLIMIT_CPU, (120, 120))  # seconds
        masked(text)  # some patterns are compiled at the first call
        print(measured(text) / measured(text[: len(text) // 8]))
    """
    script = write(tmp_path / "shop.py", source)
    ended = run_program(script, env={"AUTOTASK_PROCESS": "0"})
    assert float(ended.stdout or "inf") < 24, ended


# --- the error of a run --------------------------------------------------------------------------


class Silent(Exception):  # noqa: N818
    def __init__(self, problem: BaseException) -> None:
        self.problem = problem

    def __str__(self) -> str:
        raise self.problem


class Numbered(Exception):  # noqa: N818
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307


def caught(problem: BaseException) -> BaseException:
    try:
        raise problem
    except BaseException as exc:
        return exc


ERRORS: list[tuple[BaseException, str, str]] = [
    (ValueError("boom"), "ValueError", "boom"),
    (ValueError(), "ValueError", ""),
    (KeyError("gone"), "KeyError", "'gone'"),
    (
        OSError(2, "No such file", "stock.csv"),
        "FileNotFoundError",
        "[Errno 2] No such file: 'stock.csv'",
    ),
    (ValueError("password=hunter2"), "ValueError", "password=***"),
    (SystemExit("no more stock"), "SystemExit", "no more stock"),
    (Silent(RuntimeError("no text")), "Silent", ""),
    (Silent(RecursionError()), "Silent", ""),
    (Numbered(), "Numbered", ""),
    (ValueError("\udcff\0\n"), "ValueError", "\udcff\0\n"),
]


@pytest.mark.parametrize(("problem", "kind", "message"), ERRORS)
def test_an_error_has_a_type_a_message_and_a_place(
    problem: BaseException, kind: str, message: str
) -> None:
    error = describe(caught(problem))
    line = caught.__code__.co_firstlineno + 2
    assert error == {"type": kind, "message": message, "where": f"{__file__}:{line}"}


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert describe(ValueError("boom")) == {"type": "ValueError", "message": "boom"}


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), SystemExit(3)])
def test_an_exit_raised_by_str_of_an_error_propagates(problem: BaseException) -> None:
    with pytest.raises(type(problem)):
        describe(Silent(problem))


def test_the_agents_own_frames_are_never_the_place() -> None:
    with pytest.raises(TypeError) as info:
        journal.segment("never")  # type: ignore[arg-type]
    assert describe(info.value)["where"].startswith(f"{__file__}:")


# The place is the innermost frame outside the frameworks: the line marked `here`.
PLACES = {
    "in the task": "def work(): raise ValueError('boom')  # here",
    "in a function of the task's": "def work(): deep()\ndef deep(): 1 / 0  # here",
    "in a module of the program's": "def work(): stock.count()",
    "in the standard library": "import json\ndef work(): json.loads('no')",
    "in the framework": "def work(): click.Choice(0).convert(1, 0, 0)  # here",
    "by the framework's own error": "def work(): raise click.ClickException('no')  # here",
    "in a lambda": "work = lambda: 1 / 0  # here",
    "in code without a file": "def work(): exec('1 / 0')",
    "chained": (
        "def work():\n"
        "    try: 1 / 0\n"
        "    except ZeroDivisionError as e: raise ValueError('boom') from e  # here"
    ),
    "raised again": (
        "def work():\n    try: deep()\n    except ValueError: raise\n"
        "def deep(): raise ValueError('boom')  # here"
    ),
    "in a thread pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def work():\n    with ThreadPoolExecutor(1) as pool: pool.submit(deep).result()\n"
        "def deep(): raise ValueError('boom')  # here"
    ),
}
ELSEWHERE = {
    "in a module of the program's": "stock.py:2",
    "in the standard library": "decoder.py:",
    "in code without a file": "<string>:1",
}


@pytest.mark.parametrize("name", PLACES)
def test_the_place_is_outside_the_frameworks(name: str, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    write(tmp_path / "stock.py", "def count():\n    raise ValueError('none')")
    source = "import click, stock\n" + PLACES[name] + "\nclick.command()(work).main([])\n"
    script = write(tmp_path / "shop.py", source)
    assert run_program(script, cwd=tmp_path).status != 0
    place = task(runs(home))["error"]["where"]
    numbers = [n for n, line in enumerate(source.splitlines(), 1) if line.endswith("# here")]
    expected = ELSEWHERE.get(name) or f"{script}:{numbers[0]}"
    assert expected in place
    assert place.rpartition(":")[2].isdecimal()


def task(found: list[Record]) -> Record:
    (run,) = [run for run in found if run["framework"] == "click"]
    return run


def test_a_failing_program_leaves_no_argument_and_no_secret(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    source = """
        import click, sys
        @click.command()
        @click.argument("password")
        def login(password):
            raise ValueError(f"refused: password={password}")
        login()
    """
    ended = run_program(write(tmp_path / "shop.py", source), SECRET)
    assert SECRET in ended.stderr  # Python's own traceback is left alone
    for path in home.rglob("*.jsonl"):
        assert SECRET not in path.read_text()
    assert task(runs(home))["error"]["message"] == "refused: password=***"


# --- in one line ---------------------------------------------------------------------------------

LINES = {
    "a|b": "a/b",
    "a\nb": "a\\nb",
    "a\r\nb": "a \\nb",
    "a\0\x1b[31m\x9b": "a  [31m ",
    "a\u202eb\u2066\u2028\u200f": "a b   ",
    "\udcff": "\\udcff",
    "é\N{ROCKET}": "é\N{ROCKET}",
    "": "",
}


@pytest.mark.parametrize(("text", "line"), LINES.items(), ids=map(ascii, LINES))
def test_a_one_line_text_contains_no_protocol_delimiters(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_summary_contains_what_is_known() -> None:
    assert summary(failure("exit", exit_code=3)) == "exit 3"
    assert summary(failure("exception", exit_code=1)) == "exception"
    error = describe(ValueError("no\nstock"))
    assert summary(failure("exception", error=error)) == "exception ValueError: no\nstock"


def test_the_module_is_loaded_only_after_a_failure(tmp_path: Path) -> None:
    pytest.importorskip("click")
    source = """
        import click, sys
        click.command()(lambda: None).main([], standalone_mode=False)
        names = ("failures", "masking", "messages", "recorder")
        print([name for name in names if "autotask." + name in sys.modules])
    """
    assert run_program(write(tmp_path / "shop.py", source)).stdout == "['recorder']\n"
    assert {"autotask.failures", "autotask.messages"} <= {*sys.modules}


# --- without messages ----------------------------------------------------------------------------

WORD = "kettle"  # in each message, an ordinary word
CLICK = "import click, sys\n@click.command()\ndef task():\n    {}\ntask()\n"
# A file and its content, the command, how it is run, and the type of the recorded error.
WORDY: dict[str, tuple[str, str, str, Under, str]] = {
    "an exception": (
        *("shop.py", CLICK.format("raise ValueError('no kettle')")),
        *("shop.py", "path", "ValueError"),
    ),
    "a text for an exit": (
        *("shop.py", CLICK.format("sys.exit('no kettle')")),
        *("shop.py", "path", "SystemExit"),
    ),
    "a program's exception, from inside": (
        *("shop.py", "raise ValueError('no kettle')"),
        *("shop.py", "path", "ValueError"),
    ),
    "a program's exception, passed to its launcher": (
        *("shop.py", "raise ValueError('no kettle')"),
        *("shop.py", "launcher", "ValueError"),
    ),
    "Invoke's command": (
        *("tasks.py", "from invoke import task\n@task\ndef a(c): c.run('false kettle')\n"),
        *("-m invoke a", "path", "UnexpectedExit"),
    ),
    "doit's command": (
        *("dodo.py", "def task_a(): return {'actions': ['false kettle']}\n"),
        *("-m doit a", "path", "TaskFailed"),
    ),
    "a missing command": ("a", "", "kettle/a", "launcher", "FileNotFoundError"),
}


@pytest.mark.parametrize("messages", ["0", "1", "perhaps"])
@pytest.mark.parametrize("case", WORDY)
def test_without_messages_an_error_is_its_type_and_place(
    case: str, messages: str, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    name, source, command, under, kind = WORDY[case]
    for module in ("click", "invoke", "doit"):
        if module in source + command:
            pytest.importorskip(module)
    place = tmp_path / "here"
    write(place / name, source)
    env = {"AUTOTASK_MESSAGES": messages}
    assert run_program(*command.split(), under=under, env=env, cwd=place).status != 0
    told = "\n".join(path.read_text() for path in home.rglob("*.jsonl"))
    sent = b"\n".join(datagrams.received()).decode()
    errors = [run["error"] for run in runs(home) if run.get("error")]
    assert errors
    assert {error["type"] for error in errors} == {kind}
    assert "_e{" in sent
    assert f" {kind}" in sent
    if messages == "0":
        assert WORD not in told + sent
        assert not any("message" in error for error in errors)
    else:
        assert all(WORD in error["message"] for error in errors)


def test_without_messages_the_debug_log_has_none(tmp_path: Path) -> None:
    program = "from autotask.guard import swallow; swallow('here', ValueError('no kettle'))"
    env = {"AUTOTASK_DEBUG": "1", "AUTOTASK_MESSAGES": "0"}
    ended = run_program("-c", program, env=env)
    assert ended.stderr == "autotask: swallowed ValueError in here ()\n"


def test_the_line_of_a_missing_command_is_not_kept(tmp_path: Path, home: Path) -> None:
    line = "./run --password hunter2"  # one word, quoted by mistake
    assert run_program(line, under="launcher", cwd=tmp_path).status == 127
    (run,) = runs(home)
    assert (run["task"], run["error"]["message"]) == ("run", "no such command")


TRACED = """
    import sys
    import click

    @click.command()
    def inner():
        {fails}

    @click.command()
    def job():
        try:
            inner.main(args=[], standalone_mode=False)
        except Exception as problem:
            step = problem.__traceback__
            while step is not None:
                frame, step = step.tb_frame, step.tb_next
                if not frame.f_code.co_name.startswith("autotask_"):  # before 3.11
                    print(frame.f_code.co_name, frame.f_trace is trace)
            raise

    def trace(frame, event, arg):
        return trace

    sys.settrace(trace)
    job.main(args=[], standalone_mode=False)
"""


@pytest.mark.parametrize("fails", ["1 / 0", "len()"])
def test_a_tracers_functions_stay_and_the_failure_is_reported_once(
    fails: str, tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "job.py", TRACED.format(fails=fails))
    bare, done = (run_program(script, under=under) for under in ("bare", "path"))
    assert done.stdout == bare.stdout != ""
    assert sorted(str(run["reason"]) for run in runs(home)) == ["exception", "nested", "nested"]
