"""`autotask frameworks`: what is supported, and what is found in a real environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import environments
import pytest
from support import LAUNCHER, run_program, runs, write
from tool.journals import answer, autotask

from autotask.tool import supported
from autotask.tool.supported import NAMES, RUBY_FRAMEWORKS, Range, _read

SHELL = """
import cmd
class Shell(cmd.Cmd):
    def do_greet(self, line): print("hello", line)
Shell().onecmd("greet you")
"""
SETTING = "cmd=autotask_cmd:instrument"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return environments.make(tmp_path / "venv")


def frameworks(*words: str | Path, **env: str) -> dict[str, Any]:
    message = answer("frameworks", "--format", "json", "--", *map(str, words), env=env)
    report: dict[str, Any] = json.loads(message)
    return report


def test_everything_supported_is_listed_with_its_versions(python: Path) -> None:
    report = frameworks(python)
    assert [framework["name"] for framework in report["frameworks"]] == [
        *NAMES,
        *RUBY_FRAMEWORKS,
        "function",
        "process",
    ]
    click = report["frameworks"][0]
    assert click["supported"] == {"oldest": "7.1", "newest": "8.5"}
    assert (click["found"], click["status"]) == (None, "missing")
    assert click["kind"] == "command lines"
    assert report["frameworks"][-1]["kind"] == "any program"
    assert report["python"]["prefix"] == str(python.parent.parent)
    assert (report["plugins"], report["setting"]) == ([], "")
    rake = next(row for row in report["frameworks"] if row["name"] == "rake")
    assert (rake["found"], rake["status"], report["ruby"]) == (None, "missing", None)


@pytest.mark.parametrize(
    ("version", "status"), [("8.1.7", "supported"), ("6.7", "older"), ("9.0.0", "newer")]
)
def test_what_is_installed_is_found(python: Path, version: str, status: str) -> None:
    environments.install(environments.site(python), "click", version)
    click = frameworks(python)["frameworks"][0]
    assert (click["found"], click["status"]) == (version, status)
    (row,) = [
        line
        for line in answer("frameworks", "--", str(python)).splitlines()
        if line.startswith("click ")
    ]
    assert row.split() == ["click", "command", "lines", "7.1", "to", "8.5", version, status]


def test_the_first_one_on_the_path_counts(python: Path, tmp_path: Path) -> None:
    environments.install(environments.site(python), "click", "8.1.7")
    environments.install(tmp_path / "lib", "click", "8.0.1")
    report = frameworks(python, PYTHONPATH=str(tmp_path / "lib"))
    assert report["frameworks"][0]["found"] == "8.0.1"


def test_damaged_and_half_removed_distributions_are_left_out(python: Path) -> None:
    site = environments.site(python)
    environments.install(site, "click", "8.1.7")
    for name, data in {"doit": None, "invoke": b"\xff\xfe", "typer": b"\0"}.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        if data is not None:
            (info / "METADATA").write_bytes(data)
            (info / "entry_points.txt").write_bytes(b"[autotask.frameworks\n= =" + data)
    report = frameworks(python)
    found = [framework for framework in report["frameworks"] if framework["name"] != "argparse"]
    assert {framework["found"] for framework in found} == {"8.1.7", None}
    assert report["plugins"] == []


def test_a_plugin_is_shown_and_used_by_autotask_run_from_then_on(
    python: Path, tmp_path: Path, home: Path
) -> None:
    environments.install_example(environments.site(python))
    script = write(tmp_path / "shell.py", SHELL)
    run_program(python, script, under="launcher")
    assert [run["framework"] for run in runs(home)] == ["process"]
    report = frameworks(python)
    assert report["plugins"] == [
        {
            "watched": "cmd",
            "target": "autotask_cmd:instrument",
            "distribution": "autotask-cmd",
            "version": "1.0",
        }
    ]
    assert report["setting"] == SETTING
    assert f"AUTOTASK_PLUGINS={SETTING}" in answer("frameworks", "--", str(python))
    for command in ([python], ["/usr/bin/env", python], ["sh", "-c", f"{python} {script}"]):
        ended = run_program(*command, script, under="launcher")
        assert (ended.status, ended.stdout, ended.stderr) == (0, "hello you\n", "")
    line = f"cd {tmp_path}; venv/bin/{python.name} shell.py 2>&1 | cat"
    ended = run_program(LAUNCHER, "--shell", line, under="bare")
    assert (ended.status, ended.stdout, ended.stderr) == (0, "hello you\n", "")
    assert [run["task"] for run in runs(home) if run["framework"] == "cmd"] == ["greet"] * 4


def test_only_scripts_of_the_environment_get_its_plugins(python: Path, tmp_path: Path) -> None:
    environments.install_example(environments.site(python))
    frameworks(python)
    tell = "import os; print(os.environ.get('AUTOTASK_PLUGINS'))\n"
    for name, interpreter, expected in (
        ("ours", python, SETTING),
        ("theirs", environments.make(tmp_path / "other"), "None"),
    ):
        script = write(tmp_path / name, f"#!{interpreter}\n{tell}")
        script.chmod(0o755)
        assert run_program(script, under="launcher").stdout == f"{expected}\n"
    chosen = run_program(python, "-c", tell, under="launcher", env={"AUTOTASK_PLUGINS": "a=b:c"})
    assert chosen.stdout == "a=b:c\n"


def test_a_plugin_that_was_removed_is_forgotten(python: Path, home: Path) -> None:
    environments.install_example(environments.site(python))
    frameworks(python)
    assert (home / "plugins").read_text() == f"{python.parent}\t{SETTING}\n"
    assert (home / "plugins").stat().st_mode & 0o777 == 0o600
    for file in environments.site(python).rglob("entry_points.txt"):
        file.unlink()
    assert frameworks(python)["plugins"] == []
    assert (home / "plugins").read_text() == ""


def test_a_wrapper_that_may_lead_elsewhere_is_not_remembered(
    python: Path, tmp_path: Path, home: Path
) -> None:
    environments.install_example(environments.site(python))
    wrapper = write(tmp_path / "shims" / "python", f'#!/bin/sh\nexec {python} "$@"\n')
    wrapper.chmod(0o755)
    assert frameworks(wrapper)["setting"] == SETTING
    assert not (home / "plugins").exists()


@pytest.mark.parametrize("point", [("a b", "x:y"), ("cmd", "autotask_cmd"), ("cmd", "x:y.z")])
def test_an_entry_point_that_cannot_be_read_is_left_out(
    python: Path, point: tuple[str, str]
) -> None:
    environments.install(environments.site(python), "odd", "1.0", dict([point]))
    report = frameworks(python)
    assert (len(report["plugins"]), report["setting"]) == (1, "")
    assert " invalid" in answer("frameworks", "--", str(python))


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe\t\n\t\t\t\n\0", b"no tab"])
def test_a_damaged_list_of_plugins_keeps_no_command_from_running(
    python: Path, home: Path, garbage: bytes
) -> None:
    home.mkdir()
    (home / "plugins").write_bytes(garbage)
    ended = run_program(python, "-c", "print(1)", under="launcher")
    assert (ended.status, ended.stdout, ended.stderr) == (0, "1\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-command"], "no-such-command: no such command"),
        (
            ["sh", "-c", "exit 3"],
            "sh: neither Python nor Ruby, so only the process as a whole is recorded",
        ),
    ],
)
def test_without_an_interpreter_it_says_so_in_one_line(words: list[str], message: str) -> None:
    ended = autotask("frameworks", "--", *words)
    assert (ended.status, ended.stdout, ended.stderr) == (1, "", f"autotask: {message}\n")


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("7.0.9", "older"),
        ("7.1", "supported"),
        ("7.1.2", "supported"),
        ("8", "supported"),
        ("8.5.99", "supported"),
        ("8.6.dev0", "newer"),
        ("10.0", "newer"),
        ("unknown", "older"),
    ],
)
def test_a_range_includes_its_two_ends(version: str, verdict: str) -> None:
    assert Range("7.1", "8.5").verdict(version) == verdict


def test_the_text_of_what_is_supported_is_read_under_its_headings() -> None:
    rows = """
        -- command-lines --
        click    7.1  8.5
        argparse with Python
        -- queues --
        rq       1.16 3.0
    """
    assert _read(rows) == (
        {"click": Range("7.1", "8.5"), "rq": Range("1.16", "3.0")},
        ("argparse",),
        {"click": "command lines", "argparse": "command lines", "rq": "queues"},
    )


def test_what_is_part_of_python_is_found_with_it() -> None:
    report = frameworks(sys.executable)
    rows = {framework["name"]: framework for framework in report["frameworks"]}
    for name in supported.WITH_PYTHON:
        row = (rows[name]["supported"], rows[name]["found"], rows[name]["status"])
        assert row == (None, report["python"]["version"], "supported")


def test_one_that_is_not_called_as_its_distribution_is_found_by_that(python: Path) -> None:
    renamed = {
        name: distribution
        for name, distribution in supported.DISTRIBUTIONS.items()
        if name in supported.FRAMEWORKS
    }
    for distribution in renamed.values():
        environments.install(environments.site(python), distribution, "7.7")
    rows = {framework["name"]: framework for framework in frameworks(python)["frameworks"]}
    assert {rows[name]["found"] for name in renamed} <= {"7.7"}
