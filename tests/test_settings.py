"""Settings: what each variable means, what counts as unset, and what `doctor` reports of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import UNKNOWN, Ended, run_program, runs, write

from autotask.settings import Settings

AGENT_SOCKET = Path("/var/run/datadog/dsd.socket")
SWITCHES = [
    *("AUTOTASK_ENABLED", "AUTOTASK_JOURNAL", "AUTOTASK_DOGSTATSD", "AUTOTASK_EVENTS"),
    "AUTOTASK_MESSAGES",
]


def noted(settings: Settings) -> list[str]:
    """Return the variables with a problem."""
    return [problem.partition(":")[0] for problem in settings.problems]


# --- defaults ------------------------------------------------------------------------------------

DEFAULTS: dict[str, object] = {
    "enabled": True,
    "journal": True,
    "dogstatsd": True,
    "events": True,
    "messages": True,
    "debug": None,
    "name": None,
    "process": "auto",
    "functions": (),
    "tags": {},
    "env": None,
    "service": None,
    "version": None,
    "entity_id": None,
    "problems": [],
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items(), ids=DEFAULTS)
@pytest.mark.parametrize(
    "environ", [{}, {"HOME": "/home/ann", "PATH": "/bin"}], ids=["none", "some"]
)
def test_unset_variables_have_the_defaults_of_the_contract(
    name: str, value: object, environ: dict[str, str]
) -> None:
    assert getattr(Settings(environ), name) == value


EMPTY = [
    *("AUTOTASK_NAME", "AUTOTASK_HOME", "XDG_STATE_HOME", "DD_DOGSTATSD_URL", "DD_AGENT_HOST"),
    *("DD_DOGSTATSD_PORT", "DD_ENV", "DD_SERVICE", "DD_VERSION", "DD_ENTITY_ID"),
]
BLANK = [
    *(*SWITCHES, "AUTOTASK_TAGS", "AUTOTASK_FRAMEWORKS", "AUTOTASK_FUNCTIONS", "AUTOTASK_IGNORE"),
    *("AUTOTASK_PROCESS", "AUTOTASK_DEBUG", "DD_TAGS", "DD_DOGSTATSD_DISABLE"),
]


@pytest.mark.parametrize("name", [*EMPTY, *BLANK])
def test_an_empty_variable_counts_as_unset(name: str) -> None:
    usual = Settings({"HOME": "/home/ann"})
    for value in ("", " ") if name in BLANK else ("",):
        found = Settings({"HOME": "/home/ann", name: value})
        assert _values(found) == _values(usual)
        assert found.uses("click")
        assert not found.ignores("click")


def _values(settings: Settings) -> dict[str, object]:
    return {name: value for name, value in vars(settings).items() if name != "_environ"}


# --- switches ------------------------------------------------------------------------------------

ON = ["1", "true", "yes", "on", "True", "ON", " 1 "]
OFF = ["0", "false", "no", "off", "False", "OFF", "\t0\n"]
NEITHER = ["2", "-1", "banana", "00", "0.0", "ja", "é"]


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_on_unless_it_is_turned_off(name: str) -> None:
    attribute = name.removeprefix("AUTOTASK_").lower()
    for value in ON:
        assert getattr(Settings({name: value}), attribute) is True, value
    for value in OFF:
        assert getattr(Settings({name: value}), attribute) is False, value
        assert noted(Settings({name: value})) == []
    for value in NEITHER:
        assert getattr(Settings({name: value}), attribute) is True, value
        assert noted(Settings({name: value})) == [name]


@pytest.mark.parametrize(
    ("value", "process", "problems"),
    [
        *[(value, "1", []) for value in ON],
        *[(value, "0", []) for value in OFF],
        ("auto", "auto", []),
        ("AUTO", "auto", []),
        *[(value, "auto", ["AUTOTASK_PROCESS"]) for value in NEITHER],
    ],
)
def test_autotask_process_is_auto_or_a_switch(
    value: str, process: str, problems: list[str]
) -> None:
    settings = Settings({"AUTOTASK_PROCESS": value})
    assert (settings.process, noted(settings)) == (process, problems)


@pytest.mark.parametrize(
    ("value", "debug"),
    [
        *[(value, "1") for value in ON],
        *[(value, None) for value in OFF],
        ("/var/log/autotask.log", "/var/log/autotask.log"),
        ("autotask.log", "autotask.log"),
        ("2", "2"),
    ],
)
def test_autotask_debug_is_a_switch_or_a_file(value: str, debug: str | None) -> None:
    assert Settings({"AUTOTASK_DEBUG": value}).debug == debug


@pytest.mark.parametrize(
    ("value", "on"), [("1", False), ("true", False), ("True", False), ("yes", False), ("0", True)]
)
def test_datadogs_own_switch_turns_datagrams_off(value: str, on: bool) -> None:
    assert Settings({"DD_DOGSTATSD_DISABLE": value}).dogstatsd is on


# --- lists ---------------------------------------------------------------------------------------

FRAMEWORKS: dict[str, set[str]] = {
    "all": {"click", "typer", "invoke", "doit", "process", "function"},
    "click": {"click"},
    "Click, DOIT": {"click", "doit"},
    "click,": {"click"},
    "-doit": {"click", "typer", "invoke", "process", "function"},
    "all,-doit,-click": {"typer", "invoke", "process", "function"},
    "click,typer,-typer": {"click"},
    "process": {"process"},
    "-process": {"click", "typer", "invoke", "doit", "function"},
    "all,click": {"click"},
    "rake,click": {"click"},
    "-rake,-thor": {"click", "typer", "invoke", "doit", "process", "function"},
}


@pytest.mark.parametrize(("value", "used"), FRAMEWORKS.items(), ids=FRAMEWORKS)
def test_autotask_frameworks_names_those_to_record(value: str, used: set[str]) -> None:
    settings = Settings({"AUTOTASK_FRAMEWORKS": value})
    names = ("click", "typer", "invoke", "doit", "process", "function")
    assert {name for name in names if settings.uses(name)} == used


@pytest.mark.parametrize("value", ["clik", "click;doit", "none", "-", "django-q"])
def test_an_unknown_framework_counts_as_unset_and_is_noted(value: str) -> None:
    settings = Settings({"AUTOTASK_FRAMEWORKS": value})
    assert settings.uses("click")
    assert noted(settings) == ["AUTOTASK_FRAMEWORKS"]


@pytest.mark.parametrize(("value", "used"), [("rake", True), ("-rake", False), ("Thor", False)])
def test_the_frameworks_of_ruby_are_known(value: str, used: bool) -> None:
    settings = Settings({"AUTOTASK_FRAMEWORKS": value})
    assert settings.uses("rake") is used
    assert settings.problems == []


IGNORED = [
    ("nightly", "nightly", True),
    ("nightly", "nightly.more", False),
    ("db.*", "db.migrate", True),
    ("db.*", "db", False),
    ("db.?", "db.m", True),
    ("a, b ,c", "b", True),
    ("[ab]*", "backup", True),
    ("Nightly", "nightly", False),
    ("[", "nightly", False),
    ("*", "", True),
]


@pytest.mark.parametrize(("value", "task", "ignored"), IGNORED)
def test_autotask_ignore_is_a_list_of_globs(value: str, task: str, ignored: bool) -> None:
    assert Settings({"AUTOTASK_IGNORE": value}).ignores(task) is ignored


FUNCTIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "shop:work": (("shop", "work", "shop:work"),),
    "shop.jobs:Mailer.send": (("shop.jobs", "Mailer.send", "shop.jobs:Mailer.send"),),
    "shop:work=nightly": (("shop", "work", "nightly"),),
    "shop:work = nightly, shop:rest": (
        ("shop", "work", "nightly"),
        ("shop", "rest", "shop:rest"),
    ),
    "shop:work=": (("shop", "work", "shop:work"),),
    "shop:work=a=b:c": (("shop", "work", "a=b:c"),),
    "büro:täglich": (("büro", "täglich", "büro:täglich"),),
}


@pytest.mark.parametrize(("value", "found"), FUNCTIONS.items(), ids=FUNCTIONS)
def test_autotask_functions_names_functions(
    value: str, found: tuple[tuple[str, str, str], ...]
) -> None:
    settings = Settings({"AUTOTASK_FUNCTIONS": value})
    assert (settings.functions, settings.problems) == (found, [])


@pytest.mark.parametrize(
    "value",
    ["shop", "shop:", ":work", "shop.work", "shop:work()", "shop:1", "a..b:c", "=x", "a b:c"],
)
def test_what_is_not_a_function_is_noted_and_left_out(value: str) -> None:
    settings = Settings({"AUTOTASK_FUNCTIONS": f"{value},shop:work"})
    assert settings.functions == (("shop", "work", "shop:work"),)
    assert noted(settings) == ["AUTOTASK_FUNCTIONS"]


# --- tags ----------------------------------------------------------------------------------------

TAGS: list[tuple[dict[str, str], dict[str, str], list[str]]] = [
    ({"AUTOTASK_TAGS": "team:shop"}, {"team": "shop"}, []),
    ({"AUTOTASK_TAGS": "team:shop,tier:1"}, {"team": "shop", "tier": "1"}, []),
    ({"AUTOTASK_TAGS": " team : shop , tier:1,"}, {"team": "shop", "tier": "1"}, []),
    ({"AUTOTASK_TAGS": "team:the shop"}, {"team": "the shop"}, []),
    ({"AUTOTASK_TAGS": "url:http://x:1"}, {"url": "http://x:1"}, []),
    ({"AUTOTASK_TAGS": "a:1,a:2"}, {"a": "2"}, []),
    ({"AUTOTASK_TAGS": "team"}, {}, ["AUTOTASK_TAGS"]),
    ({"AUTOTASK_TAGS": "team:"}, {}, ["AUTOTASK_TAGS"]),
    ({"AUTOTASK_TAGS": ":shop,a:1"}, {"a": "1"}, ["AUTOTASK_TAGS"]),
    ({"DD_TAGS": "team:shop,tier:1"}, {"team": "shop", "tier": "1"}, []),
    ({"DD_TAGS": "team:shop tier:1"}, {"team": "shop", "tier": "1"}, []),
    ({"DD_TAGS": "team:shop, tier:1"}, {"team": "shop", "tier": "1"}, []),
    ({"DD_TAGS": "team:shop,plain,tier:1"}, {"team": "shop", "plain": "", "tier": "1"}, []),
    ({"DD_TAGS": "plain team:,:shop"}, {"plain": "", "team": ""}, []),
    ({"DD_TAGS": "plain", "AUTOTASK_TAGS": "bare"}, {"plain": ""}, ["AUTOTASK_TAGS"]),
    ({"DD_TAGS": "env,service,version"}, {}, []),
    ({"DD_TAGS": "a:1,b:2", "AUTOTASK_TAGS": "a:3"}, {"a": "3", "b": "2"}, []),
]


@pytest.mark.parametrize(("environ", "tags", "problems"), TAGS)
def test_tags_come_from_datadogs_setting_and_ours_which_wins(
    environ: dict[str, str], tags: dict[str, str], problems: list[str]
) -> None:
    settings = Settings(environ)
    assert (settings.tags, noted(settings)) == (tags, problems)


NAMES: list[tuple[dict[str, str], tuple[str | None, str | None, str | None]]] = [
    ({"DD_ENV": "prod", "DD_SERVICE": "shop", "DD_VERSION": "7"}, ("prod", "shop", "7")),
    ({"DD_TAGS": "env:prod,service:shop,version:7"}, ("prod", "shop", "7")),
    ({"AUTOTASK_TAGS": "env:prod"}, ("prod", None, None)),
    ({"DD_SERVICE": "shop", "DD_TAGS": "env:prod"}, ("prod", "shop", None)),
]


@pytest.mark.parametrize(("environ", "names"), NAMES)
def test_env_service_and_version_are_datadogs_variables_or_tags(
    environ: dict[str, str], names: tuple[str | None, str | None, str | None]
) -> None:
    settings = Settings(environ)
    assert (settings.env, settings.service, settings.version) == names
    assert settings.tags == {}


@pytest.mark.parametrize("name", ["env", "service", "version"])
def test_datadogs_variable_wins_over_a_tag_of_that_name(name: str) -> None:
    settings = Settings({f"DD_{name.upper()}": "one", "DD_TAGS": f"{name}:two,a:1"})
    assert getattr(settings, name) == "one"
    assert settings.tags == {"a": "1"}


# --- where to send -------------------------------------------------------------------------------

LOCAL = ("udp", "localhost", 8125)
DESTINATIONS: list[tuple[dict[str, str], tuple[str, str, int], list[str]]] = [
    ({"DD_DOGSTATSD_URL": "udp://agent:8126"}, ("udp", "agent", 8126), []),
    ({"DD_DOGSTATSD_URL": "udp://agent"}, ("udp", "agent", 8125), []),
    ({"DD_DOGSTATSD_URL": "udp://agent:8126/"}, ("udp", "agent", 8126), []),
    ({"DD_DOGSTATSD_URL": "udp://10.0.0.1:1"}, ("udp", "10.0.0.1", 1), []),
    ({"DD_DOGSTATSD_URL": "udp://[::1]:8126"}, ("udp", "::1", 8126), []),
    ({"DD_DOGSTATSD_URL": "udp://[::1]"}, ("udp", "::1", 8125), []),
    ({"DD_DOGSTATSD_URL": "unix:///run/dsd.socket"}, ("unix", "/run/dsd.socket", 0), []),
    ({"DD_DOGSTATSD_URL": "unixgram:///run/dsd.socket"}, ("unix", "/run/dsd.socket", 0), []),
    ({"DD_DOGSTATSD_URL": "unix://./dsd.socket"}, ("unix", "./dsd.socket", 0), []),
    (
        {"DD_DOGSTATSD_URL": "udp://one:1", "DD_AGENT_HOST": "two", "DD_DOGSTATSD_PORT": "2"},
        ("udp", "one", 1),
        [],
    ),
    ({"DD_AGENT_HOST": "agent"}, ("udp", "agent", 8125), []),
    ({"DD_AGENT_HOST": "agent", "DD_DOGSTATSD_PORT": "8126"}, ("udp", "agent", 8126), []),
    ({"DD_DOGSTATSD_PORT": "8126"}, ("udp", "localhost", 8126), []),
    *[
        ({"DD_DOGSTATSD_URL": url, "DD_AGENT_HOST": "agent"}, ("udp", "agent", 8125), [problem])
        for problem in ["DD_DOGSTATSD_URL"]
        for url in (
            *("agent:8125", "http://agent:8125", "udp://", "udp://:8125", "unix://", "udp:agent"),
            *("udp://agent:0", "udp://agent:65536", "udp://agent:x", "udp://agent:-1", "://agent"),
        )
    ],
    *[
        (
            {"DD_AGENT_HOST": "agent", "DD_DOGSTATSD_PORT": port},
            ("udp", "agent", 8125),
            ["DD_DOGSTATSD_PORT"],
        )
        for port in ("x", "0", "-1", "65536", "8125.0", "²", "99999999999999999999", "0x1f")
    ],
]


@pytest.mark.parametrize(("environ", "destination", "problems"), DESTINATIONS)
def test_the_destination_comes_from_datadogs_variables(
    environ: dict[str, str], destination: tuple[str, str, int], problems: list[str]
) -> None:
    settings = Settings(environ)
    assert (settings.destination, noted(settings)) == (destination, problems)


@pytest.mark.skipif(AGENT_SOCKET.exists(), reason="an Agent runs on this machine")
def test_by_default_the_agent_is_on_this_machine() -> None:
    assert Settings({}).destination == LOCAL


@pytest.mark.skipif(
    not os.access("/var/run", os.W_OK) or AGENT_SOCKET.parent.exists(),
    reason="cannot make the Agent's folder, or it exists",
)
def test_the_agents_socket_file_is_used_if_it_exists() -> None:
    AGENT_SOCKET.parent.mkdir()
    try:
        AGENT_SOCKET.touch()
        assert Settings({}).destination == ("unix", str(AGENT_SOCKET), 0)
        assert Settings({"DD_DOGSTATSD_PORT": "8125"}).destination == LOCAL
        assert Settings({"DD_AGENT_HOST": "agent"}).destination == ("udp", "agent", 8125)
    finally:
        AGENT_SOCKET.unlink()
        AGENT_SOCKET.parent.rmdir()


# --- the home ------------------------------------------------------------------------------------

HOMES: list[tuple[dict[str, str], str]] = [
    ({"AUTOTASK_HOME": "/srv/tasks", "XDG_STATE_HOME": "/s", "HOME": "/h"}, "/srv/tasks"),
    ({"AUTOTASK_HOME": "/srv/../tasks/"}, "/tasks"),
    ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/autotask"),
    ({"XDG_STATE_HOME": "s", "HOME": "/h"}, "/h/.local/state/autotask"),  # as the standard says
    ({"HOME": "/h"}, "/h/.local/state/autotask"),
    ({"AUTOTASK_HOME": "", "XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/autotask"),
]


@pytest.mark.parametrize(("environ", "home"), HOMES)
def test_the_home_is_autotask_home_else_xdgs_else_the_users(
    environ: dict[str, str], home: str
) -> None:
    assert Settings(environ).home == home


def test_a_relative_home_is_relative_to_the_folder_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings({"AUTOTASK_HOME": "tasks"})
    monkeypatch.chdir("/")
    assert settings.home == str(tmp_path / "tasks")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}], ids=["no HOME", "an empty one"])
def test_without_home_the_password_database_is_used(environ: dict[str, str]) -> None:
    pwd = pytest.importorskip("pwd")
    user = pwd.getpwuid(os.getuid()).pw_dir
    assert Settings(environ).home == f"{user}/.local/state/autotask"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become an unknown user")
def test_a_user_without_a_home_has_no_journal_and_no_error() -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setuid(54321)
            status = 0 if Settings({}).home is None else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


# --- bad values in a real process ----------------------------------------------------------------

BAD: dict[str, str] = {
    "AUTOTASK_ENABLED": "perhaps",
    "AUTOTASK_HOME": "\udcff\udcfe",
    "AUTOTASK_NAME": "\n|\x01é\udcff",
    "AUTOTASK_TAGS": "no tag,|:\n,:::,é:\udcff",
    "AUTOTASK_FRAMEWORKS": "-,-,,-none",
    "AUTOTASK_FUNCTIONS": ":::,=,a.b:c,\udcff:x",
    "AUTOTASK_IGNORE": "[,*[!",
    "AUTOTASK_PROCESS": "maybe",
    "AUTOTASK_JOURNAL": "?",
    "AUTOTASK_DOGSTATSD": "?",
    "AUTOTASK_EVENTS": "?",
    "AUTOTASK_PARENT": '"é\udcff\n:::"|',
    "AUTOTASK_PROCESS_RUN": "nonsense",
    "DD_DOGSTATSD_URL": "nonsense",
    "DD_AGENT_HOST": "\udcff nonsense",
    "DD_DOGSTATSD_PORT": "nonsense",
    "DD_ENTITY_ID": "\n|\udcff",
    "DD_ENV": "\n|#,\udcff",
    "DD_SERVICE": "\n|#,\udcff",
    "DD_VERSION": "\n|#,\udcff",
    "DD_TAGS": "::: , ,:|#\udcff",
}
TASK = """
import click
@click.command()
def hello():
    click.echo("hello")
hello()
"""
NAMES_OF_BAD = [name for name in BAD if name != "AUTOTASK_HOME"]


@pytest.mark.parametrize("name", NAMES_OF_BAD)
def test_a_bad_value_neither_stops_nor_hides_a_task(name: str, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", TASK)
    assert run_program(script, env={name: BAD[name]}, cwd=tmp_path) == Ended(0, "hello\n", "")
    (run,) = [run for run in runs(home) if run["framework"] == "click"]
    assert (run["task"], run["status"]) == ("shop", "success")


@pytest.mark.parametrize("value", ["nonsense", '"', 'a"b:c"d:e"f', "\n", "a" * 3000])
def test_an_impossible_parent_counts_as_none(value: str, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("click")
    run_program(write(tmp_path / "shop.py", TASK), env={"AUTOTASK_PARENT": value})
    (run,) = runs(home)
    assert (run["parent"], run["root"], run["trigger"]) == (None, run["run"], UNKNOWN)


@pytest.mark.swallows
def test_all_bad_values_at_once_neither_stop_nor_hide_a_task(tmp_path: Path) -> None:
    pytest.importorskip("click")
    script = write(tmp_path / "shop.py", TASK)
    assert run_program(script, env=BAD, cwd=tmp_path) == Ended(0, "hello\n", "")


def test_the_settings_are_read_only_from_the_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _values(Settings({"HOME": "/h"}))
    for name in BAD:
        monkeypatch.setenv(name, "1")
    assert _values(Settings({"HOME": "/h"})) == before
