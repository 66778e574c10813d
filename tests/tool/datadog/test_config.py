"""autotask.toml and pyproject.toml: settings, and errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotask.around import command_settings, patterns
from autotask.around.supervise import settings_file
from autotask.tool.datadog import config
from autotask.tool.errors import ToolError

pytestmark = pytest.mark.usefixtures("folder")

WRONG = [
    ("[datadog", "autotask.toml: "),
    ("[datdog]", "unknown key datdog; did you mean datadog?"),
    ("datadog = 1", "datadog must be a table"),
    ("[datadog]\nnotfy = []", "[datadog] unknown key notfy; did you mean notify?"),
    ('[datadog]\nnotify = "@me"', "[datadog] notify must be a list of strings"),
    ('[datadog]\nnotify = ["me"]', "notify must be a list of recipients in Datadog"),
    ("[datadog]\npriority = 6", "priority must be a number from 1 to 5"),
    ("[datadog]\npriority = true", "priority must be a number from 1 to 5"),
    ('[datadog]\nwithout = ["slo"]', "without can only contain: failed, did_not_run"),
    ('[datadog]\ntags = ["shop"]', "tags must be a list of tags"),
    ('[datadog]\nscope = ["!env:dev"]', "scope must be a list of tags"),
    ('[datadog]\nschedule = "0 3 * * *"', "[datadog] unknown key schedule"),
    ("[datadog]\nlatched = 1", "latched must be true or false"),
    ("[datadog]\nfailures_in_a_row = 100", "must be a number from 1 to 99"),
    ('[task.x]\nhung_after = "soon"', '[task."x"] hung_after must be a duration'),
    ("[task.x]\nhung_after = 5", "hung_after must be a duration"),
    ('[task.x]\nwithin = "7d"', "within must be at most 6d"),
    ('[task.x]\nschedule = "0 25 * * *"', "[task.\"x\"] schedule '0 25 * * *': hour '25'"),
    ('[task.x]\nschedule = "@daily"\ntimezone = "Berlin"', "unknown time zone 'Berlin'"),
    ('[task.x]\ntimezone = "Berlin"', "[task.\"x\"] unknown time zone 'Berlin'"),
    ('[datadog]\ntimezone = "Berlin"', "[datadog] unknown time zone 'Berlin'"),
    ('[datadog]\nwithin = "7d"', "[datadog]: within must be at most 6d"),
    ('[task.x]\nschedule = "@daily"\ninterval = "1d"', "set either schedule or interval, not both"),
    ('[task."a?c"]\n', "the only wildcard is *"),
    ("[task.x]\nretries_an_hour = 0", "retries_an_hour must be a number from 1 to"),
    ('[task.x]\nretries_an_hour = "5"', "retries_an_hour must be a number from 1 to"),
    ("[task]\nx = 1", '[task."x"] must be a table'),
    ('[task.x]\ntimeout = "soon"', '[task."x"] timeout must be a duration such as "45s"'),
    ("[task.x]\ntimeout = 30", '[task."x"] timeout must be a duration such as "45s"'),
    ("[task.x]\ntimeout = true", '[task."x"] timeout must be a duration such as "45s"'),
    ('[task.x]\nkeep_output = "much"', "keep_output must be a size such as"),
    ("[task.x]\nkeep_output = [8]", "keep_output must be a size such as"),
    ('[task.x]\nquiet = "perhaps"', "quiet must be true or false"),
    ("[task.x]\nno_overlap = 2", "no_overlap must be true or false"),
    ("[task.x]\non_failure = true", "on_failure must be a command: a string"),
    ("[task.x]\ntime_out = '1m'", '[task."x"] unknown key time_out; did you mean timeout?'),
    ("[datadog]\ntimeout = '1m'", "[datadog] unknown key timeout"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_an_error_names_its_location(text: str, told: str) -> None:
    Path("autotask.toml").write_text(text)
    with pytest.raises(ToolError) as raised:
        config.load(None)
    assert told in str(raised.value)
    assert str(raised.value).startswith("autotask.toml: ")


OF_LAUNCHER = [
    'timeout = "1h30m"', "timeout = 0", 'timeout = "off"', 'keep_output = "8k"',
    "keep_output = 8192", "keep_output = 0", "quiet = true", "quiet = false", 'quiet = "1"',
    "no_overlap = true", 'on_failure = "mail -s x ann"', "on_failure = false", 'on_failure = "0"',
]  # fmt: skip


@pytest.mark.parametrize("line", OF_LAUNCHER)
def test_what_the_launcher_reads_is_checked_and_asks_for_no_monitor(line: str) -> None:
    Path("autotask.toml").write_text(f'[task."never.ran"]\n{line}\n')
    asked = config.load(None)
    assert [section.values for section in asked.sections] == [{}]
    assert command_settings.of("never.ran", {}, {}, settings_file()).problems == []


def test_what_the_launcher_reads_is_refused_where_it_does_not_look() -> None:
    Path("pyproject.toml").write_text('[tool.autotask.task.x]\ntimeout = "1m"\n')
    with pytest.raises(ToolError) as refused:
        config.load(None)
    told = 'pyproject.toml: [task."x"] timeout: autotask-run reads it in autotask.toml alone'
    assert str(refused.value) == told


def test_a_file_in_another_encoding_is_an_error_that_names_the_line() -> None:
    Path("autotask.toml").write_bytes("[datadog]\nname = 'b\u00fcro'\n".encode("latin-1"))
    with pytest.raises(ToolError) as refused:
        config.load(None)
    assert str(refused.value) == "autotask.toml: line 2 is not UTF-8; save the file as UTF-8"


def test_pyproject_works_too_and_autotask_toml_comes_first() -> None:
    Path("pyproject.toml").write_text('[tool.ruff]\n[tool.autotask.datadog]\nname = "a"\n')
    assert config.load(None).name == "a"
    Path("autotask.toml").write_text('[datadog]\nname = "b"\n')
    assert config.load(None).name == "b"
    assert config.load("pyproject.toml").name == "a"


def test_a_wrong_type_in_pyproject_is_an_error() -> None:
    Path("pyproject.toml").write_text("[tool]\nautotask = 3\n")
    with pytest.raises(ToolError, match=r"pyproject\.toml: autotask must be a table"):
        config.load(None)


@pytest.mark.parametrize("text", [None, "[tool.ruff]\n", "[project]\nname = 'x'\n", "tool = 3\n"])
def test_without_a_file_the_defaults_apply(text: str | None) -> None:
    if text is not None:
        Path("pyproject.toml").write_text(text)
    assert config.load(None) == config.Config()


MATCHES = [
    ("nightly", "nightly", True),
    ("nightly", "nightly2", False),
    ("*", "whatever", True),
    ("db.*", "db.migrate", True),
    ("db.*", "adb.migrate", False),
    ("*.migrate", "db.migrate", True),
    ("db.*.x", "db.x", False),
    ("db.*.x", "db.a.x", True),
    ("a*b*c", "a1b2c", True),
    ("a*b*c", "a1c", False),
    ("a*a", "a", False),
    ("db.*", "db.m*", True),
    ("db.m*", "db.*", False),
]


@pytest.mark.parametrize(("pattern", "name", "expected"), MATCHES)
def test_a_star_matches_anything(pattern: str, name: str, expected: bool) -> None:
    assert patterns.matches(pattern, name) is expected


def test_the_later_of_two_matching_sections_wins_setting_by_setting() -> None:
    found = config.parse(
        {
            "datadog": {"priority": 5, "timezone": "Europe/Berlin"},
            "task": {
                "db.*": {"priority": 3, "notify": ["@dba"]},
                "DB.Migrate": {"schedule": "@daily"},
                "*.migrate": {"priority": 1},
            },
        }
    )
    settings = found.settings_for("db.migrate")
    assert (settings.priority, settings.notify, settings.schedule) == (1, ("@dba",), "@daily")
    assert settings.timezone == "Europe/Berlin"
    assert found.settings_for("mail").priority == 5


@pytest.mark.parametrize(
    ("spelled", "pattern"),
    [("Nightly Run", "nightly_run"), ("compile:*", "compile:*"), ("a@*b:", "a_*b")],
)
def test_patterns_are_normalised_as_datadog_does(spelled: str, pattern: str) -> None:
    assert config.parse({"task": {spelled: {}}}).sections[0].pattern == pattern
