"""`autotask doctor` and `autotask frameworks` about real Rubies, wrapped in all kinds of ways."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import RUBY, Datagrams, write
from tool.commands.test_doctor import doctor, executable
from tool.journals import answer

from autotask.tool import supported

pytestmark = pytest.mark.installed

OLD = "2.4.10"
# Makes another Ruby of this one, before RubyGems and our file are loaded.
DISGUISE = """
require "rbconfig"  # it compares RUBY_VERSION
%w[RUBY_VERSION RUBY_ENGINE RUBY_ENGINE_VERSION].each {{ |n| Object.send(:remove_const, n) }}
RUBY_VERSION, RUBY_ENGINE, RUBY_ENGINE_VERSION = "{version}", "{engine}", "9.3.9.0"
begin
  require "rubygems"
rescue LoadError
end
"""


@pytest.fixture
def ruby() -> str:
    found = shutil.which("ruby")
    if found is None or shutil.which("rake") is None:
        pytest.skip("no Ruby with Rake on this machine")
    return found


@pytest.fixture(autouse=True)
def _listener(datagrams: Datagrams, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let somebody listen, so that all is well unless the test makes it otherwise."""
    monkeypatch.setenv("DD_ENV", "prod")
    monkeypatch.chdir(tmp_path)


def disguised(ruby: str, folder: Path, version: str, engine: str = "ruby") -> Path:
    """Make a Ruby that takes itself for another one."""
    file = write(folder / "disguise.rb", DISGUISE.format(version=version, engine=engine))
    return executable(
        folder / "bin" / "ruby", f'#!/bin/sh\nexec {ruby} -W0 --disable-gems -r{file} "$@"\n'
    )


@pytest.mark.parametrize("line", ["rake db:migrate", "bundle exec rake db:migrate", "ruby x.rb"])
def test_a_usual_ruby_is_ok(ruby: str, line: str) -> None:
    findings = doctor(*line.split())
    assert {finding["status"] for finding in findings.values()} == {"ok"}
    assert findings["command"]["text"].endswith(f"-> {ruby}" if line[:2] != "ru" else ruby)
    assert findings["task"]["text"] == line.removeprefix("bundle exec ").removeprefix("ruby ")
    assert " in /" in findings["ruby"]["text"]
    assert findings["agent"]["text"] == f"loaded from {RUBY}"
    assert "supported (12.3 to 13.4)" in findings["rake"]["text"]
    assert "python" not in findings


BARRED = [
    ("{ruby} --disable-gems x.rb", "--disable-gems on the command line keeps it out"),
    ("env RUBYOPT=--disable=gems rake x", "--disable=gems in RUBYOPT keeps it out"),
    ("env -i {ruby} x.rb", "`env` on the command line removes RUBYLIB"),
    ("env -u RUBYLIB rake x", "`env` on the command line removes RUBYLIB"),
    ("{tmp}/script", "--disable=gems in the first line of {tmp}/script"),
    ("{tmp}/resetting/ruby x.rb", "RUBYLIB does not reach the interpreter"),
    ("{tmp}/without/ruby x.rb", "something turns RubyGems off"),
]


@pytest.mark.parametrize(("line", "why"), BARRED)
def test_it_says_what_keeps_the_agent_out_of_ruby(
    ruby: str, tmp_path: Path, line: str, why: str
) -> None:
    executable(tmp_path / "script", f"#!{ruby} --disable=gems\nDir.mkdir('{tmp_path}/ran')\n")
    for name, words in (
        ("resetting", f"env -u RUBYLIB {ruby}"),
        ("without", f"{ruby} --disable-gems"),
    ):
        executable(tmp_path / name / "ruby", f'#!/bin/sh\nexec {words} "$@"\n')
    findings = doctor(*line.format(ruby=ruby, tmp=tmp_path).split(), status=1)
    assert findings["agent"]["status"] == "problem"
    assert why.format(tmp=tmp_path) in findings["agent"]["text"]
    assert findings["ruby"]["status"] == "ok"
    assert not (tmp_path / "ran").exists(), "the command was started"


def test_a_ruby_that_is_too_old_is_a_problem(ruby: str, tmp_path: Path) -> None:
    findings = doctor(disguised(ruby, tmp_path, OLD), "x.rb", status=1)
    assert f"Ruby {OLD} in" in findings["ruby"]["text"]
    assert findings["ruby"]["remedy"] == "use Ruby 2.5 or newer"
    assert findings["agent"]["text"] == "not loaded: this Ruby is too old"


def test_the_oldest_ruby_that_is_supported_loads_the_agent(ruby: str, tmp_path: Path) -> None:
    findings = doctor(disguised(ruby, tmp_path, "2.5.0"), "x.rb")
    assert (findings["ruby"]["status"], findings["agent"]["status"]) == ("ok", "ok")


def test_a_ruby_that_is_newer_than_tested_is_a_warning(ruby: str, tmp_path: Path) -> None:
    findings = doctor(disguised(ruby, tmp_path, "4.1.0"), "x.rb")
    assert findings["ruby"]["status"] == "warning"
    assert "newer than 3.4, the newest tested version" in findings["ruby"]["text"]


def test_another_engine_is_a_problem(ruby: str, tmp_path: Path) -> None:
    other = disguised(ruby, tmp_path, "2.6.8", "jruby")
    findings = doctor(other, "x.rb", status=1)
    assert "jruby 9.3.9.0 (Ruby 2.6.8) in" in findings["ruby"]["text"]
    assert findings["agent"]["text"] == "not loaded: jruby does not load it"


def test_a_ruby_that_fails_is_a_problem(tmp_path: Path) -> None:
    broken = executable(
        tmp_path / "ruby", "#!/bin/sh\nprintf 'no libruby\\n\\tfrom x.rb:1\\n' >&2\nexit 127\n"
    )
    findings = doctor(broken, "x.rb", status=1)
    assert findings["ruby"]["text"] == f"{broken} failed (no libruby)"
    assert "agent" not in findings


def test_the_machines_own_file_of_that_name_is_ok(ruby: str, tmp_path: Path) -> None:
    own = write(tmp_path / "own" / "rubygems" / "defaults" / "ruby.rb", "$stdout.puts 'welcome'\n")
    findings = doctor("rake", env={"RUBYLIB": str(tmp_path / "own")})
    assert findings["agent"]["status"] == "ok"
    assert findings["defaults"]["text"] == f"the machine's own run as usual: {own}"


def test_the_ruby_agent_of_another_copy_is_reported(ruby: str, tmp_path: Path) -> None:
    shutil.copytree(RUBY, tmp_path / RUBY.name)
    wrapper = executable(
        tmp_path / "bin" / "ruby",
        f'#!/bin/sh\nRUBYLIB={tmp_path / RUBY.name} exec {ruby} "$@"\n',
    )
    findings = doctor(wrapper)
    assert findings["agent"]["status"] == "warning"
    assert f"loaded from {tmp_path / RUBY.name}, another copy" in findings["agent"]["text"]


def test_settings_that_turn_ruby_off_are_reported(ruby: str) -> None:
    off = doctor("rake", env={"AUTOTASK_ENABLED": "0"}, status=1)
    assert off["agent"]["text"] == "turned off by AUTOTASK_ENABLED"
    findings = doctor("rake", env={"AUTOTASK_FRAMEWORKS": "-rake"})
    assert "turned off by AUTOTASK_FRAMEWORKS" in findings["rake"]["text"]
    assert "settings" not in findings


LOCK = """
GEM
  remote: https://rubygems.org/
  specs:
    capistrano (3.17.2)
      rake (>= 10.0.0)
    rake ({version})

PLATFORMS
  x86_64-linux
"""
BUNDLED = ["bundle exec rake x", "{tmp}/bin/rails db:migrate"]


@pytest.mark.parametrize("line", [*BUNDLED, "rake x"])
def test_the_versions_in_a_bundle_are_those_of_its_lock(
    ruby: str, tmp_path: Path, line: str
) -> None:
    write(tmp_path / "Gemfile", "")
    write(tmp_path / "Gemfile.lock", LOCK.format(version="12.0.0"))
    executable(tmp_path / "bin" / "rails", "#!/usr/bin/env ruby\n")
    findings = doctor(*line.format(tmp=tmp_path).split())
    is_bundled = line in BUNDLED
    assert findings["rake"]["status"] == ("warning" if is_bundled else "ok")
    assert findings["rake"]["text"].startswith("12.0.0 is older") == is_bundled
    if is_bundled:
        assert "thor" not in findings


@pytest.mark.parametrize(("gemfile", "lock"), [("gems.rb", "gems.locked"), ("a", "a.lock")])
def test_bundlers_other_names_of_the_lock_are_known(
    ruby: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gemfile: str, lock: str
) -> None:
    write(tmp_path / gemfile, "")
    write(tmp_path / lock, LOCK.format(version="99.0"))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    env = {"BUNDLE_GEMFILE": str(tmp_path / "a")} if gemfile == "a" else {}
    assert "99.0 is newer" in doctor("bundle", "exec", "rake", env=env)["rake"]["text"]


def test_a_version_manager_on_the_command_line_is_named(tmp_path: Path) -> None:
    rbenv = executable(tmp_path / "rbenv", "#!/bin/sh\n")
    findings = doctor(rbenv, "exec", "rake", "x")
    assert findings["command"]["text"] == f"`{rbenv} exec` chooses its Ruby only when it runs"
    assert f"autotask doctor -- $({rbenv} exec which ruby)" in findings["command"]["remedy"]


# --- autotask frameworks -------------------------------------------------------------------------


def frameworks(*words: str | Path) -> dict[str, Any]:
    given = ("--", *map(str, words)) if words else ()
    report: dict[str, Any] = json.loads(answer("frameworks", "--format", "json", *given))
    return report


@pytest.mark.parametrize("words", [("rake", "x"), ()])
def test_the_frameworks_of_a_ruby_are_shown(ruby: str, words: tuple[str, ...]) -> None:
    report = frameworks(*words)
    assert report["ruby"]["implementation"] == "ruby"
    assert report["ruby"]["status"] == "supported"
    assert (report["python"] is None) == bool(words)
    rows = {framework["name"]: framework for framework in report["frameworks"]}
    assert (rows["rake"]["kind"], rows["rake"]["status"]) == ("ruby", "supported")
    assert (rows["argparse"]["status"] == "missing") == bool(words)
    shown = answer("frameworks", *(("--", *words) if words else ()))
    assert f", Ruby {report['ruby']['version']}\n" in shown
    assert f"rake           ruby           12.3 to 13.4           {rows['rake']['found']}" in shown


def test_an_engine_that_is_not_supported_is_shown_as_such(ruby: str, tmp_path: Path) -> None:
    other = str(disguised(ruby, tmp_path, "2.6.8", "jruby"))
    assert frameworks(other)["ruby"]["status"] == "unknown"
    assert "jruby 9.3.9.0 (Ruby 2.6.8), not supported" in answer("frameworks", "--", other)


# --- the one table -------------------------------------------------------------------------------


def test_each_framework_of_the_table_has_a_file_in_ruby_and_a_setting() -> None:
    files = {file.stem for file in (RUBY / "autotask" / "frameworks").glob("*.rb")}
    whole = {name for name in files if not name.endswith("_failures")}  # the second half of one
    assert whole == set(supported.RUBY_FRAMEWORKS)
    text = "".join(file.read_text() for file in (RUBY / "autotask").glob("settings*.rb"))
    (known,) = re.findall(r"FRAMEWORKS = %w\[(.*?)\]", text, re.DOTALL)
    assert set(known.split()) == {"all", *supported.KINDS}
