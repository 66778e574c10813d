"""Look into the Ruby of a command: what it is, which gems it finds, whether the agent loads."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from autotask.around import launch
from autotask.tool import supported
from autotask.tool.doctor.finding import Finding, Findings, framework

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autotask.around.leads_to import Command
    from autotask.settings import Settings

# Runs in the command's Ruby, which may be any from 1.8 on.
ASK = """
def tell(name, value)
  STDOUT.write("\\n%%s%%s\\t%%s\\n" %% [%r, name, value])
end
tell("version", RUBY_VERSION)
tell("engine", defined?(RUBY_ENGINE) ? RUBY_ENGINE : "ruby")
tell("engine version", defined?(RUBY_ENGINE_VERSION) ? RUBY_ENGINE_VERSION : RUBY_VERSION)
begin
  require "rbconfig"
  tell("prefix", RbConfig::CONFIG["prefix"])
rescue LoadError
end
tell("agent", AutotaskAgent::FOLDER) if defined?(AutotaskAgent::FOLDER)
tell("RUBYLIB", ENV["RUBYLIB"])
files = $LOAD_PATH.map { |folder| folder.to_s + "/rubygems/defaults/ruby.rb" }
tell("defaults", files.find { |file| File.file?(file) })
if defined?(Gem)
  tell("gems", "found")
  ARGV.each do |name|
    begin
      tell("gem " + name, Gem::Specification.find_by_name(name).version)
    rescue Exception
    end
  end
end
"""


class Ruby(NamedTuple):
    """What a Ruby says about itself."""

    version: str
    engine: str
    engine_version: str
    prefix: str
    agent: str  # the folder that it is loaded from; empty if it is not
    rubylib: str
    defaults: str  # the machine's own rubygems/defaults/ruby.rb
    has_gems: bool
    frameworks: dict[str, str | None]

    @property
    def verdict(self) -> str:
        """Tell whether it is `supported`, `unknown`, or `older` or `newer` than tested."""
        return supported.ruby_verdict(self.engine, self.version)

    @property
    def name(self) -> str:
        """Return what it is: `Ruby 3.1.2`, `jruby 9.3.9.0 (Ruby 2.6.8)`."""
        if self.engine == "ruby":
            return f"Ruby {self.version}"
        return f"{self.engine} {self.engine_version} (Ruby {self.version})"


def read(lines: list[str], locked: Mapping[str, str] | None) -> Ruby:
    """Read what ASK has told; *locked* are the gems of the bundle that the command runs in."""
    told = dict(line.partition("\t")[::2] for line in lines)
    gems = {name: told.get(f"gem {name}") for name in supported.RUBY_FRAMEWORKS}
    if locked is not None:
        gems = {name: locked.get(name) for name in gems}
    defaults = told.get("defaults", "")
    return Ruby(
        version=told.get("version", ""),
        engine=told.get("engine", ""),
        engine_version=told.get("engine version", ""),
        prefix=told.get("prefix", ""),
        agent=told.get("agent", ""),
        rubylib=told.get("RUBYLIB", ""),
        defaults="" if defaults.startswith(_own_folder()) else defaults,
        has_gems="gems" in told,
        frameworks=gems,
    )


def locked_gems(command: Command) -> dict[str, str] | None:
    """Return the versions in the Gemfile.lock of a command that runs in a bundle; None for others.

    So do `bundle exec`, and the binstubs beside the Gemfile: `bin/rails`.
    """
    gemfile = _gemfile(command)
    if gemfile is None:
        return None
    folders = [os.path.dirname(os.path.abspath(file)) for file in command.files]
    is_bundled = any(os.path.basename(file) == "bundle" for file in command.files)
    if not is_bundled and str(gemfile.parent / "bin") not in folders:
        return None
    name = "gems.locked" if gemfile.name == "gems.rb" else f"{gemfile.name}.lock"
    try:
        text = gemfile.with_name(name).read_text("utf-8", "replace")
    except OSError:
        return None
    return dict(re.findall(r"^    ([\w.-]+) \(([\w.]+)[^)]*\)$", text, re.MULTILINE))


def _gemfile(command: Command) -> Path | None:
    """Return the Gemfile that Bundler would take."""
    named = command.environ.get("BUNDLE_GEMFILE")
    if named:
        return Path(os.path.abspath(named))
    here = Path.cwd()
    files = (folder / name for folder in (here, *here.parents) for name in ("Gemfile", "gems.rb"))
    return next((file for file in files if file.is_file()), None)


def findings(command: Command, settings: Settings, ruby: Ruby | None, problem: str) -> Findings:
    """Yield the findings about a command's Ruby."""
    if ruby is None:
        text = f"{command.ruby} failed ({problem})"
        yield Finding("problem", "ruby", text, "start it yourself and fix the error")
        return
    yield _ruby(ruby)
    yield _agent(command, settings, ruby)
    if ruby.defaults and ruby.has_gems:
        yield Finding("ok", "defaults", f"the machine's own run as usual: {ruby.defaults}")
    for name, version in ruby.frameworks.items():
        if version:
            yield framework(settings, name, version, supported.RUBY_FRAMEWORKS[name])


def _ruby(ruby: Ruby) -> Finding:
    text = f"{ruby.name} in {ruby.prefix}"
    verdict, tested = ruby.verdict, supported.RUBIES
    if verdict == "unknown":
        return Finding("problem", "ruby", f"{text} is not supported", "use CRuby, called `ruby`")
    if verdict == "older":
        remedy = f"use Ruby {tested.oldest} or newer"
        return Finding("problem", "ruby", f"{text} is not supported", remedy)
    text = text.removeprefix("Ruby ")
    if verdict == "newer":
        text = f"{text} is not tested: it is newer than {tested.newest}, the newest tested version"
        return Finding("warning", "ruby", text)
    return Finding("ok", "ruby", text)


def _agent(command: Command, settings: Settings, ruby: Ruby) -> Finding:
    if not settings.enabled:
        return Finding("problem", "agent", "turned off by AUTOTASK_ENABLED", "unset it")
    if not ruby.agent:
        why, remedy = _what_bars(command, ruby)
        return Finding("problem", "agent", f"not loaded: {why}", remedy)
    own, loaded = (os.path.realpath(path) for path in (_own_folder(), os.path.dirname(ruby.agent)))
    if loaded == own:
        return Finding("ok", "agent", f"loaded from {loaded}")
    text = f"loaded from {loaded}, another copy than this one in {own}"
    return Finding("warning", "agent", text)


def _own_folder() -> str:
    return launch.with_agent(None, launch.RUBY_FOLDER)


def _what_bars(command: Command, ruby: Ruby) -> tuple[str, str]:
    """Return what keeps the agent out, and what to do about it."""
    until = "until then only the process as a whole is recorded"
    if ruby.verdict == "unknown":
        return f"{ruby.engine} does not load it", f"use CRuby; {until}"
    if ruby.verdict == "older":
        return "this Ruby is too old", f"use Ruby {supported.RUBIES.oldest} or newer; {until}"
    if command.barred:
        return command.barred, f"remove it; {until}"
    fix = f"fix the wrapper {command.ruby}, or name the Ruby behind it"
    if not ruby.has_gems:
        return "something turns RubyGems off", fix
    folder = _own_folder()
    if folder not in ruby.rubylib.split(os.pathsep):
        return "RUBYLIB does not reach the interpreter", fix
    if not os.access(os.path.join(folder, "rubygems", "defaults", "ruby.rb"), os.R_OK):
        return f"cannot read {folder}", "install autotask where all users can read it"
    other = ruby.defaults or "another rubygems/defaults/ruby.rb"
    return f"{other} was loaded first, or it failed", f"see `{command.ruby} -e 'puts $\"'`"
