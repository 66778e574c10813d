"""The truth of Thor: every way to end, in the journal, with the program's output as it is bare.

Each row is a real program, run bare, with our folder on RUBYLIB and under autotask-run. `shop.rb`
begins with the lines of `_SHOP`; a row's own commands begin in line 8.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ruby.ruby_programs import run_under
from support import (
    PRODUCTS,
    Ended,
    Record,
    Under,
    runs,
    write,
)

from autotask.around import sweeping
from autotask.settings import Settings

_SHOP = """\
require "thor"
class Shop < Thor
  def self.exit_on_failure?() true end
  desc "ok", "succeeds"
  def ok() puts "ok" end
  desc "boom", "fails"
  def boom() raise ArgumentError, "boom password=hunter2" end
"""
_BOOM = "shop.boom failure exception ArgumentError shop.rb:7"
_DB = """\
class Db < Thor
  desc "migrate [VERSION]", "x"
  def migrate(version = nil) puts "migrate #{version}" end
  desc "boom", "x"
  def boom() raise KeyError, "boom" end
  desc "pair A B", "x"
  def pair(a, b) end
end
desc "db SUBCOMMAND", "x"
subcommand "db", Db
"""
_GROUP = """\
require "thor/group"
class Report < Thor::Group
  argument :year
  class_option :fail, type: :boolean
  def self.exit_on_failure?() true end
  def collect() puts "collect #{year}" end
  def write() options[:fail] ? raise("full") : puts("write") end
end
Report.start
"""
_THORFILE = """\
class Db < Thor
  desc "migrate", "x"
  def migrate() puts "migrate" end
  desc "boom", "x"
  def boom() raise KeyError, "boom" end
  desc "error", "x"
  def error() raise Thor::Error, "no stock" end
  def self.exit_on_failure?() true end
end
class Plain < Thor
  namespace :default
  desc "hello", "x"
  def hello() puts "hello" end
end
class Report < Thor::Group
  def self.exit_on_failure?() true end
  def write() puts "write" end
end
"""


@dataclass(frozen=True)
class Row:
    """A command and what the journal tells of it.

    *runs* are the tasks' runs: `TASK STATUS REASON CODE SIGNAL ERROR PLACE by CAUSE in PARENT`,
    each as far as it is so. *process* is the run of the process in the same words, without its
    name; the usual one follows from the exit status. *code* are further commands of the class.
    """

    words: str
    runs: tuple[str, ...] = ()
    code: str = ""
    process: str | None = None
    path: tuple[str, ...] | None = None  # the same without a launcher
    path_process: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None  # if it is the point of the row
    program: str = "ruby -w -W:deprecated shop.rb"
    needs: str = ""  # a Ruby library besides Thor


def _row(words: str, *told: str, code: str = "", **more: object) -> Row:
    return Row(words, told, code, **more)  # type: ignore[arg-type]


def _command(body: str, name: str = "t") -> str:
    return f'desc "{name}", "x"\ndef {name}() {body} end\n'


_ENDINGS = {
    "success": _row("ok", "shop.ok success"),
    "exception": _row("boom", _BOOM, status=1),
    "an exception of which Ruby shows the line": _row(
        "t", "shop.t failure exception NoMethodError shop.rb:9", code=_command("nil.foo")
    ),
    "an exception with a cause": _row(
        "t",
        "shop.t failure exception KeyError shop.rb:9",
        code=_command('begin; 1 / 0; rescue ZeroDivisionError; raise KeyError, "gone"; end'),
    ),
    "a frozen exception": _row(
        "t",
        "shop.t failure exception KeyError",
        code=_command('raise KeyError.new("cold").freeze'),
    ),
    "an exception without a backtrace": _row(
        "t",
        "shop.t failure exception RuntimeError",
        code=_command('raise RuntimeError, "nowhere", []'),
    ),
    "an exception whose class answers for its backtrace": _row(
        "t",
        "shop.t failure exception Shop::Odd shop.rb:10",
        code="class Odd < StandardError; def backtrace() super && ['odd'] end; end\n"
        + _command("raise Odd"),
    ),
    "a stack that is full": _row(
        "t",
        "shop.t failure exception SystemStackError shop.rb:10",
        code=_command(
            "begin; t; rescue SystemStackError => e\n"
            "e.set_backtrace(e.backtrace.first(1)); raise; end"
        ),
    ),
    "exit": _row("t", "shop.t success", code=_command("exit"), status=0),
    "exit 3": _row("t", "shop.t failure exit 3", code=_command("exit 3"), status=3),
    "abort": _row(
        "t",
        "shop.t failure exit 1 SystemExit shop.rb:9",
        code=_command('abort "no stock"'),
        status=1,
    ),
    "exit!": _row("t", "shop.t failure exit 4", code=_command("exit! 4"), status=4),
    "Thor::Error": _row(
        "t",
        "shop.t failure exception Thor::Error shop.rb:9",
        code=_command('raise Thor::Error, "no stock"'),
        status=1,
    ),
    "Thor::Error of a program that does not exit on failure": _row(
        "t",
        "shop.t failure exception Thor::Error shop.rb:9",
        code=_command('raise Thor::Error, "no stock"') + "def self.exit_on_failure?() false end\n",
        status=0,
    ),
    "Thor::Error of a program that does not say whether it exits": _row(
        "t",
        "shop.t failure exception Thor::Error shop.rb:9",
        code=_command('raise Thor::Error, "no stock"')
        + "class << self; remove_method :exit_on_failure?; end\n",
        status=0,
    ),
    "Thor::Error in debug mode": _row(
        "t",
        "shop.t failure exception Thor::Error shop.rb:9",
        code=_command('raise Thor::Error, "no stock"'),
        env={"THOR_DEBUG": "1"},
    ),
    "a pipe that nobody reads": _row(
        "t",
        "shop.t failure exception Errno::EPIPE shop.rb:9",
        code=_command("raise Errno::EPIPE"),
        status=0,
    ),
    "Interrupt": _row("t", "shop.t failure interrupted", code=_command("raise Interrupt")),
    "SIGINT": _row(
        "t", "shop.t failure interrupted", code=_command('Process.kill("INT", $$); sleep 30')
    ),
    "SIGTERM": _row(
        "t", "shop.t failure signal SIGTERM", code=_command('Process.kill("TERM", $$); sleep 30')
    ),
    "SIGKILL": _row(
        "t",
        "shop.t failure signal SIGKILL",
        code=_command('Process.kill("KILL", $$); sleep 30'),
        path=("shop.t failure lost",),
        status=-9,
    ),
    "throw": _row(
        "t",
        "shop.t success",
        code=_command("throw :done")
        + "def self.start(*) catch(:done) { super }; puts 'caught' end\n",
    ),
    "Timeout": _row(
        "t",
        "shop.t failure exception Timeout::Error shop.rb:10",
        code='require "timeout"\n' + _command("Timeout.timeout(0.01) { sleep 30 }"),
    ),
    "a killed thread": _row(
        "t",
        "shop.slow failure lost in shop.t",
        "shop.t success",
        code=_command("sleep", "slow")
        + _command(
            "Thread.new { Shop.new.invoke(:slow) }.tap { |it| it.join(0.2); it.kill; it.join }"
        ),
    ),
    "a failing command of the shell": _row(
        "t",
        "shop.t failure exit 1",
        code="include Thor::Actions\n" + _command('run "exit 3"'),
        status=1,
    ),
    "a class that catches everything": _row(
        "boom",
        _BOOM,
        code="def self.start(*)\n"
        "super; rescue => e; warn e.full_message(highlight: false); exit 7\n"
        "end\n",
        process="failure nested by shop.boom",
        status=7,
    ),
    "a server that is stopped": _row(
        "start",
        "good_job.start success",
        program="ruby good_job",
        files={
            "good_job": """
            require "./shop"
            class Shop; desc "start", "x"; def start() Process.kill("TERM", $$); sleep 30 end; end
            Shop.start
            """
        },
        process="success",
        status=-15,
    ),
}
_USAGE = {
    "unknown command": _row("nosuch", "shop failure usage", status=1),
    "a slip of the pen": _row("okk", "shop failure usage"),
    "an ambiguous command": _row("b", "shop failure usage", code=_command("", "boot")),
    "too many arguments": _row("ok 1 2", "shop.ok failure usage", status=1),
    "too few arguments": _row("t", "shop.t failure usage", code='desc "t A", "x"\ndef t(a) end\n'),
    "an ArgumentError of the command's own": _row(
        "t",
        "shop.t failure exception ArgumentError shop.rb:9",
        code=_command("[1].first(1, 2)"),
    ),
    "a missing option": _row(
        "t", "shop.t failure usage", code="option :day, required: true\n" + _command("")
    ),
    "an unknown option": _row(
        "ok --nosuch", "shop.ok failure usage", code="check_unknown_options!\n"
    ),
    "an option that is no number": _row(
        "t --day x", "shop.t failure usage", code="option :day, type: :numeric\n" + _command("")
    ),
    "an option that is none of several": _row(
        "t --day x", "shop.t failure usage", code="option :day, enum: %w[mon tue]\n" + _command("")
    ),
    "an option that the command refuses itself": _row(
        "t",
        "shop.t failure usage",
        code=_command('raise Thor::MalformattedArgumentError, "no such day"'),
    ),
    "a private method": _row("t", "shop.t failure usage", code=_command("") + "private :t\n"),
    "a class that cannot be made": _row(
        "ok",
        "shop.ok failure exception KeyError shop.rb:8",
        code='def initialize(*) super; raise KeyError, "no settings" end\n',
    ),
    "a class that ends the program": _row(
        "ok", code='def initialize(*) super; puts "1.0"; exit end\n', status=0
    ),
    "unknown subcommand": _row("db nosuch", "shop.db failure usage", code=_DB),
    "wrong arguments of a subcommand": _row("db pair 1", "shop.db.pair failure usage", code=_DB),
    "help for what does not exist": _row("help nosuch", "shop failure usage"),
}
_QUESTIONS = {
    f"`{words}` is no run": _row(
        words, code=_DB + "map %w[--version -v] => :version\n" + _command("puts 1", "version")
    )
    for words in (
        *("", "help", "-h", "--help", "help ok", "help db", "db", "db help", "db --help"),
        *("db help migrate", "--version", "-v", "version"),
    )
}
_NAMES = {
    "subcommand": _row("db migrate 3", "shop.db.migrate success", code=_DB),
    "failing subcommand": _row(
        "db boom", "shop.db.boom failure exception KeyError shop.rb:12", code=_DB
    ),
    "subcommand of a subcommand": _row(
        "east db migrate",
        "shop.east.db.migrate success",
        code=f'class East < Thor\n{_DB}end\ndesc "east", "x"\nsubcommand "east", East\n',
    ),
    "one class under two names": _row(
        "east migrate",
        "shop.east.migrate success",
        code=_DB + 'desc "east", "x"\nsubcommand "east", Db\n',
    ),
    "alias": _row("up", "shop.ok success", code='map "up" => :ok\n'),
    "abbreviation": _row("bo", _BOOM),
    "dashes": _row("dry-run", "shop.dry_run success", code=_command("", "dry_run")),
    "default command": _row("", "shop.ok success", code="default_command :ok\n"),
    "default subcommand": _row(
        "db", "shop.db.migrate success", code=_DB + "Db.default_command :migrate\n"
    ),
    "arguments of a default subcommand": _row(
        "db 12", "shop.db.migrate success", code=_DB + "Db.default_command :migrate\n"
    ),
    "a class of commands without names": _row(
        "anything 1",
        "shop success",
        code="def method_missing(*words) p words end\ndef respond_to_missing?(*) true end\n",
    ),
    "a class that hands on what it does not know": _row(
        "nosuch",
        "shop failure exception NoMethodError shop.rb:8",
        code="def method_missing(*) super end\ndef respond_to_missing?(*) false end\n",
    ),
    "registered group": _row(
        "report",
        "shop.report success",
        code="""\
        class Report < Thor::Group; def write() puts "write" end; end
        register Report, "report", "report", "x"
        """,
    ),
    "inherited command": _row(
        "again.rb",
        "again.ok success",
        program="ruby",
        files={"again.rb": 'require "./shop"\nclass Again < Shop; end\nAgain.start %w[ok]\n'},
    ),
    "a program that renames itself": _row(
        "ok", "shop.ok success", code='def self.start(*) $0 = "shop: idle"; super end\n'
    ),
    "a program without a name": _row(
        """-e 'require "./shop"; Shop.start(%w[ok])'""",
        "-e.ok success",
        program="ruby",
        path=("-e.ok success",),
        path_process="none",
    ),
    "under bundle exec": _row(
        "db:migrate",
        "thor.db.migrate success",
        program="bundle exec thor",
        files={"Gemfile": 'gem "thor"\n', "Thorfile": _THORFILE},
        env={"AUTOTASK_PROCESS": "0"},  # it may become `thor`, or load it
        path_process="none",
        needs="bundler",
    ),
    "Bundler's own commands": _row(
        "list",
        program="bundle",
        files={"Gemfile": 'gem "thor"\n'},
        path_process="none",
        needs="bundler",
    ),
}
_INSIDE = {
    "a command calls another": _row(
        "t", "shop.ok success in shop.t", "shop.t success", code=_command("invoke :ok")
    ),
    "a command that replaces methods of File": _row(
        "t",
        "shop.boom failure exception ArgumentError shop.rb:7 in shop.t",
        "shop.t success",
        code="%w[open read exist?].each do |name|\n"
        "File.define_singleton_method(name) { |*| raise Exception, name }\nend\n"
        + _command("begin; invoke :boom; rescue ArgumentError; puts 1; end"),
        program="ruby shop.rb",
    ),
    "Timeout around a command": _row(
        "t",
        "shop.slow failure exception Timeout::Error in shop.t",
        "shop.t success",
        code=_command("sleep 30", "slow")
        + _command(
            'require "timeout"\n'
            "begin; Timeout.timeout(0.05) { invoke :slow }; rescue Timeout::Error; puts 1; end"
        ),
    ),
    "a class that another file reopens": _row(
        "ok",
        "shop.ok success",
        code='def self.start(*) load "more.rb"; super end\n',
        files={
            "more.rb": """
            class Shop; desc "more", "x"; def more() end; end
            puts Thor::Base.subclass_files[File.expand_path(__FILE__)]
            """
        },
    ),
    "a command calls another twice": _row(
        "t", "shop.ok success in shop.t", "shop.t success", code=_command("2.times { invoke :ok }")
    ),
    "a command calls one that fails": _row(
        "t",
        "shop.boom failure exception ArgumentError shop.rb:7 in shop.t",
        "shop.t failure nested ArgumentError shop.rb:7 by shop.boom",
        code=_command("invoke :boom"),
        process="failure nested by shop.boom",
    ),
    "what a failed command has left is collected": _row(
        "t",
        "shop.boom failure exception ArgumentError shop.rb:7 in shop.t",
        "shop.t failure nested ArgumentError shop.rb:7 by shop.boom",
        code=_command("begin; invoke :boom; ensure; 3.times { GC.start }; end"),
        process="failure nested by shop.boom",
    ),
    "a command rescues another": _row(
        "t",
        "shop.boom failure exception ArgumentError shop.rb:7 in shop.t",
        "shop.t success",
        code=_command("begin; invoke :boom; rescue => e; puts e.message; end"),
    ),
    "a command calls another with wrong arguments": _row(
        "t",
        "shop.ok failure usage in shop.t",
        "shop.t failure nested by shop.ok",
        code=_command("invoke :ok, [1, 2]"),
        process="failure nested by shop.ok",
    ),
    "a command calls one of another class": _row(
        "t",
        "shop.other.depot.hello success in shop.t",
        "shop.t success",
        code="class ::Other; class Depot < Thor\n"
        'desc "hello", "x"; def hello() puts "hello" end\n'
        "end; end\n" + _command('invoke "other:depot:hello"'),
    ),
    "a command calls one of its program's namespace": _row(
        "t",
        "shop.depot.hello success in shop.t",
        "shop.t success",
        code='class Depot < Thor; desc "hello", "x"; def hello() puts "hello" end; end\n'
        + _command('invoke "shop:depot:hello"'),
    ),
    "a command calls a subcommand": _row(
        "t",
        "shop.db.migrate success in shop.t",
        "shop.t success",
        code=_DB + _command("invoke Db, :migrate, []"),
    ),
    "a subcommand calls a command above it": _row(
        "db up",
        "shop.ok success in shop.db.up",
        "shop.db.up success",
        code=_DB + 'class Db; desc "up", "x"; def up() invoke "shop:ok", [] end; end\n',
    ),
    "a command of a class without a name": _row(
        "t",
        "shop.hello success in shop.t",
        "shop.t success",
        code=_command(
            """made = Class.new(Thor) { desc "hello", "x"; def hello() puts "hello" end }
            made.start(%w[hello])"""
        ),
    ),
    "a command is called as a method": _row(
        "t", "shop.t success", code=_command("ok; Shop.new.ok")
    ),
    "one command after the other": _row(
        "many.rb",
        *(
            "many.ok success",
            "many.ok success",
            _BOOM.replace("shop.boom", "many.boom"),
            "many.ok success",
        ),
        program="ruby",
        files={
            "many.rb": """
            require "./shop"
            2.times { Shop.start %w[ok] }
            begin; Shop.start %w[boom]; rescue ArgumentError; end
            Shop.start %w[ok]
            """
        },
    ),
    "commands in threads": _row(
        "t",
        *("shop.db.migrate success in shop.t",) * 2,
        "shop.t success",
        code=_DB
        + _command("2.times.map { Thread.new { Shop.new.invoke(Db, :migrate, []) } }.each(&:join)"),
    ),
    "a command that fails in a thread": _row(
        "t",
        "shop.boom failure exception ArgumentError shop.rb:7 in shop.t",
        "shop.t failure nested ArgumentError shop.rb:7 by shop.boom",
        code=_command(
            "Thread.new { Thread.current.report_on_exception = false; invoke :boom }.join"
        ),
        process="failure nested by shop.boom",
    ),
    "commands that fail in threads at once": _row(
        "t",
        *("shop.boom failure exception ArgumentError shop.rb:7 in shop.t",) * 8,
        "shop.t success",
        code=_command(
            """8.times.map { Thread.new { Shop.new.invoke(:boom) rescue ArgumentError } }
            .each(&:join)"""
        ),
    ),
    "a command in a child": _row(
        "t",
        "shop.ok success in shop.t",
        "shop.t success",
        code=_command("$stdout.flush; fork { invoke :ok }; Process.wait"),
    ),
    "a child that ends within the command": _row(
        "t",
        "shop.t success",
        code=_command("$stdout.flush; fork { exit 3 }; Process.wait"),
    ),
    "a program below": _row(
        "t",
        "shop.ok success in shop.t",
        "shop.t success",
        code=_command('$stdout.flush; system("ruby", "shop.rb", "ok")'),
    ),
    "a command that calls a task of Rake": _row(
        "t",
        "mail failure exception ArgumentError shop.rb:8 in shop.t",
        "shop.t failure nested ArgumentError shop.rb:8 by mail",
        code='require "rake"; Rake::Task.define_task(:mail) { raise ArgumentError }\n'
        + _command("Rake::Task[:mail].invoke"),
        process="failure nested by mail",
        needs="rake",
    ),
    "a task of Rake as a command": _row(
        "mail",
        "mail success",
        program="ruby compatible.rb",
        files={
            "compatible.rb": """
            require "thor"
            require "thor/rake_compat"
            class Shop < Thor; include Thor::RakeCompat; end
            desc "mails"
            task(:mail) { puts "mail" }
            Shop.start
            """
        },
        needs="rake",
    ),
    "a task of Rake that starts a command": _row(
        "mail",
        "rake.boom failure exception ArgumentError shop.rb:7 in mail",
        "mail failure nested ArgumentError shop.rb:7 by rake.boom",
        program="rake",
        files={"Rakefile": 'require "./shop"\ntask(:mail) { Shop.start %w[boom] }\n'},
        process="failure nested by rake.boom",
        needs="rake",
    ),
}
_GROUPS = {
    "group": _row("report.rb 2026", "report success", program="ruby", files={"report.rb": _GROUP}),
    "failing step": _row(
        "report.rb 2026 --fail",
        "report failure exception RuntimeError report.rb:7",
        program="ruby",
        files={"report.rb": _GROUP},
    ),
    "missing argument of a group": _row(
        "report.rb", "report failure usage", program="ruby", files={"report.rb": _GROUP}
    ),
    "help of a group": _row("report.rb --help", program="ruby", files={"report.rb": _GROUP}),
    "a group that calls a group and a command": _row(
        "report.rb 2026",
        *("report.post success in report", "report.shop.any success in report", "report success"),
        program="ruby",
        files={
            "report.rb": _GROUP.replace(
                "Report.start",
                """
                require "./shop"
                class Report
                  invoke "post", "shop:any"
                end
                class Post < Thor::Group; def mail() puts "mail" end; end
                class Shop; desc "any", "x"; def any(*) puts "any" end; end
                Report.start
                """,
            )
        },
    ),
    "a registered group that fails": _row(
        "report 2026",
        "shop.report failure usage",
        code="""\
        class Report < Thor::Group; argument :year; argument :month; def write() end; end
        register Report, "report", "report", "x"
        """,
    ),
}
_RUNNER = {
    words: _row(words.partition(" ")[2], *told, program="thor", files={"Thorfile": _THORFILE})
    for words, told in {
        "thor db:migrate": ["thor.db.migrate success"],
        "thor db:boom": ["thor.db.boom failure exception KeyError Thorfile:5"],
        "thor db:error": ["thor.db.error failure exception Thor::Error Thorfile:7"],
        "thor db:migrate 1": ["thor.db.migrate failure usage"],
        "thor db:nosuch": ["thor.db failure usage"],
        "thor nosuch": ["thor failure usage"],
        "thor hello": ["thor.hello success"],
        "thor report": ["thor.report success"],
        "thor list": [],
        "thor help": [],
        "thor help db:migrate": [],
        "thor version": [],
        "thor": [],
    }.items()
}
_SETTINGS = {
    "a command that is ignored": _row(
        "boom", env={"AUTOTASK_IGNORE": "shop.b*"}, process="failure exception"
    ),
    "a subcommand that is ignored": _row(
        "db boom", code=_DB, env={"AUTOTASK_IGNORE": "shop.db.*"}, process="failure exception"
    ),
    "no Thor": _row(
        "db boom", code=_DB, env={"AUTOTASK_FRAMEWORKS": "-thor"}, process="failure exception"
    ),
}
_RAILS = """\
require "rails"
require "rails/command"
require "rails/command/base"
module Rails; class Command::MailCommand < Command::Base
  def perform(*) puts "mail" end
  def boom() raise KeyError, "boom" end
end; end
Rails::Command.invoke ARGV.shift, ARGV
"""
_OTHERS = {
    words: _row(
        words.partition(" ")[2],
        *told,
        program="ruby rails.rb",
        files={"rails.rb": _RAILS},
        needs="rails",
    )
    for words, told in {
        "rails mail": ["rails.mail success"],
        "rails mail:boom": ["rails.mail.boom failure exception KeyError rails.rb:6"],
        "rails mail --help": [],
    }.items()
}
ROWS = {
    **_ENDINGS,
    **_USAGE,
    **_QUESTIONS,
    **_NAMES,
    **_INSIDE,
    **_GROUPS,
    **_RUNNER,
    **_SETTINGS,
    **_OTHERS,
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])
def test_every_ending_is_recorded_as_it_was(
    row: Row, tmp_path: Path, home: Path, libraries: frozenset[str]
) -> None:
    if not {"thor", row.needs or "thor"} <= libraries:
        pytest.skip(f"needs Ruby, Thor {row.needs} (apt-get install ruby-thor ruby-railties)")
    bare = _run(row, tmp_path, home, "bare")
    assert row.status in (None, bare.status)
    # What a launcher tells depends on the way to end: not on the names.
    unders: tuple[Under, ...] = ("path", "launcher")
    for under in unders if PRODUCTS == "all" or row in _ENDINGS.values() else unders[:1]:
        ended = _run(row, tmp_path, home / under, under)
        assert _masked(ended) == _masked(bare), under
        if under == "path":
            sweeping.sweep(Settings({"AUTOTASK_HOME": str(home / under)}))
        found = runs(home / under)
        process, tasks = _in_short(found)
        expected = row.runs if row.path is None or under == "launcher" else row.path
        assert sorted(tasks) == sorted(expected), under
        assert process == _of_process(row, bare.status, under, expected), under


@pytest.fixture(scope="session")
def libraries() -> frozenset[str]:
    """Return which Ruby libraries there are."""
    if shutil.which("ruby") is None:
        return frozenset()
    names = ("thor", "rake", "bundler", "rails")
    tried = "ARGV.each { |name| begin; require name; puts name; rescue LoadError; end }"
    return frozenset(
        subprocess.run(
            ["ruby", "-e", tried, *names], capture_output=True, check=True, text=True
        ).stdout.split()
    )


def _run(row: Row, folder: Path, home: Path, under: Under) -> Ended:
    """Run a row's command in its folder, in which nothing of an earlier run is left."""
    place = folder / "shop"
    shutil.rmtree(place, ignore_errors=True)
    write(
        place / "shop.rb", _SHOP + textwrap.dedent(row.code) + "end\nShop.start if $0 == __FILE__\n"
    )
    for name, text in row.files.items():
        write(place / name, text)
    env = {"AUTOTASK_HOME": str(home), "HOME": str(folder), **row.env}
    words = [*shlex.split(row.program), *shlex.split(row.words)]
    return run_under(under, words, env, place)


def _masked(ended: Ended) -> Ended:
    """Return what must be the same as without us."""
    addresses = re.compile("0x[0-9a-f]{6,}")
    return Ended(ended.status, addresses.sub("", ended.stdout), addresses.sub("", ended.stderr))


def _in_short(found: list[Record]) -> tuple[list[str], list[str]]:
    """Write runs in short: the process's own, and the tasks'."""
    by_id = {run["run"]: run for run in found}
    whole = [run for run in found if run["framework"] == "process"]
    return (
        [_short(run, by_id).partition(" ")[2] for run in whole],
        [_short(run, by_id) for run in found if run not in whole],
    )


def _short(run: Record, by_id: Mapping[str, Record]) -> str:
    error = run.get("error") or {}
    words = [run["task"] if run["framework"] != "process" else "process", run["status"]]
    cause, parent = by_id.get(run.get("caused_by", "")), by_id.get(run.get("parent") or "")
    words.append(run.get("reason"))
    if run["framework"] != "process" or cause is None:
        words += [run.get("exit_code"), run.get("signal")]
    if run["framework"] != "process":
        words += [error.get("type"), os.path.basename(error.get("where", ""))]
    words += [f"by {cause['task']}"] if cause else []
    words += [f"in {parent['task']}"] if parent and parent["framework"] != "process" else []
    return " ".join(str(word) for word in words if word not in (None, ""))


def _of_process(row: Row, status: int, under: Under, expected: tuple[str, ...]) -> list[str]:
    """Say what the run of the whole process is: failed because of the last task that did."""
    if under == "path" and row.path_process:
        return [] if row.path_process == "none" else [row.path_process]
    if row.process:
        return [row.process]
    if status == 0:
        return ["success"]
    return ["failure nested by " + expected[-1].partition(" failure")[0]]
