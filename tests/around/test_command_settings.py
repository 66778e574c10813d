"""What the launcher does beside recording: options, variables and autotask.toml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support import LAUNCHER, PYTHON, only_run, run_program, write

from autotask.around import command_settings
from autotask.around.supervise import of_command, settings_file

FILE = """\
[task."*"]
timeout = "2h"
on_failure = "tell"

[task."db.*"]
timeout = "30m"
quiet = true
keep_output = "64k"

[task."Db.Migrate"]
no_overlap = true
on_failure = "0"
"""
ALL = {"keep_output": 0, "quiet": False, "timeout": None, "no_overlap": False, "on_failure": None}
SAYS: list[tuple[str, dict[str, str], dict[str, str], dict[str, Any]]] = [
    # task, variables, options, what differs from ALL
    ("x", {}, {}, {"timeout": 7200.0, "on_failure": "tell"}),
    ("db.dump", {}, {}, {"timeout": 1800, "on_failure": "tell", "quiet": True,
                         "keep_output": 65536}),
    ("db.migrate", {}, {}, {"timeout": 1800, "quiet": True, "keep_output": 65536,
                            "no_overlap": True}),
    ("db.migrate", {"AUTOTASK_TIMEOUT": "1h30m", "AUTOTASK_QUIET": "no"}, {},
     {"timeout": 5400, "keep_output": 65536, "no_overlap": True}),
    ("db.migrate", {"AUTOTASK_TIMEOUT": "1h30m"}, {"timeout": "0", "keep_output": "0"},
     {"quiet": True, "no_overlap": True}),
    ("x", {"AUTOTASK_ON_FAILURE": "mail -s x", "AUTOTASK_NO_OVERLAP": "1"}, {},
     {"timeout": 7200, "on_failure": "mail -s x", "no_overlap": True}),
    ("x", {"AUTOTASK_KEEP_OUTPUT": "9G"}, {}, {"timeout": 7200, "on_failure": "tell",
                                               "keep_output": 64 << 10}),
]  # fmt: skip


@pytest.mark.parametrize(("task", "variables", "options", "expected"), SAYS)
def test_options_beat_variables_and_variables_beat_the_file(
    task: str,
    variables: dict[str, str],
    options: dict[str, str],
    expected: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path / "autotask.toml", FILE)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    environ = {"HOME": "/", **variables}
    settings = of_command(task, environ, options)
    assert environ == {"HOME": "/"}, "what it starts does not inherit them"
    assert settings is not None
    found = {name: getattr(settings, name) for name in command_settings.VARIABLES}
    assert found == {**ALL, **expected}
    assert settings.problems == []


def test_without_any_there_is_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert of_command("x", {}) is None
    line = of_command("x", {}, is_line=True)
    assert line is not None
    assert line.keep_output == 8192


BAD = [
    ({"AUTOTASK_TIMEOUT": "soon"}, "AUTOTASK_TIMEOUT: 'soon' is not a duration"),
    ({"AUTOTASK_KEEP_OUTPUT": "all"}, "AUTOTASK_KEEP_OUTPUT: 'all' is not a size"),
    ({"AUTOTASK_QUIET": "maybe"}, "AUTOTASK_QUIET: 'maybe' is neither 0 nor 1"),
]


@pytest.mark.parametrize(("variables", "problem"), BAD)
def test_a_bad_value_counts_as_unset(variables: dict[str, str], problem: str) -> None:
    settings = command_settings.of("x", {}, variables)
    assert {name: getattr(settings, name) for name in command_settings.VARIABLES} == ALL
    assert [text[: len(problem)] for text in settings.problems] == [problem]


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        (FILE, 0o666, "other users can write it: its settings are not used"),
        ("timeout = [", 0o644, "Invalid value"),
        (f"timeout = {'[' * 9999}", 0o644, "nested too deeply"),
        ("task = 'timeout'", 0o644, None),
        ("task.x = 'timeout'", 0o644, None),
        ("[datadog]", 0o644, None),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    text: str, mode: int, problem: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "autotask.toml", text).chmod(mode)
    monkeypatch.chdir(tmp_path)
    settings = command_settings.of("x", {}, {}, settings_file())
    assert {name: getattr(settings, name) for name in command_settings.VARIABLES} == ALL
    assert len(settings.problems) == (problem is not None)
    assert (problem or "") in "".join(settings.problems)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(
    ("given", "mode", "problem"),
    [
        ("autotask.toml", 0o755, "other users can write it: its settings are not used"),
        (".", 0o755, "other users can write its folder: its settings are not used"),
        (".", 0o1777, "other users can write its folder: its settings are not used"),
    ],
)
def test_what_another_user_may_have_put_there_is_not_used(
    given: str, mode: int, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "autotask.toml", FILE)
    os.chown(tmp_path / given, 12345, -1)
    tmp_path.chmod(mode)
    monkeypatch.chdir(tmp_path)
    settings = command_settings.of("x", {}, {}, settings_file())
    assert (settings.on_failure, settings.timeout) == (None, None)
    assert settings.problems == [f"{path}: {problem}"]


@pytest.mark.parametrize(
    ("mode", "is_used"), [(0o755, True), (0o775, False), (0o777, False), (0o1777, True)]
)
def test_nobody_else_may_replace_the_file(
    mode: int, is_used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "autotask.toml", FILE)
    tmp_path.chmod(mode)
    monkeypatch.chdir(tmp_path)
    settings = command_settings.of("x", {}, {}, settings_file())
    assert (settings.on_failure, len(settings.problems)) == (("tell", 0) if is_used else (None, 1))


@pytest.mark.parametrize("target", ["real.toml", "/proc/self/environ"])
def test_a_link_is_not_followed(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "real.toml", FILE)
    path = tmp_path / "autotask.toml"
    path.symlink_to(target)
    monkeypatch.chdir(tmp_path)
    settings = command_settings.of("x", {}, {}, settings_file())
    assert settings.on_failure is None
    assert settings.problems == [f"{path}: it is a link: its settings are not used"]


def test_only_a_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "autotask.toml", FILE)
    folder = tmp_path / "below" / "autotask.toml"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert settings_file() == str(tmp_path / "autotask.toml")


WRONG = [
    ("on_failure = true", "on_failure must be a string"),
    ('on_failure = ["rm", "x"]', "on_failure must be a string"),
    ("on_failure = 7", "on_failure must be a string"),
    ("quiet = 1", "quiet must be a string or a boolean"),
    ("no_overlap = [1]", "no_overlap must be a string or a boolean"),
    ("timeout = 30", "timeout must be a string"),
    ("timeout = nan", "timeout must be a string"),
    ("timeout = {}", "timeout must be a string"),
    ("keep_output = true", "keep_output must be a string or a number"),
    ("on_failure = false\nquiet = false\ntimeout = 0\nkeep_output = 0\nno_overlap = 0", None),
]


@pytest.mark.parametrize(("lines", "problem"), WRONG)
def test_a_value_of_another_type_counts_as_unset(
    lines: str, problem: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "autotask.toml", f'[task."*"]\n{lines}')
    monkeypatch.chdir(tmp_path)
    settings = command_settings.of("x", {}, {}, settings_file())
    assert {name: getattr(settings, name) for name in command_settings.VARIABLES} == ALL
    assert settings.problems == ([f"autotask.toml: {problem}"] if problem else [])
    assert not settings.tells()


SPELLED = [
    'task.x.timeout = "1h"',
    "task = {x = {'timeout'='1h'}}",
    '[ task . "x" ]\n  "timeout"\t= "1h"',
    '[task]\nx . timeout="1h"',
    '[task.x]\nwithin = "2h"  # no timeout\r\ntimeout = "1h"',
]
MENTIONED = ['# timeout = "1h"', "[task.timeout]", '[task.x]\nnotify = ["@quiet"]  # no timeout']


@pytest.mark.parametrize("text", [*SPELLED, *MENTIONED])
def test_the_parser_is_loaded_only_for_a_setting(text: str, tmp_path: Path, home: Path) -> None:
    """To load it takes longer than all the rest of the launcher."""
    write(tmp_path / "autotask.toml", text)
    code = (
        "import sys; from autotask.around.supervise import of_command;"
        "print(of_command('x', {}).timeout, *{'tomllib', 'tomli'} & set(sys.modules))"
    )
    done = run_program(PYTHON, "-c", code, under="bare", cwd=tmp_path)
    wanted = "None\n" if text in MENTIONED else "3600.0 toml"
    assert done.stdout.startswith(wanted), done


def test_without_a_parser_the_rest_holds(tmp_path: Path, home: Path) -> None:
    """A Python before 3.11 may have none."""
    write(tmp_path / "autotask.toml", FILE)
    code = (
        "import sys; sys.modules['tomllib'] = sys.modules['tomli'] = None\n"
        "from autotask.around.supervise import of_command\n"
        "asked = of_command('x', {'AUTOTASK_QUIET': '1'})\n"
        "print(asked.quiet, asked.on_failure, len(asked.problems))"
    )
    assert run_program(PYTHON, "-c", code, under="bare", cwd=tmp_path).stdout == "True None 1\n"


@pytest.mark.parametrize("text", [FILE.replace('"2h"', "[" * 9999), '[task.x]\nquiet = [["1"]]'])
def test_what_cannot_be_read_takes_no_record_away(text: str, tmp_path: Path, home: Path) -> None:
    write(tmp_path / "autotask.toml", text)
    options = ("--timeout", "1h")
    done = run_program("sh", "-c", "exit 3", under="launcher", options=options, cwd=tmp_path)
    assert (done.status, done.stderr, only_run(home)["exit_code"]) == (3, "", 3)


REFUSED = [
    (("--timeout", "soon", "true"), "--timeout: 'soon' is not a duration: "),
    (("--timeout",), "--timeout needs a value"),
    (("--keep-output=lots", "true"), "--keep-output: 'lots' is not a size: "),
    (("--exec", "--quiet", "true"), "--quiet needs a process beside the command: not with --exec"),
    (("--no-overlap", "--exec", "--shell", "true"), "--no-overlap needs a process beside "),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_a_wrong_option_is_a_usage_error(words: tuple[str, ...], said: str) -> None:
    done = run_program(LAUNCHER, *words, under="bare")
    assert done.status == 125
    assert done.stderr.startswith(f"autotask-run: {said}")
    assert done.stderr.count("\n") == 1
